"""NAME.metadata.json beside a file: what it says can be filtered by, and what of it does not fit is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server, flamehaven, free_port, until

QUESTION = "How long is parental leave?"
TEXT = "Parental leave is 26 weeks."


def write(data: Path, name: str, content: str | bytes) -> Path:
    path = data / "documents" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def found(client: Server, store: str, metadata_filter: str) -> bool:
    asked = {"q": QUESTION, "store": store, "metadata_filter": metadata_filter}
    return bool(client.get("/api/search", params=asked).json().get("grounded"))


def document(client: Server, name: str) -> dict[str, Any]:
    return dict(client.get(f"/api/documents/{name}").json())


def test_texts_numbers_and_lists_can_be_filtered_by(server: Server, data: Path) -> None:
    said = {"author": "Ann Lee", "year": 2026, "draft": False, "topics": ["leave", "pay"], "type": "policy"}
    write(data, "kinds/leave.md.metadata.json", json.dumps(said))
    write(data, "kinds/leave.md", TEXT)
    until(lambda: found(server, "kinds", 'author = "Ann Lee"'))
    for accepted in (
        "year = 2026",
        "year > 2025 AND year < 2027",
        'draft = "false"',
        'topics = "pay"',
        "type = policy",
    ):
        assert found(server, "kinds", accepted), accepted
    for rejected in ('author = "Ann"', "year = 2025", 'topics = "tax"', 'draft = "true"', 'type = "md"'):
        assert not found(server, "kinds", rejected), rejected
    assert document(server, "kinds/leave.md")["metadata"] == said | {"draft": "false"}
    assert document(server, "kinds/leave.md")["notes"] == []


def test_metadata_that_comes_changes_or_goes_changes_what_is_found(server: Server, data: Path) -> None:
    write(data, "change/leave.md", TEXT)
    until(lambda: found(server, "change", 'type = "md"'))
    assert not found(server, "change", 'team = "hr"')
    described = write(data, "change/leave.md.metadata.json", '{"team": "hr"}')
    until(lambda: found(server, "change", 'team = "hr"'))
    described.write_text('{"team": "legal"}')
    until(lambda: found(server, "change", 'team = "legal"') and not found(server, "change", 'team = "hr"'))
    described.unlink()
    until(lambda: not found(server, "change", 'team = "legal"'))
    assert found(server, "change", 'type = "md"')
    listed = server.get("/api/documents", params={"store": "change"}).json()["documents"]
    assert [each["object"] for each in listed] == ["change/leave.md"]


def test_changes_while_the_server_is_down_count_too(tmp_path: Path) -> None:
    write(tmp_path, "hr/leave.md", TEXT)
    with flamehaven(tmp_path) as client:
        until(lambda: found(client, "hr", 'type = "md"'))
    write(tmp_path, "hr/leave.md.metadata.json", '{"team": "hr"}')
    with flamehaven(tmp_path) as client:
        until(lambda: found(client, "hr", 'team = "hr"'))


def test_what_does_not_fit_is_said_and_the_rest_is_used(server: Server, data: Path) -> None:
    said = {
        "team": "hr",
        "flamehaven_object": "another",
        "two words": "x",
        "empty": "",
        "nested": {"a": 1},
        "nothing": None,
        "long": "x" * 1025,
        **{f"key{number}": number for number in range(20)},
    }
    write(data, "limits/leave.md.metadata.json", json.dumps(said))
    write(data, "limits/leave.md", TEXT)
    until(lambda: found(server, "limits", 'team = "hr"'))
    assert found(server, "limits", "key13 = 13")
    assert not found(server, "limits", "key14 = 14")
    assert found(server, "limits", 'flamehaven_object = "limits/leave.md"')
    notes = document(server, "limits/leave.md")["notes"]
    for key in ("flamehaven_object", "two words", "empty", "nested", "nothing", "long", "key14", "key19"):
        assert [note for note in notes if f"Metadata '{key}'" in note], key
    assert len(notes) == 12


def test_what_does_not_fit_is_said_before_the_document_is_indexed(tmp_path: Path) -> None:
    write(tmp_path, "limits/leave.md.metadata.json", '{"team": "hr", "two words": "x"}')
    write(tmp_path, "limits/leave.md", TEXT)
    nowhere = f"http://127.0.0.1:{free_port()}"
    with flamehaven(tmp_path, GEMINI_BASE_URL=nowhere, GEMINI_API_KEY="any") as client:
        (listed,) = client.get("/api/documents").json()["documents"]
        assert listed["notes"] == document(client, "limits/leave.md")["notes"]
        assert (listed["status"], listed["metadata"]) == ("pending", {"team": "hr", "two words": "x"})
        (note,) = listed["notes"]
        assert "Metadata 'two words'" in note


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[1]",
        '"text"',
        b"\xff\xfe",
        '{"a": NaN}',
        "[" * 100_000,
        '{"a": "' + "x" * 70_000 + '"}',
        '{"a": "\\ud800"}',
    ],
)
def test_a_metadata_file_that_is_none_is_said_and_the_document_found(
    server: Server, data: Path, content: str | bytes, request: pytest.FixtureRequest
) -> None:
    store = f"broken{request.node.callspec.indices['content']}"
    write(data, f"{store}/leave.md.metadata.json", content)
    write(data, f"{store}/leave.md", TEXT)
    until(lambda: found(server, store, 'type = "md"'))
    until(lambda: document(server, f"{store}/leave.md")["status"] == "indexed")
    (note,) = document(server, f"{store}/leave.md")["notes"]
    assert "etadata" in note


def test_metadata_is_taken_over_http_before_and_after_its_document(server: Server) -> None:
    def put(name: str, content: str) -> int:
        return server.put(f"/api/documents/{name}", content=content).status_code

    assert put("http/leave.md.metadata.json", '{"team": "hr"}') == 202
    assert put("http/leave.md", TEXT) == 202
    until(lambda: found(server, "http", 'team = "hr"'))
    assert put("http/leave.md.metadata.json", '{"team": "legal"}') == 202
    until(lambda: found(server, "http", 'team = "legal"'))


@pytest.mark.parametrize(
    ("name", "content", "status", "code"),
    [
        ("hr/x.md.metadata.json", "{", 400, "INVALID_METADATA"),
        ("hr/x.md.metadata.json", "[]", 400, "INVALID_METADATA"),
        ("hr/x.md.metadata.json", '{"a": "' + "x" * 70_000 + '"}', 413, "FILE_SIZE_EXCEEDED"),
        ("hr/.metadata.json", "{}", 400, "INVALID_FILENAME"),
        ("hr/x.md.metadata.json.metadata.json", "{}", 400, "INVALID_FILENAME"),
    ],
)
def test_metadata_that_cannot_be_is_refused(server: Server, name: str, content: str, status: int, code: str) -> None:
    answer = server.put(f"/api/documents/{name}", content=content)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
