"""The whole product against a Gemini that goes wrong in many ways: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.servers import FLAMEHAVEN, ROOT, flamehaven, free_port, running, until
from tests.slow_gemini import events

FILES = 12
RATE_LIMITED = {"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}
RULES: list[dict[str, Any]] = [
    {"call": "fileSearchStores.create", "fault": "answer", "status": 503, "times": 1},
    {
        "call": "uploadToFileSearchStore.upload.start",
        "fault": "answer",
        "status": 429,
        "body": RATE_LIMITED,
        "share": 0.2,
    },
    {"call": "uploadToFileSearchStore.upload.bytes", "fault": "lose_answer", "share": 0.2},
    {"call": "uploadToFileSearchStore.upload.bytes", "fault": "drop", "share": 0.15},
    {"call": "uploadToFileSearchStore.upload.bytes", "fault": "fail_then_recover", "seconds": 1, "share": 0.2},
    {"call": "documents.get", "fault": "answer", "status": 500, "share": 0.1},
    {"call": "documents.list", "fault": "truncate", "share": 0.1},
    {"call": "documents.delete", "fault": "lose_answer", "share": 0.2},
    {"call": "operations.get", "fault": "drop", "share": 0.1},
]


KEY_REFUSED = {
    "error": {
        "code": 400,
        "message": "API key not valid.",
        "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
    }
}


@contextmanager
def emulator_of(folder: Path) -> Iterator[str]:
    """The address of an emulator of its own."""
    port = free_port()
    url, data = f"http://127.0.0.1:{port}", str(folder / "gemini")
    command = [*FLAMEHAVEN, "emulator", "--port", str(port), "--data", data]
    with running(command, environment={}, url=url, log=folder / "emulator.log"):
        yield url


def set_faults(emulator: str, rules: list[dict[str, Any]]) -> None:
    answer = httpx2.put(f"{emulator}/emulator/faults", json={"seed": 4, "rules": rules})
    assert answer.status_code == 200, answer.text


def active(emulator: str) -> list[str]:
    """The objects of the searchable documents, each as often as it is there."""
    (store,) = httpx2.get(f"{emulator}/emulator/state").json()["stores"]
    documents = [document for document in store["documents"] if document["state"] == "STATE_ACTIVE"]
    assert len(documents) == len(store["documents"])
    return sorted(document["displayName"] for document in documents)


def test_every_file_is_indexed_once_whatever_goes_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "documents" / "hr"
    folder.mkdir(parents=True)
    names = sorted(f"note-{number:02}.txt" for number in range(FILES))
    for name in names:
        (folder / name).write_text(f"The code of {name} is {name[5:7]}99.\n")
    with emulator_of(tmp_path) as emulator:
        set_faults(emulator, RULES)
        settings = {"GEMINI_BASE_URL": emulator, "GEMINI_API_KEY": "any"}
        with flamehaven(tmp_path / "data", **settings) as client:

            def indexed() -> list[str]:
                page = client.get("/api/documents", params={"status": "indexed"}).json()
                return sorted(document["object"].partition("/")[2] for document in page["documents"])

            until(lambda: indexed() == names, seconds=90)
            for name in names[:4]:
                (folder / name).write_text(f"The code of {name} is now {name[5:7]}11.\n")
            names.remove((folder / names[-1]).name)
            (folder / f"note-{FILES - 1:02}.txt").unlink()
            until(lambda: indexed() == names, seconds=90)
            happened = [rule["happened"] for rule in httpx2.get(f"{emulator}/emulator/faults").json()["rules"]]
            assert sum(happened) > FILES
            httpx2.put(f"{emulator}/emulator/faults", json={})
            until(lambda: client.post("/api/reconcile").status_code == 200 and active(emulator) == names, seconds=60)
            for name in (names[0], names[-1]):
                found = client.get("/api/search", params={"q": f"What is the code of {name}?", "store": "hr"}).json()
                assert ("11." if name == names[0] else "99.") in found["answer"]


def test_a_document_that_is_tried_again_and_again_says_why(tmp_path: Path) -> None:
    with emulator_of(tmp_path) as emulator:
        refused = {"call": "fileSearchStores.create", "fault": "answer", "status": 400, "body": KEY_REFUSED}
        set_faults(emulator, [refused])
        with flamehaven(tmp_path / "data", GEMINI_BASE_URL=emulator, GEMINI_API_KEY="any") as client:
            client.put("/api/documents/hr/party.md", content="The party is on 18 July.")

            def document() -> dict[str, Any]:
                return dict(client.get("/api/documents/hr/party.md").json())

            tried = until(lambda: (found := document())["attempts"] > 1 and found["reason"] and found)
            assert (tried["status"], tried["reason"]["code"]) == ("pending", "RETRYING")
            assert "GEMINI_API_KEY" in tried["reason"]["message"]
            found = client.get("/api/search", params={"q": "When is the party?", "store": "hr"}).json()
            assert found["error"] == "STORE_NOT_READY"
            assert tried["reason"]["message"] in found["message"]
            set_faults(emulator, [])
            until(lambda: document()["status"] == "indexed")
            assert (document()["reason"], document()["attempts"]) == (None, 0)


def test_a_refusal_says_how_many_documents_are_still_being_indexed(tmp_path: Path) -> None:
    question = {"q": "When is the party?"}
    with (
        emulator_of(tmp_path) as emulator,
        flamehaven(tmp_path / "data", GEMINI_BASE_URL=emulator, GEMINI_API_KEY="any") as client,
    ):

        def put(*names: str, **headers: str) -> None:
            for name in names:
                client.put(f"/api/documents/{name}.md", content=f"{name} is a town.", headers=headers)

        put("hr/oslo", "hr/bern", "hr/rome", "it/riga", "it/graz", Prefer="wait=20")
        set_faults(emulator, [{"call": "uploadToFileSearchStore.upload.start", "fault": "answer", "status": 503}])
        put("hr/party", "hr/kiel", "hr/lyon", "it/brno")
        expected = "The documents do not answer this question. 4 of 9 documents are still being indexed."
        assert client.get("/api/search", params=question).json()["answer"] == expected
        only_it = client.get("/api/search", params={**question, "store": "it"}).json()["answer"]
        assert only_it.endswith(" 1 of 3 documents is still being indexed.")
        with client.stream("GET", "/api/search", params={**question, "stream": "true"}) as answer:
            assert [data["answer"] for name, data in events(answer) if name == "answer"] == [expected]
        command = [*FLAMEHAVEN, "search", question["q"], "--url", str(client.base_url)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        assert shown.stdout == f"{expected}\nStores searched: hr, it\n"
        set_faults(emulator, [])
        client.put("/api/documents/hr/party.md", content="The party is on 18 July.")
        until(lambda: "18 July" in client.get("/api/search", params=question).json()["answer"])
        asked = {"q": "What is the capital of Australia?"}
        until(lambda: "indexed" not in client.get("/api/search", params=asked).json()["answer"])
