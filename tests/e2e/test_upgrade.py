"""A data folder of an older version, in every state that matters, is opened by this one and nothing of it is lost."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.answering import Answer, Request, answering
from tests.servers import Server, flamehaven, until

EMULATOR = "data/emulator"
FOLDERS = Path(__file__).parents[1] / "data_folders"
INDEXED = ["hr/handbook.pdf", "hr/leave.md", "it/größe.txt", "it/roof.txt", "readme.md"]
FACTS = [
    ("hr", "How much may a hotel cost a night?", "140 euros"),
    ("hr", "How long is parental leave?", "26 weeks"),
    ("it", "Wie viel Gigabyte hat das größte Postfach?", "50 Gigabyte"),
    ("it", "When was the roof renewed?", "2021"),
    ("default", "When is the office open?", "7:30"),
]


@pytest.fixture(params=sorted(path.name for path in FOLDERS.glob("*.tar.xz")))
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What an older version left when it was killed: `data`, with it/roof.txt half done, and `keys.json`."""
    with tarfile.open(FOLDERS / request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@contextmanager
def as_admin(left: Path, **settings: str) -> Iterator[Server]:
    with flamehaven(left / "data", **settings) as server:
        server.headers.update(bearer(left, "Admin"))
        yield server


def bearer(left: Path, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer sk_live_{json.loads((left / 'keys.json').read_bytes())[name]}"}


def documents(server: Server, status: str) -> dict[str, Any]:
    listed = server.get("/api/documents", params={"status": status}).raise_for_status().json()["documents"]
    return {each["object"]: each for each in listed}


def answer(server: Server, store: str, question: str, **more: Any) -> Any:
    return server.get("/api/search", params={"q": question, "store": store}, **more).json()


def in_index(folder: Path) -> set[str]:
    """The ids of the searchable documents in an emulator's folder."""
    with closing(sqlite3.connect(folder / "index.sqlite3")) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM documents WHERE state = 'ACTIVE'")}


def test_a_killed_servers_folder_is_opened_whole(left: Path) -> None:
    waiting = {path.stem for path in (left / "data/state/notices").iterdir()}
    before, told = in_index(left / EMULATOR), set[str]()

    def take(request: Request) -> Answer:
        told.add(json.loads(request.body)["id"])
        return Answer(204)

    with answering(take) as address, as_admin(left, NOTIFY_URL=address) as server:
        until(lambda: list(documents(server, "indexed")) == INDEXED, 60)
        until(lambda: not documents(server, "pending"))
        assert server.get("/health").json()["status"] == "healthy"
        for store, question, fact in FACTS:
            assert fact in answer(server, store, question)["answer"]
        assert documents(server, "failed")["it/broken.pdf"]["reason"]["code"] == "INDEXING_FAILED"
        assert len(documents(server, "indexed")["hr/leave.md"]["notes"]) == 1
        until(lambda: told >= waiting)
        server.post("/api/reconcile").raise_for_status()
    after = in_index(left / EMULATOR)
    assert before < after, "what was indexed was not sent again"
    assert len(after) == len(INDEXED), "what was half done is there once"


def test_keys_open_what_they_opened(left: Path) -> None:
    with as_admin(left) as server:
        keys = {key["name"]: key for key in server.get("/api/admin/keys").json()["keys"]}
        assert sorted(keys) == ["Admin", "Ann", "Bob"]
        ann = bearer(left, "Ann")
        assert "26 weeks" in answer(server, "hr", "How long is parental leave?", headers=ann)["answer"]
        assert server.get("/api/search", params={"q": "x", "store": "it"}, headers=ann).status_code == 403
        assert server.get("/api/stores", headers=bearer(left, "Bob")).status_code == 401
        assert server.delete(f"/api/admin/keys/{keys['Ann']['id']}").status_code == 200
        assert server.get("/api/stores", headers=ann).status_code == 401


def test_an_index_of_a_newer_version_is_moved_aside_and_made_again(left: Path) -> None:
    with as_admin(left) as server:
        until(lambda: list(documents(server, "indexed")) == INDEXED, 60)
    before = in_index(left / EMULATOR)
    with closing(sqlite3.connect(left / EMULATOR / "index.sqlite3")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with as_admin(left, WORKERS="2") as server:
        until(lambda: list(documents(server, "indexed")) == INDEXED, 60)
        for store, question, fact in FACTS:
            assert fact in answer(server, store, question)["answer"]
        health = server.get("/health").json()
        assert health["status"] == "degraded"
        assert "An index of another version was moved to " in health["warnings"]["index"]
    log = (left / "data/server.log").read_text()
    assert log.count("The index was made by another version (schema 99)") == 1
    (kept,) = (left / EMULATOR).glob("set-aside-*")
    assert in_index(kept) == before
