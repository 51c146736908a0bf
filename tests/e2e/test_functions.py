"""The functions as they are deployed: only `functions/` and `shared/`, under plain functions-framework."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.deployment import Gemini
from tests.log_filters import json_lines
from tests.servers import ROOT, free_port, function, running, until

FINALIZED = "google.cloud.storage.object.v1.finalized"
DELETED = "google.cloud.storage.object.v1.deleted"


class Cloud:
    """The three functions on one data folder, with the emulator as a server of its own."""

    def __init__(self, stack: ExitStack, folder: Path, **settings: str) -> None:
        self.documents = folder / "data" / "documents"
        self.documents.mkdir(parents=True)
        source = folder / "workspace"
        for package in ("functions", "shared"):
            shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
        port = free_port()
        emulator = [sys.executable, "-m", "flamehaven.cli", "emulator", "--port", str(port)]
        emulator += ["--data", str(folder / "emulator")]
        address = f"http://127.0.0.1:{port}"
        self.folder, self.gemini = folder, Gemini(address)
        stack.enter_context(running(emulator, environment={}, url=address, log=folder / "emulator.log"))
        environment = {"GEMINI_BASE_URL": address, "DATA_DIR": str(folder / "data"), "GEMINI_API_KEY": "k", **settings}
        self.clients = {
            target: stack.enter_context(function(name, target, source, folder / f"{target}.log", **environment))
            for name, target in (("ingest", "ingest"), ("ingest", "sweep"), ("search", "search"), ("health", "health"))
        }

    def send(self, event_type: str, name: str) -> httpx2.Response:
        """Post a binary CloudEvent as Eventarc does."""
        headers = {
            "ce-specversion": "1.0",
            "ce-id": "1",
            "ce-source": "//storage.googleapis.com/projects/_/buckets/documents",
            "ce-type": event_type,
            "ce-subject": f"objects/{name}",
            "content-type": "application/json",
        }
        data = {"bucket": "documents", "name": name, "generation": "1"}
        return self.clients["ingest"].post("/", headers=headers, content=json.dumps(data))

    def ask(self, question: str, store: str) -> dict[str, Any]:
        answer = self.clients["search"].post("/", json={"query": question, "store": store})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture(scope="module", params=["http", pytest.param("cloudevent", marks=pytest.mark.slow)])
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Once with what Cloud Functions sets, and once as on a platform that says every function takes CloudEvents."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("cloud")
        yield Cloud(stack, folder, FUNCTION_SIGNATURE_TYPE=request.param, LOG_EXECUTION_ID="true")


def test_events_index_change_and_delete(cloud: Cloud) -> None:
    path = cloud.documents / "hr" / "leave policy.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text("Parental leave is 26 weeks at full pay.")
    indexed = cloud.send(FINALIZED, "hr/leave policy.md")
    assert (indexed.status_code, indexed.json()["outcome"]) == (200, "indexed")
    assert cloud.send(FINALIZED, "hr/leave policy.md").json()["outcome"] == "unchanged"
    (source,) = cloud.ask("How long is parental leave?", "hr")["sources"]
    assert "26 weeks" in source["excerpt"]

    path.write_text("Parental leave is 30 weeks at full pay.")
    # A file that changed twice within seconds may still be being written: the event leaves it for the next one.
    until(lambda: cloud.send(FINALIZED, "hr/leave policy.md").json()["outcome"] == "indexed", every=1)
    assert "30 weeks" in cloud.ask("How long is parental leave?", "hr")["sources"][0]["excerpt"]

    path.unlink()
    assert cloud.send(DELETED, "hr/leave policy.md").json()["outcome"] == "removed"
    found = cloud.ask("How long is parental leave?", "hr")
    assert (found["grounded"], found["sources"]) == (False, [])


def test_late_and_wrong_events_change_nothing(cloud: Cloud) -> None:
    path = cloud.documents / "it" / "wifi.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text("The wifi password is heron.")
    assert cloud.send(DELETED, "it/wifi.md").json()["outcome"] == "indexed"
    assert cloud.send(FINALIZED, "it/never-was.md").json()["outcome"] == "unchanged"
    assert cloud.ask("What is the wifi password?", "it")["grounded"]


def test_a_pubsub_push_is_an_event_too(cloud: Cloud) -> None:
    path = cloud.documents / "ops" / "disk.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text("When the disk is full, run the janitor job.")
    attributes = {"bucketId": "documents", "objectId": "ops/disk.md", "eventType": "OBJECT_FINALIZE"}
    message = {"message": {"attributes": attributes, "messageId": "1"}, "subscription": "s"}
    assert cloud.clients["ingest"].post("/", json=message).json() == {"object": "ops/disk.md", "outcome": "indexed"}


def test_the_sweep_finds_what_no_event_announced(cloud: Cloud) -> None:
    path = cloud.documents / "legal" / "nda.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text("Every supplier signs the mutual NDA before the first meeting.")
    until(lambda: cloud.clients["sweep"].post("/").json()["outcomes"].get("indexed"), every=1)
    assert cloud.ask("Who signs the mutual NDA?", "legal")["grounded"]
    again = cloud.clients["sweep"].post("/").json()
    assert again["outcomes"] == {"unchanged": again["objects"]}


def test_what_is_no_event_is_refused(cloud: Cloud) -> None:
    answer = cloud.clients["ingest"].post("/", content=b"hello")
    assert (answer.status_code, answer.json()["error"]) == (400, "INVALID_EVENT")
    assert cloud.clients["sweep"].get("/").status_code == 405


def test_health_is_ready_and_alive(cloud: Cloud) -> None:
    ready = until(lambda: (answer := cloud.clients["health"].get("/")).status_code == 200 and answer.json())
    assert ready["checks"] == {"configuration": "ok", "documents": "ok", "state": "ok", "gemini": "ok"}
    assert cloud.clients["health"].get("/live").json() == {"status": "alive"}


def test_errors_are_logged_where_the_platform_asks_for_execution_ids(cloud: Cloud) -> None:
    refused = {"call": "*", "fault": "answer", "status": 403}
    path = cloud.documents / "audit" / "access.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text("Access is reviewed every quarter.")
    assert cloud.clients["sweep"].post("/").status_code == 200
    path.write_text("Access is reviewed every month.")
    cloud.gemini.go_wrong(refused)
    try:
        assert cloud.clients["search"].post("/", json={"query": "How often?", "store": "audit"}).status_code == 503
        assert cloud.clients["sweep"].post("/").status_code == 503
    finally:
        cloud.gemini.go_wrong()
    for name in ("search", "sweep"):
        lines = json_lines(cloud.folder / f"{name}.log")
        assert [each["message"] for each in lines if each["severity"] == "ERROR"], f"{name} logged no error"
