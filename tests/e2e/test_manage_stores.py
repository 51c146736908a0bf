"""Stores over HTTP: made, listed with what is in them, emptied, indexed anew."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server, flamehaven, until


def put(client: Server, name: str, text: str) -> None:
    answer = client.put(f"/api/documents/{name}", content=text, headers={"Prefer": "wait=20"})
    assert answer.status_code == 200, answer.text


def stores(client: Server) -> dict[str, Any]:
    found = client.get("/api/stores").json()
    assert found["count"] == len(found["stores"])
    return dict(found["stores"])


def ask(client: Server, store: str, question: str) -> dict[str, Any]:
    return dict(client.get("/api/search", params={"q": question, "store": store}).json())


def in_gemini(data: Path) -> set[str]:
    """The resource names of every store that the emulator has."""
    with closing(sqlite3.connect(f"file:{data}/emulator/index.sqlite3?mode=ro", uri=True)) as connection:
        return {f"fileSearchStores/{row[0]}" for row in connection.execute("SELECT id FROM stores")}


def test_a_store_can_be_made_before_there_is_anything_in_it(server: Server) -> None:
    assert ask(server, "plans", "Anything?")["error"] == "STORE_NOT_FOUND"
    made = server.post("/api/stores", json={"name": "plans"})
    assert (made.status_code, made.json()["store_name"]) == (201, "plans")
    again = server.post("/api/stores", json={"name": "plans"})
    assert (again.status_code, again.json()["resource"]) == (200, made.json()["resource"])
    assert not ask(server, "plans", "Anything?")["grounded"]
    empty = {"documents": 0, "indexed": 0, "pending": 0, "failed": 0, "size_bytes": 0, "problems": []}
    assert stores(server)["plans"] == {"resource": made.json()["resource"], **empty}


def test_a_store_counts_its_documents_by_their_state(server: Server) -> None:
    put(server, "count/a.md", "one")
    put(server, "count/deep/b.md", "three")
    put(server, "count/c.pdf", "%PDF-1.4 no")
    found = stores(server)["count"]
    assert found.pop("resource").startswith("fileSearchStores/")
    assert found == {"documents": 3, "indexed": 2, "pending": 0, "failed": 1, "size_bytes": 19, "problems": []}


def test_a_store_of_which_nothing_can_be_searched_says_so(server: Server, data: Path) -> None:
    path = data / "documents" / "broken" / "x.exe"
    path.parent.mkdir()
    path.write_bytes(b"MZ")
    until(lambda: stores(server).get("broken", {}).get("failed") == 1)
    assert stores(server)["broken"]["resource"] is None
    found = ask(server, "broken", "Anything?")
    assert (found["error"], found["status_code"]) == ("STORE_NOT_READY", 409)
    assert "Files that end in '.exe' are not indexed." in found["message"]


def test_a_store_is_deleted_with_its_documents_only_by_force(server: Server, data: Path) -> None:
    put(server, "old/a.md", "The old gate code is 551.")
    put(server, "old/deep/b.md", "The old fax number is 20.")
    resource = stores(server)["old"]["resource"]
    refused = server.delete("/api/stores/old")
    assert (refused.status_code, refused.json()["error"]) == (409, "RESOURCE_CONFLICT")
    assert refused.json()["details"] == {"documents": 2, "size_bytes": 50}
    assert "551" in ask(server, "old", "What is the old gate code?")["answer"]
    deleted = server.delete("/api/stores/old", params={"force": "true"})
    assert (deleted.status_code, deleted.json()["documents"]) == (200, 2)
    assert "old" not in stores(server)
    assert [path for path in (data / "documents" / "old").rglob("*") if path.is_file()] == []
    assert ask(server, "old", "What is the old gate code?")["error"] == "STORE_NOT_FOUND"
    until(lambda: resource not in in_gemini(data))
    put(server, "old/a.md", "The new gate code is 552.")
    assert "552" in ask(server, "old", "What is the gate code?")["answer"]
    assert stores(server)["old"]["resource"] != resource


def test_an_empty_store_is_deleted_without_force(server: Server, data: Path) -> None:
    resource = server.post("/api/stores", json={"name": "short"}).json()["resource"]
    assert server.delete("/api/stores/short").json()["documents"] == 0
    assert "short" not in stores(server)
    assert resource not in in_gemini(data)


def test_a_store_is_indexed_anew_and_answers_meanwhile(server: Server) -> None:
    for number in range(5):
        put(server, f"again/{number}.md", f"The code of room {number} is {number}913.")
    before = {name: server.get(f"/api/documents/{name}").json()["indexed"] for name in names(server, "again")}
    answer = server.post("/api/stores/again/reindex")
    assert (answer.status_code, answer.json()["documents"]) == (202, 5)
    assert "3913" in ask(server, "again", "What is the code of room 3?")["answer"]

    def done() -> bool:
        now = server.get("/api/documents", params={"store": "again"}).json()["documents"]
        return all(each["status"] == "indexed" and each["indexed"] > before[each["object"]] for each in now)

    until(done)
    found = ask(server, "again", "What is the code of room 3?")
    assert len(found["sources"]) == len({source["uri"] for source in found["sources"]})


def names(client: Server, store: str) -> list[str]:
    return [each["object"] for each in client.get("/api/documents", params={"store": store}).json()["documents"]]


@pytest.mark.parametrize("name", ["nowhere", "%2E%2E", "a%5Cb", ".hidden", "s" * 300])
def test_a_store_that_is_not_there_or_cannot_be(server: Server, name: str) -> None:
    expected = (404, "STORE_NOT_FOUND") if name == "nowhere" else (400, "INVALID_FILENAME")
    for method, path in (("DELETE", f"/api/stores/{name}"), ("POST", f"/api/stores/{name}/reindex")):
        answer = server.request(method, path)
        assert (answer.status_code, answer.json()["error"]) == expected, answer.text


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", ".hidden", "a\tb", "../../evil"])
def test_a_store_of_a_name_that_cannot_be_is_not_made(server: Server, name: str) -> None:
    before = stores(server)
    answer = server.post("/api/stores", json={"name": name})
    assert (answer.status_code, answer.json()["error"]) in ((400, "INVALID_FILENAME"), (422, "VALIDATION_ERROR"))
    assert stores(server) == before


def test_a_sweep_on_demand_says_first_what_there_is_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "documents" / "hr"
    folder.mkdir(parents=True)
    gemini = {"GEMINI_BASE_URL": "http://127.0.0.1:9", "GEMINI_API_KEY": "a-key"}
    with flamehaven(tmp_path) as client:
        put(client, "hr/a.md", "one")
        assert client.post("/api/reconcile").json()["outcomes"] == {"unchanged": 1}
    (folder / "b.md").write_text("two")
    (folder.parent / "c.md").write_text("three")
    with flamehaven(tmp_path, **gemini, CACHE_TTL_SEC="0") as client:  # another backend, and one that does not answer
        answer = client.post("/api/reconcile", params={"dry_run": "true"}).json()
        assert (answer["outcomes"], answer["unsettled"]) == ({"to reconcile": 3}, ["c.md", "hr/a.md", "hr/b.md"])
        only = client.post("/api/reconcile", params={"dry_run": "true", "store": "hr"}).json()
        assert (only["objects"], only["unsettled"]) == (2, ["hr/a.md", "hr/b.md"])
