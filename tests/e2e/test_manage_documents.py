"""Documents over HTTP: listed and filtered, retried, deleted; names that no document has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server, flamehaven, until

NAMES = ["a.md", "default/b.md", "hr/a.md", "hr/deep/b.txt", "hr.md", "it/a.md"]
Listed = Callable[..., list[str]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    for name in NAMES:
        write(data, name, f"This is {name}.")
    write(data, "it/broken.pdf", "%PDF-1.4 no")
    write(data, "hr/a.md.metadata.json", "{}")
    write(data, "hr/.hidden.md", "hidden")
    write(data, "hr/~$draft.docx", "what an office program leaves")
    write(data, "hr/notes.md~", "what an editor leaves")
    return data


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Server]:
    with flamehaven(data) as client:
        until(lambda: not client.get("/api/documents", params={"status": "pending"}).json()["documents"])
        yield client


@pytest.fixture(scope="module")
def listed(server: Server) -> Listed:
    def every_page(**query: str) -> list[str]:
        names, token = [], ""
        while True:
            page = server.get("/api/documents", params=query | ({"page_token": token} if token else {})).json()
            names += [document["object"] for document in page["documents"]]
            assert len(page["documents"]) <= int(query.get("page_size", "100"))
            token = page["next_page_token"]
            if not token:
                return names

    return every_page


def write(data: Path, name: str, text: str) -> None:
    path = data / "documents" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def state(client: Server, name: str) -> dict[str, Any]:
    return dict(client.get(f"/api/documents/{name}").json())


def test_pages_follow_each_other(listed: Listed) -> None:
    every = sorted([*NAMES, "it/broken.pdf"])
    assert listed() == listed(page_size="1") == listed(page_size="3") == every


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"store": "hr"}, ["hr/a.md", "hr/deep/b.txt"]),
        ({"store": "default"}, ["a.md", "default/b.md", "hr.md"]),
        ({"store": "nowhere"}, []),
        ({"prefix": "hr"}, ["hr.md", "hr/a.md", "hr/deep/b.txt"]),
        ({"prefix": "hr/de", "store": "hr"}, ["hr/deep/b.txt"]),
        ({"prefix": "it/", "store": "hr"}, []),
        ({"status": "failed"}, ["it/broken.pdf"]),
        ({"status": "indexed", "store": "it"}, ["it/a.md"]),
        ({"type": "txt"}, ["hr/deep/b.txt"]),
        ({"type": "pdf", "status": "indexed"}, []),
    ],
)
def test_filters_choose_documents(listed: Listed, query: dict[str, str], names: list[str]) -> None:
    assert listed(**query) == listed(**query, page_size="1") == names


def test_a_document_says_where_it_stands(server: Server) -> None:
    indexed = state(server, "hr/a.md")
    assert (indexed["store"], indexed["title"], indexed["mime_type"]) == ("hr", "a.md", "text/markdown")
    assert (indexed["status"], indexed["size"], indexed["reason"], indexed["attempts"]) == ("indexed", 16, None, 0)
    assert (indexed["notes"], indexed["metadata"]) == ([], {})
    assert indexed["updated"] <= indexed["indexed"]
    failed = state(server, "it/broken.pdf")
    assert (failed["status"], failed["reason"]["code"], failed["indexed"]) == ("failed", "INDEXING_FAILED", None)


def test_a_listing_shows_what_changed_since_the_one_before(server: Server, data: Path, listed: Listed) -> None:
    write(data, "new/x.md", "%PDF")
    until(lambda: listed(store="new", status="indexed") == ["new/x.md"])
    write(data, "new/x.md", "")
    until(lambda: listed(store="new", status="failed") == ["new/x.md"])
    (data / "documents" / "new" / "x.md").unlink()
    assert listed(store="new") == []


def test_a_document_is_indexed_anew_when_somebody_asks(server: Server) -> None:
    before = state(server, "a.md")
    answer = server.post("/api/documents/a.md/retry")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    until(lambda: (now := state(server, "a.md"))["status"] == "indexed" and now["indexed"] > before["indexed"])
    found = server.get("/api/search", params={"q": "What is a.md?", "metadata_filter": 'flamehaven_object = "a.md"'})
    assert [source["title"] for source in found.json()["sources"]] == ["a.md"]


def test_what_failed_is_tried_again_when_somebody_asks(tmp_path: Path) -> None:
    write(tmp_path, "hr/large.md", "Lunch is at noon. " * 70_000)
    with flamehaven(tmp_path, MAX_FILE_SIZE_MB="1") as client:
        until(lambda: state(client, "hr/large.md")["status"] == "failed")
    with flamehaven(tmp_path, MAX_FILE_SIZE_MB="2") as client:
        assert state(client, "hr/large.md")["reason"]["code"] == "FILE_SIZE_EXCEEDED"
        assert client.post("/api/documents/hr/large.md/retry").status_code == 202
        until(lambda: state(client, "hr/large.md")["status"] == "indexed", 60)


def test_a_deleted_document_is_gone_with_what_described_it(server: Server, data: Path) -> None:
    write(data, "gone/x.md", "The code of the safe is 771.")
    write(data, "gone/x.md.metadata.json", '{"author": "Ann"}')
    asked = {"q": "What is the code of the safe?", "store": "gone"}
    until(lambda: "771" in server.get("/api/search", params=asked).json().get("answer", ""))
    answer = server.delete("/api/documents/gone/x.md")
    assert (answer.status_code, answer.json()["status"]) == (202, "deleted")
    assert list((data / "documents" / "gone").iterdir()) == []
    until(lambda: not server.get("/api/search", params=asked).json()["grounded"])
    assert server.get("/api/documents/gone/x.md").status_code == 404
    again = server.delete("/api/documents/gone/x.md")
    assert (again.status_code, again.json()["error"]) == (404, "FILE_NOT_FOUND")


@pytest.mark.parametrize(
    "name", ["hr/none.md", "hr/.hidden.md", "hr/a.md.metadata.json", "hr/deep", "hr/", "hr/~$draft.docx"]
)
@pytest.mark.parametrize(("method", "action"), [("GET", ""), ("DELETE", ""), ("POST", "/retry")])
def test_what_is_no_document_is_not_found(server: Server, name: str, method: str, action: str) -> None:
    answer = server.request(method, f"/api/documents/{name}{action}")
    assert (answer.status_code, answer.json()["error"]) == (404, "FILE_NOT_FOUND")
