"""What Terraform deploys, as Cloud Run runs it: the zip, only its requirements, and the environment of the plan."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clouds import fake_gcs, pubsub
from tests.deployment import GoogleCloud, ask, gemini
from tests.google_keys import BY_HAND, Google, serving
from tests.log_filters import counts, entry, json_lines
from tests.servers import ROOT, free_port, running, until
from tests.terraform import MODULE, SMALLEST, Resource, terraform_in

pytestmark = pytest.mark.slow


PLATFORM = {
    "FUNCTION_SIGNATURE_TYPE": "http",
    "K_CONFIGURATION": "configuration",
    "K_REVISION": "revision-00001",
    "K_SERVICE": "service",
    "LOG_EXECUTION_ID": "true",
}
"""What Cloud Run and Cloud Functions set; LOG_EXECUTION_ID only where the function has none of its own."""


class Buckets(GoogleCloud):
    """Cloud Storage and Pub/Sub with the buckets of the plan."""

    documents = "acme-search-flamehaven-documents"
    state = "acme-search-flamehaven-state"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_of("functions", tmp_path_factory.mktemp("build"))


def environment_of(requirements: str, folder: Path) -> Path:
    """A zip in an otherwise empty folder, with an environment of its requirements beside it."""
    subprocess.run([sys.executable, "scripts/function_source.py", folder], cwd=ROOT, check=True)
    with zipfile.ZipFile(folder / f"{requirements}.zip") as archive:
        archive.extractall(folder / "workspace")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=120)
    # This environment's pip, as Python's own may be older than 23.3, which asks for hashes of extras too.
    install = [sys.executable, "-m", "pip", "--python", folder / "venv", "install", "--quiet"]
    subprocess.run([*install, "-r", folder / "workspace/requirements.txt"], check=True, timeout=500)
    return folder


@pytest.fixture(scope="module")
def applied(source: Path) -> list[Resource]:
    """What Terraform makes of the zips."""
    with terraform_in(MODULE) as terraform:
        return terraform.applied(
            **SMALLEST | {"function_source": f"{source}/functions.zip"},
            rotation={"source": f"{source}/rotation.zip", "gemini_project": "acme"},
        )


@pytest.fixture(scope="module")
def filters(applied: list[Resource]) -> dict[str, str]:
    """The filter of each metric of logs."""
    return {each.values["name"]: each.values["filter"] for each in applied if each.type == "google_logging_metric"}


@pytest.fixture(scope="module")
def planned(applied: list[Resource]) -> dict[str, dict[str, Any]]:
    """Each function as Terraform makes it, by its entry point."""
    functions = [each.values for each in applied if each.type == "google_cloudfunctions2_function"]
    return {each["build_config"][0]["entry_point"]: each for each in functions}


class Deployment:
    """The functions in processes of their own, with the buckets, the queue and Gemini that they are told of."""

    def __init__(self, stack: ExitStack, folder: Path, source: Path, planned: dict[str, dict[str, Any]]) -> None:
        self._stack, self.folder, self._source, self._planned = stack, folder, source, planned
        (folder / "secrets").mkdir(parents=True)
        (folder / "secrets/gemini-api-key").write_text("k\n")
        queue = stack.enter_context(pubsub(folder))
        topic = queue.create_topic("events")
        gcs = stack.enter_context(fake_gcs(folder, pubsub_host=queue.host, topic="events"))
        model = stack.enter_context(gemini(folder))
        self.gemini = model
        self._leads_there = {**gcs.environment(), "GEMINI_BASE_URL": model.address}
        port = free_port()
        self.cloud = Buckets(gcs, queue, topic, push=f"http://127.0.0.1:{port}")
        self.ingest = self.serve("ingest", port)
        self.sweep, self.search, self.health = (self.serve(name, free_port()) for name in ("sweep", "search", "health"))

    def serve(self, target: str, port: int) -> httpx2.Client:
        return served(self._stack, self._planned[target], self._source, self.folder, port, self._leads_there)


def served(
    stack: ExitStack, planned: dict[str, Any], source: Path, folder: Path, port: int, leads_there: dict[str, str]
) -> httpx2.Client:
    """A function as the buildpack starts it (GoogleCloudPlatform/buildpacks, cmd/python/functions_framework)."""
    build, service = planned["build_config"][0], planned["service_config"][0]
    moved = {"/etc/secrets": folder / "secrets", "/tmp": folder / "tmp", "/workspace": source / "workspace"}
    environment = {
        name: next((f"{new}{value[len(old) :]}" for old, new in moved.items() if value.startswith(old)), value)
        for name, value in service["environment_variables"].items()
    }
    environment |= {
        "FUNCTION_TARGET": build["entry_point"],
        "FUNCTION_SOURCE": build["environment_variables"]["GOOGLE_FUNCTION_SOURCE"],
        "PORT": str(port),
        **PLATFORM,
        **leads_there,
    }
    url, log = f"http://127.0.0.1:{port}", folder / f"{build['entry_point']}.log"
    command = [str(source / "venv/bin/functions-framework")]
    ready = f"{url}/robots.txt"
    stack.enter_context(running(command, environment=environment, url=ready, log=log, cwd=source / "workspace"))
    return stack.enter_context(httpx2.Client(base_url=url, timeout=60))


@pytest.fixture(scope="module")
def deployment(
    source: Path, planned: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    with ExitStack() as stack:
        yield Deployment(stack, tmp_path_factory.mktemp("deployment"), source, planned)


def test_the_zip_holds_every_entry_point(source: Path, planned: dict[str, dict[str, Any]]) -> None:
    assert planned.keys() == {"ingest", "sweep", "search", "health", "rotate"}
    for each in planned.values():
        assert (
            source / "workspace" / each["build_config"][0]["environment_variables"]["GOOGLE_FUNCTION_SOURCE"]
        ).exists()


def test_a_document_is_found_and_changed_and_gone(deployment: Deployment) -> None:
    assert deployment.health.get("/").status_code == 200
    assert deployment.health.get("/live").status_code == 200

    deployment.cloud.put("hr/leave.md", "Parental leave is 26 weeks at full pay.")
    until(lambda: "26 weeks" in ask(deployment.search, "How long is parental leave?", "hr", "/").get("answer", ""), 60)
    deployment.cloud.put("hr/leave.md", "Parental leave is 30 weeks at full pay.")
    until(lambda: "30 weeks" in ask(deployment.search, "How long is parental leave?", "hr", "/").get("answer", ""), 60)
    deployment.cloud.delete("hr/leave.md")
    until(lambda: not ask(deployment.search, "How long is parental leave?", "hr", "/").get("sources"), 60)


def test_the_sweeps_answer_as_cloud_scheduler_calls_them(deployment: Deployment) -> None:
    deployment.cloud.put("it/laptop.md", "A laptop lasts 4 years.")
    until(lambda: ask(deployment.search, "How long does a laptop last?", "it", "/").get("sources"), 60)
    (record,) = [each for each in deployment.cloud.records() if each["object"] == "it/laptop.md"]
    assert record
    assert deployment.sweep.post("/?unfinished=true").status_code == 200
    until(lambda: deployment.sweep.post("/").json()["unsettled"] == [], 60)  # while ingest holds it, it is not settled


def counted(deployment: Deployment, filters: dict[str, str], function: str, since: int) -> dict[str, int]:
    """How many of a function's lines each metric counts, from a number of lines on."""
    lines = json_lines(deployment.folder / f"{function}.log")[since:]
    return counts(filters, [entry(f"flamehaven-{function}", line) for line in lines])


def test_a_document_that_cannot_be_indexed_is_counted(deployment: Deployment, filters: dict[str, str]) -> None:
    deployment.cloud.put("hr/broken.pdf", "%PDF-1.4 no")
    until(lambda: counted(deployment, filters, "ingest", 0).get("ingest-failures"), 60)
    assert counted(deployment, filters, "ingest", 0)["ingest-failures"] == 1


def test_every_function_s_errors_are_counted(deployment: Deployment, filters: dict[str, str]) -> None:
    deployment.cloud.put("ops/disk.md", "When the disk is full, run the janitor job.")
    until(lambda: ask(deployment.search, "What if the disk is full?", "ops", "/").get("sources"), 60)
    before = {
        name: len(json_lines(deployment.folder / f"{name}.log")) for name in ("ingest", "sweep", "search", "health")
    }
    deployment.gemini.go_wrong({"call": "*", "fault": "answer", "status": 403})
    try:
        deployment.cloud.put("ops/disk.md", "When the disk is full, call the janitor.")
        until(lambda: counted(deployment, filters, "ingest", before["ingest"]).get("environment-failures"), 60)
        assert deployment.sweep.post("/").status_code == 503
        assert deployment.search.get("/", params={"q": "What if the disk is full?", "store": "ops"}).status_code == 503
        until(lambda: deployment.health.get("/").status_code == 503, 60)
    finally:
        deployment.gemini.go_wrong()
    for name in ("ingest", "sweep", "search"):
        found = counted(deployment, filters, name, before[name])
        assert found.get("errors", 0) >= 1, f"{name}: {found}"
        assert found.get("environment-failures", 0) >= 1, f"{name}: {found}"
    # Health tells by its answer, which the uptime check sees; its requests are logged.
    lines = json_lines(deployment.folder / "health.log")[before["health"] :]
    assert [line["message"] for line in lines if line["message"].endswith(" 503")]


def test_the_rotation_runs_from_its_own_zip(planned: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    source = environment_of("rotation", tmp_path / "build")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/gemini-api-key").write_text(BY_HAND)
    google = Google(now=datetime.now(UTC), secret="projects/acme-search/secrets/flamehaven-gemini-api-key")
    with ExitStack() as stack:
        address = stack.enter_context(serving(google))
        leads_there = {"GEMINI_BASE_URL": address, "API_KEYS_ENDPOINT": address, "SECRET_MANAGER_ENDPOINT": address}
        client = served(stack, planned["rotate"], source, tmp_path, free_port(), leads_there)
        assert client.post("/").json()["made"] is None, "it is not due"
        assert client.post("/?now=true").json()["made"] == "flamehaven-gemini-2"
    assert google.enabled()[-1] == google.alive()["flamehaven-gemini-2"]
