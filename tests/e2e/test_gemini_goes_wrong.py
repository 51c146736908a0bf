"""The whole product against a Gemini that goes wrong in many ways: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx2

from tests.servers import flamehaven, free_port, running, until

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


def active(emulator: str) -> list[str]:
    """The objects of the searchable documents, each as often as it is there."""
    (store,) = httpx2.get(f"{emulator}/emulator/state").json()["stores"]
    documents = [document for document in store["documents"] if document["state"] == "STATE_ACTIVE"]
    assert len(documents) == len(store["documents"])
    return sorted(document["displayName"] for document in documents)


def test_every_file_is_indexed_once_whatever_goes_wrong(tmp_path: Path) -> None:
    port = free_port()
    emulator = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "flamehaven.cli",
        "emulator",
        "--port",
        str(port),
        "--data",
        str(tmp_path / "gemini"),
    ]
    folder = tmp_path / "data" / "documents" / "hr"
    folder.mkdir(parents=True)
    names = sorted(f"note-{number:02}.txt" for number in range(FILES))
    for name in names:
        (folder / name).write_text(f"The code of {name} is {name[5:7]}99.\n")
    with running(command, environment={}, url=emulator, log=tmp_path / "emulator.log"):
        answer = httpx2.put(f"{emulator}/emulator/faults", json={"seed": 4, "rules": RULES})
        assert answer.status_code == 200, answer.text
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
