"""Objects of real buckets become searchable through real queues, by functions and by the server."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.deployment import (
    DELIVERIES,
    Cloud,
    Gemini,
    GoogleCloud,
    Kind,
    ask,
    cloud,
    container,
    deployed,
    gemini,
)
from tests.servers import ROOT, Server, free_port, function, until

AWKWARD = ("leave.md", "a b+c%20d &=#?.md", "ünï/日本 😀.md", f"{'n' * 200}/{'m' * 200}.md")
slow = pytest.mark.slow
KINDS = ("moto", *(pytest.param(kind, marks=slow) for kind in ("google", "own", "localstack")))
LEAVE = "Every employee has {} days of annual leave."
QUESTION = "How many days of annual leave does every employee have?"
KEY_REFUSED = {
    "error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
    }
}
STORE_FULL = {
    "error": {
        "code": 429,
        "message": "Corpus has reached the storage limit of 1000000000 bytes.",
        "status": "RESOURCE_EXHAUSTED",
    }
}
UPLOAD = "uploadToFileSearchStore.upload.start"


class Place:
    """A cloud, a Gemini and a server of ours, and what they are asked."""

    def __init__(self, folder: Path, kind: str, cloud: Cloud, gemini: Gemini, server: Server) -> None:
        self.folder, self.kind, self.cloud, self.gemini, self.server = folder, kind, cloud, gemini, server

    def answer(self, *, store: str) -> str:
        return str(ask(self.server, QUESTION, store).get("answer", ""))

    def document(self, name: str) -> dict[str, Any]:
        answer = self.server.get(f"/api/documents/{quote(name)}")
        return dict(answer.json()) if answer.status_code == 200 else {}

    def status(self, name: str) -> str:
        return str(self.document(name).get("status"))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the flamehaven command with the server's settings."""
        environment = {"PATH": "/usr/bin:/bin", "GEMINI_BASE_URL": self.gemini.address, **self.cloud.settings()}
        environment |= {"GEMINI_API_KEY": "any", "DATA_DIR": str(self.folder / "data")}
        command = [sys.executable, "-m", "flamehaven.cli", *arguments]
        return subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )

    def log(self) -> str:
        return (self.folder / "data" / "server.log").read_text()


def follow_objects(place: Place) -> None:
    """Objects with awkward names are found, change and go, each in a store of its own."""
    names = {f"store-{number}": f"store-{number}/{name}" for number, name in enumerate(AWKWARD)}

    def every(holds: Callable[[str, str], bool]) -> None:
        until(lambda: all(holds(store, name) for store, name in names.items()), 40)

    for name in names.values():
        place.cloud.put(name, LEAVE.format(27))
    every(lambda store, name: "27" in place.answer(store=store) and place.status(name) == "indexed")
    for store, name in names.items():
        (source,) = ask(place.server, QUESTION, store)["sources"]
        assert (source["title"], source["store"]) == (name.rpartition("/")[2], store)
        assert source["uri"] == f"{place.cloud.settings()['DOCUMENTS_URL']}/{quote(name)}"
    for name in names.values():
        place.cloud.put(name, LEAVE.format(31))
    every(lambda store, _: "31" in place.answer(store=store) and "27" not in place.answer(store=store))
    for name in names.values():
        place.cloud.delete(name)
    every(lambda store, _: not ask(place.server, QUESTION, store)["grounded"])
    every(lambda _, name: place.gemini.texts()[name] == 0)


@pytest.fixture(scope="module", params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        there = stack.enter_context(cloud(request.param, folder))
        model = stack.enter_context(gemini(folder))
        server = stack.enter_context(container(folder / "data", there, model, SWEEP_INTERVAL_SEC="0"))
        yield Place(folder, request.param, there, model, server)


def test_objects_are_found_change_and_go(place: Place) -> None:
    follow_objects(place)


def test_metadata_of_the_object_can_be_filtered_by(place: Place) -> None:
    def found(condition: str) -> bool:
        body = {"query": "Where do the spare keys hang?", "store": "meta", "metadata_filter": condition}
        answer = place.server.post("/api/search", json=body)
        return answer.status_code == 200 and bool(answer.json()["grounded"])

    text = "The spare keys hang behind the door of the workshop."
    place.cloud.put("meta/keys.md", text, owner="ann")
    until(lambda: found('owner="ann"'))
    place.cloud.put("meta/keys.md", text, owner="bob")
    until(lambda: found('owner="bob"') and not found('owner="ann"'))
    place.cloud.put("meta/keys.md.metadata.json", '{"owner": "cem", "floor": 3}')
    until(lambda: found('owner="cem" AND floor>2') and not found('owner="bob"'))
    place.cloud.delete("meta/keys.md.metadata.json")
    until(lambda: found('owner="bob"'))
    assert place.document("meta/keys.md")["metadata"] == {"owner": "bob"}


def test_an_object_with_an_empty_folder_in_its_name_fails_with_a_reason(place: Place) -> None:
    for name in ("hr/sub//double.md", "/lead.md"):
        place.cloud.put(name, "x")
        until(lambda name=name: place.status(name) == "failed")
        assert place.document(name)["reason"]["code"] == "INVALID_FILENAME"
    listed = place.server.get("/api/documents", params={"status": "failed"}).json()["documents"]
    assert {document["object"] for document in listed} >= {"hr/sub//double.md", "/lead.md"}


def test_an_overwritten_object_answers_all_the_while(place: Place) -> None:
    """Asked all the time, the store never answers with neither version."""
    place.cloud.put("always/leave.md", LEAVE.format(20))
    until(lambda: "20" in place.answer(store="always"))
    silent, asked, over = [], [0], threading.Event()

    def keep_asking() -> None:
        with httpx2.Client(base_url=str(place.server.base_url), timeout=30) as client:
            while not over.is_set():
                answer = ask(client, QUESTION, "always")
                asked[0] += 1
                if not answer.get("grounded"):
                    silent.append(answer)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        for days in range(21, 24):
            place.cloud.put("always/leave.md", LEAVE.format(days))
            until(lambda days=days: str(days) in place.answer(store="always"))
    finally:
        over.set()
        asking.join()
    assert asked[0] > 10
    assert silent == []


@slow
def test_a_message_that_is_none_becomes_a_dead_letter_after_all_its_deliveries(place: Place) -> None:
    place.cloud.send(b'{"no": "event"}')
    until(lambda: place.cloud.dead() == [b'{"no": "event"}'], 60)
    assert place.log().count("A message cannot be read") == DELIVERIES


@slow
def test_a_poison_message_waits_with_its_reason_and_heals_when_it_is_sent_again(place: Place) -> None:
    """Gemini fails for this one file alone, for longer than the queue is patient."""
    place.gemini.go_wrong({"call": "uploadToFileSearchStore.*", "fault": "answer", "status": 500})
    before = place.log().count("could not be settled, delivery")
    place.cloud.put("poison/cup.md", "The poison cup stands on the left shelf.")

    def listed() -> list[dict[str, Any]]:
        ran = place.command("dead-letters", "--json")
        assert ran.returncode == 0, ran.stderr
        return list(json.loads(ran.stdout))

    (letter,) = until(listed, 90)
    assert letter["objects"] == ["poison/cup.md"]
    assert place.log().count("could not be settled, delivery") == before + DELIVERIES
    assert "Gemini is busy or failing (500)" in place.log()
    assert place.status("poison/cup.md") == "pending"
    place.gemini.go_wrong()
    assert place.command("dead-letters", "replay", letter["id"]).stdout == "1 dead letters are sent again.\n"
    until(lambda: place.status("poison/cup.md") == "indexed", 60)
    assert listed() == []


@slow
@pytest.mark.parametrize("fault", [{"status": 400, "body": KEY_REFUSED}, {"status": 429, "body": STORE_FULL}])
def test_a_wrong_key_or_a_full_store_holds_everything_and_loses_nothing(place: Place, fault: dict[str, Any]) -> None:
    name = f"held/{fault['status']}.md"
    place.gemini.go_wrong({"call": UPLOAD, "fault": "answer", **fault})
    place.cloud.put(name, f"The held number is {fault['status']}.")
    health = until(lambda: (answer := place.server.get("/health")).status_code == 503 and answer.json())
    assert health["checks"]["ingest"].startswith("Indexing has stopped: ")
    time.sleep(7)  # long enough for all deliveries, if it were given back
    place.gemini.go_wrong()
    until(lambda: place.status(name) == "indexed", 90)
    assert place.server.get("/health").status_code == 200
    assert place.cloud.dead() == []


@slow
def test_a_lease_that_is_held_long_is_no_poison(place: Place) -> None:
    """The event is acknowledged and noted for the small sweep, which indexes the object once the lease is over."""
    name, now = "busy/bee.md", datetime.now(UTC)
    identity = {key: place.cloud.records()[0][key] for key in ("deployment", "backend")}
    lease = {"holder": "another-machine/1/1/x", "attempt": "0", "expires": time.time() + 8}
    record = {"object": name, **identity, "lease": lease, "created": now.isoformat(), "updated": now.isoformat()}
    place.cloud.put_record(f"records/{hashlib.sha256(name.encode()).hexdigest()}.json", record)
    sweep = "/api/reconcile?unfinished=true"
    until(lambda: place.server.post(sweep).json()["outcomes"] == {})
    place.cloud.put(name, "The bee is back at dusk.")
    until(lambda: any(each.get("dirty") for each in place.cloud.records() if each["object"] == name))
    assert until(lambda: place.server.post(sweep).json()["outcomes"]) == {"busy": 1}
    until(lambda: place.server.post(sweep).json()["outcomes"] == {"indexed": 1})
    assert place.server.post(sweep).json()["outcomes"] == {}
    assert place.status(name) == "indexed"
    assert place.cloud.dead() == []


def test_records_never_hold_what_is_over(place: Place) -> None:
    """Runs last: after all that, no lease, no half-done upload, one document for each object."""

    def at_rest() -> bool:
        return not any(each.get("lease") or each.get("uploads") for each in place.cloud.records())

    until(at_rest, 60)
    assert set(place.gemini.texts().values()) <= {1}


def test_pulled_events_reach_the_server(tmp_path: Path) -> None:
    """The short run's look at Cloud Storage and Pub/Sub; the long one has all of the above for them."""
    with (
        cloud("google", tmp_path) as there,
        gemini(tmp_path) as model,
        container(tmp_path / "data", there, model, SWEEP_INTERVAL_SEC="0") as server,
    ):
        follow_objects(Place(tmp_path, "google", there, model, server))


@pytest.mark.parametrize("kind", ["own", pytest.param("google", marks=slow)])
def test_pushed_events_reach_the_function(tmp_path: Path, kind: str) -> None:
    """The functions as they are deployed, behind a push subscription."""
    port = free_port()
    with ExitStack() as stack:
        there = stack.enter_context(cloud(kind, tmp_path, push=f"http://127.0.0.1:{port}/"))
        assert isinstance(there, GoogleCloud)
        model = stack.enter_context(gemini(tmp_path))
        settings = {**there.settings(), "GEMINI_BASE_URL": model.address, "GEMINI_API_KEY": "any"}
        source = deployed(tmp_path)
        stack.enter_context(function("ingest", "ingest", source, tmp_path / "ingest.log", port=port, **settings))
        search = stack.enter_context(function("search", "search", source, tmp_path / "search.log", **settings))

        def answer() -> str:
            return str(ask(search, QUESTION, "hr", path="/").get("answer", ""))

        there.put("hr/leave.md", LEAVE.format(27))
        until(lambda: "27" in answer())
        there.put("hr/leave.md", LEAVE.format(31))
        until(lambda: "31" in answer() and "27" not in answer())
        there.delete("hr/leave.md")
        until(lambda: not model.documents())
        there.send(b"no event")
        until(lambda: there.dead() == [b"no event"], 30)


@slow
@pytest.mark.parametrize("kind", ["own", "moto"])
def test_a_clean_stop_gives_back_what_it_holds(tmp_path: Path, kind: Kind) -> None:
    """The next server gets it at once, and not when the queue would have brought it again by itself, after a minute.

    Google's emulator takes the message back when asked to (seen in the client's log), and yet waits before it delivers
    it again where the stream that it came by is closed.
    """
    with cloud(kind, tmp_path) as there, gemini(tmp_path) as model:
        model.go_wrong({"call": UPLOAD, "fault": "answer", "status": 400, "body": KEY_REFUSED})
        with container(tmp_path / "data", there, model, SWEEP_INTERVAL_SEC="0") as server:
            there.put("stop/bell.md", "The bell rings at six.")
            until(lambda: server.get("/health").json()["checks"].get("ingest"))
        model.go_wrong()
        with container(tmp_path / "data", there, model, SWEEP_INTERVAL_SEC="0"):
            until(lambda: model.texts() == {"stop/bell.md": 1}, 30)
