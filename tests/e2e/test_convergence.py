"""Whatever happens on the way, the index comes to agree with the bucket: real queues, real buckets, real crashes."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.deployment import Cloud, Gemini, Kind, cloud, container, gemini
from tests.servers import Server, until

OBJECTS = 50
SECONDS = 20
LOST, TWICE, LATE = 0.1, 0.1, 0.3
"""The shares of the events that are lost, delivered twice, and held back for a while."""
LONGEST_DELAY = 4.0
RULES: list[dict[str, Any]] = [
    {"call": "uploadToFileSearchStore.upload.start", "fault": "answer", "status": 429, "share": 0.1},
    {"call": "uploadToFileSearchStore.upload.bytes", "fault": "lose_answer", "share": 0.1},
    {"call": "uploadToFileSearchStore.upload.bytes", "fault": "drop", "share": 0.1},
    {"call": "uploadToFileSearchStore.upload.bytes", "fault": "fail_then_recover", "seconds": 1, "share": 0.1},
    {"call": "documents.get", "fault": "answer", "status": 500, "share": 0.05},
    {"call": "documents.list", "fault": "truncate", "share": 0.05},
    {"call": "documents.delete", "fault": "lose_answer", "share": 0.1},
]


class User:
    """Creates, overwrites, deletes and renames objects, and knows what there is in the end."""

    def __init__(self, cloud: Cloud, chance: random.Random) -> None:
        self._cloud = cloud
        self._chance = chance
        self.texts: dict[str, str] = {}

    def act(self) -> None:
        name = self._name()
        if name not in self.texts or self._chance.random() < 0.5:
            self.write(name)
        elif self._chance.random() < 0.5:
            self._cloud.delete(name)
            del self.texts[name]
        elif (new := self._name(like=name)) != name:
            self._cloud.rename(name, new)
            self.texts[new] = self.texts.pop(name)

    def write(self, name: str) -> None:
        code = self._chance.randrange(10**9)
        self.texts[name] = "" if name.startswith("empty/") else f"The code of unit {name} is {code}."
        self._cloud.put(name, self.texts[name])

    def _name(self, like: str = "") -> str:
        """Every tenth object is empty, and so fails for good."""
        number = self._chance.randrange(OBJECTS)
        if like:
            number = number // 10 * 10 + 9 if like.startswith("empty/") else number - (number % 10 == 9)
        return f"empty/{number}.md" if number % 10 == 9 else f"store-{number % 3}/{number}.md"


class Relay(threading.Thread):
    """Carries events from the bucket's queue to the one that is read; loses, repeats, delays and reorders some."""

    def __init__(self, cloud: Cloud, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._cloud = cloud
        self._chance = chance
        self._later: list[tuple[float, bytes, dict[str, str]]] = []
        self.counts = {"events": 0, "lost": 0, "repeated": 0, "late": 0}
        self.ending = threading.Event()

    def run(self) -> None:
        while not (self.ending.is_set() and not self._later):
            for body, attributes in self._cloud.raw_events():
                self._take(body, attributes)
            due = [each for each in self._later if each[0] <= time.monotonic()]
            self._chance.shuffle(due)
            for each in due:
                self._later.remove(each)
                self._cloud.send(each[1], each[2])
            time.sleep(0.05)

    def _take(self, body: bytes, attributes: dict[str, str]) -> None:
        self.counts["events"] += 1
        if self._chance.random() < LOST:
            self.counts["lost"] += 1
            return
        repeated, late = self._chance.random() < TWICE, self._chance.random() < LATE
        self.counts["repeated"] += repeated
        self.counts["late"] += late
        for _ in range(1 + repeated):
            delay = self._chance.uniform(0, LONGEST_DELAY) if late else 0.0
            self._later.append((time.monotonic() + delay, body, attributes))


class Worker(threading.Thread):
    """A server that is killed now and then, and started again; sweeps now and then, whatever else goes on."""

    def __init__(self, folder: Path, cloud: Cloud, gemini: Gemini, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._parts = folder, cloud, gemini
        self._chance = chance
        self.kills = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        end = time.monotonic() + SECONDS
        try:
            while time.monotonic() < end:
                with container(*self._parts, SWEEP_INTERVAL_SEC="0") as server:
                    for _ in range(self._chance.randrange(1, 4)):
                        time.sleep(self._chance.uniform(0.3, 2))
                        with suppress(httpx2.TimeoutException):
                            server.post("/api/reconcile", timeout=self._chance.uniform(0.1, 1))
                    server.kill()
                    self.kills += 1
        except BaseException as failure:
            self.failure = failure


def indexed(folder: Path) -> list[tuple[str, str]]:
    """The object and the text of every chunk that the emulator has."""
    query = "SELECT text, metadata FROM chunks JOIN documents ON documents.number = chunks.document"
    with closing(sqlite3.connect(f"file:{folder}/gemini/index.sqlite3?mode=ro", uri=True)) as connection:
        return sorted(
            (metadata_of(metadata)["flamehaven_object"], text) for text, metadata in connection.execute(query)
        )


def metadata_of(stored: str) -> dict[str, str]:
    return {entry["key"]: entry.get("stringValue", entry.get("string_value")) for entry in json.loads(stored)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["google", "own", "moto", "localstack"])
@settings(
    max_examples=2,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(0, 2**32))
def test_one_document_for_each_object_with_its_newest_text(
    kind: Kind, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    note(f"seed {seed}")
    print(f"{kind}, seed {seed}")
    chance, folder = random.Random(seed), tmp_path_factory.mktemp(kind)
    with cloud(kind, folder, relayed=True) as there, gemini(folder) as model:
        model.go_wrong(*RULES, seed=seed)
        user, relay = User(there, chance), Relay(there, random.Random(seed + 1))
        workers = [Worker(folder / f"data-{k}", there, model, random.Random(seed + 2 + k)) for k in range(2)]
        for thread in (relay, *workers):
            thread.start()
        while any(worker.is_alive() for worker in workers):
            user.act()
            time.sleep(chance.uniform(0, 0.2))
        assert [worker.failure for worker in workers] == [None, None]
        model.go_wrong()
        relay.ending.set()
        relay.join(30)
        print(relay.counts, [worker.kills for worker in workers], len(user.texts), "objects")
        with container(folder / "data-0", there, model, SWEEP_INTERVAL_SEC="0") as server:
            sweep_until_settled(server)
            kept = {name: text for name, text in user.texts.items() if text}
            assert indexed(folder) == sorted(kept.items())
            assert model.texts() == dict.fromkeys(kept, 1)
            failed = server.get("/api/documents", params={"status": "failed", "page_size": 1000}).json()["documents"]
            assert {each["object"]: each["reason"]["code"] for each in failed} == dict.fromkeys(
                user.texts.keys() - kept.keys(), "EMPTY_FILE"
            )
            assert not [record for record in there.records() if record.get("lease") or record.get("uploads")]


def sweep_until_settled(server: Server) -> None:
    """One sweep, and more only where it met with work that was still going on."""
    restless = {"busy", "pending", "error"}
    until(lambda: not restless & server.post("/api/reconcile", timeout=120).json()["outcomes"].keys(), 120)
