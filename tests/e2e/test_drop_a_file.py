"""A newcomer's first hour: dropped files are found, changes change the answers, deletes are gone from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from tests.documents import EXAMPLES, pdf
from tests.servers import flamehaven, until


def ask(client: httpx2.Client, question: str, store: str = "hr") -> dict[str, Any]:
    answer = client.get("/api/search", params={"q": question, "store": store})
    assert answer.status_code in (200, 404, 409), answer.text
    return dict(answer.json())


def excerpts(client: httpx2.Client, question: str, store: str = "hr") -> dict[str, str]:
    return {source["title"]: source["excerpt"] for source in ask(client, question, store).get("sources", [])}


def test_every_supported_type_is_found_by_its_fact(tmp_path: Path) -> None:
    with flamehaven(tmp_path) as client:
        folder = tmp_path / "documents" / "hr"
        folder.mkdir(parents=True)
        for example in EXAMPLES:
            example.write(folder / example.name)
        for example in EXAMPLES:
            until(lambda example=example: example.fact in excerpts(client, example.question).get(example.name, ""))
            found = ask(client, example.question)
            source = next(source for source in found["sources"] if source["title"] == example.name)
            assert (source["store"], source["page"]) == ("hr", example.page)
            assert source["uri"] == f"/api/documents/hr/{example.name}"
            until(lambda source=source: client.get(source["uri"]).json()["status"] == "indexed")
            assert found["grounded"]
            for citation in found["citations"]:
                assert found["answer"][citation["start"] : citation["end"]].strip()
        listed = client.get("/api/documents", params={"store": "hr"}).json()["documents"]
        assert [document["object"] for document in listed] == sorted(f"hr/{example.name}" for example in EXAMPLES)


def test_answers_follow_edits_deletes_and_changes_while_the_server_is_down(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    note, other = documents / "it" / "wifi.md", documents / "it" / "badge.md"
    question = "What is the guest wifi password?"
    with flamehaven(tmp_path) as client:
        note.parent.mkdir(parents=True)
        note.write_text("The guest wifi password is heron-42.\n")
        other.write_text("A lost badge is replaced at the front desk for 15 euros.\n")
        until(lambda: "heron-42" in excerpts(client, question, "it").get("wifi.md", ""))
        note.write_text("The guest wifi password is kestrel-99.\n")
        until(lambda: "kestrel-99" in excerpts(client, question, "it").get("wifi.md", ""))
        until(lambda: "heron-42" not in str(ask(client, question, "it")))
        note.unlink()
        until(lambda: "wifi.md" not in excerpts(client, question, "it"))
        assert not ask(client, question, "it")["grounded"]
        assert client.get("/api/documents/it/wifi.md").status_code == 404
        note.write_text("The guest wifi password is osprey-7.\n")
        until(lambda: "osprey-7" in excerpts(client, question, "it").get("wifi.md", ""))
    note.write_text("The guest wifi password is plover-3.\n")
    other.unlink()
    (documents / "it" / "late.md").write_text("The server room is on floor minus two.\n")
    with flamehaven(tmp_path) as client:
        until(lambda: "plover-3" in excerpts(client, question, "it").get("wifi.md", ""))
        until(lambda: "minus two" in excerpts(client, "On which floor is the server room?", "it").get("late.md", ""))
        until(lambda: "badge.md" not in excerpts(client, "What does a lost badge cost?", "it"))
        until(lambda: "osprey-7" not in str(ask(client, question, "it")))


def test_folders_are_moved_and_removed_as_a_whole(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    with flamehaven(tmp_path) as client:
        folder = documents / "ops" / "runbooks"
        folder.mkdir(parents=True)
        (folder / "disk.md").write_text("When the disk is full, run the janitor job.\n")
        question = "What to do when the disk is full?"
        until(lambda: "disk.md" in excerpts(client, question, "ops"))
        (documents / "ops").rename(documents / "sre")
        until(lambda: "disk.md" in excerpts(client, question, "sre"))
        until(lambda: "disk.md" not in excerpts(client, question, "ops"))


def test_a_file_that_cannot_be_indexed_says_why_and_takes_its_old_text_with_it(tmp_path: Path) -> None:
    with flamehaven(tmp_path) as client:
        path = tmp_path / "documents" / "hr" / "pay.pdf"
        path.parent.mkdir(parents=True)
        path.write_bytes(pdf(["Salaries are paid on the 25th of each month."]))
        until(lambda: "pay.pdf" in excerpts(client, "When are salaries paid?"))
        path.write_bytes(b"%PDF-1.4 this is not really a PDF")
        status = until(lambda: (d := client.get("/api/documents/hr/pay.pdf").json())["status"] == "failed" and d)
        assert status["reason"]["code"] == "INDEXING_FAILED"
        assert status["reason"]["message"]
        assert excerpts(client, "When are salaries paid?") == {}
        (path.parent / "program.exe").write_bytes(b"MZ")
        failed = until(
            lambda: (d := client.get("/api/documents/hr/program.exe").json()).get("status") == "failed" and d
        )
        assert failed["reason"]["code"] == "UNSUPPORTED_FILE_TYPE"


def test_upload_puts_a_file_into_the_bucket(tmp_path: Path) -> None:
    with flamehaven(tmp_path, MAX_FILE_SIZE_MB="1") as client:
        answer = client.post(
            "/api/upload/single",
            files={"file": ("été 1.md", b"Lunch vouchers are worth 9 euros.")},
            data={"store": "hr"},
        )
        assert answer.status_code == 202
        body = answer.json()
        assert (body["object"], answer.headers["location"]) == ("hr/été 1.md", "/api/documents/hr/%C3%A9t%C3%A9%201.md")
        until(lambda: client.get(body["status_url"]).json()["status"] == "indexed")
        (source,) = ask(client, "What are lunch vouchers worth?")["sources"]
        assert (source["title"], source["uri"]) == ("été 1.md", body["status_url"])


def test_searching_makes_no_store(tmp_path: Path) -> None:
    with flamehaven(tmp_path) as client:
        for _ in range(2):
            assert client.get("/api/search", params={"q": "x", "store": "ghost"}).status_code == 404
        assert client.get("/api/stores").json()["count"] == 0


def test_documents_in_a_folder_that_nothing_may_be_written_to_are_found(tmp_path: Path) -> None:
    documents = tmp_path / "elsewhere"
    (documents / "hr").mkdir(parents=True)
    (documents / "hr" / "pay.md").write_text("Salaries are paid on the 25th of each month.")
    before = sorted(documents.rglob("*"))
    with flamehaven(tmp_path / "data", DOCUMENTS_URL=str(documents)) as client:
        until(lambda: "25th" in excerpts(client, "When are salaries paid?").get("pay.md", ""))
    assert sorted(documents.rglob("*")) == before
