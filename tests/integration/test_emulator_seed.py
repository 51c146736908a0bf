"""An emulator that starts from a seed, shows what is inside, and returns to the start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from file_search_emulator.app import create_app
from file_search_emulator.seed import SeedError
from tests.emulator import KEY, EmulatorClient, emulator, png, texts
from tests.servers import free_port, running

ANSWER = "Every employee has 27 days of paid leave a year."
ASKED = "How many days of paid leave does an employee have?"
SEED: dict[str, Any] = {
    "stores": [
        {
            "name": "fileSearchStores/hr",
            "displayName": "HR",
            "embeddingModel": "models/gemini-embedding-2",
            "documents": [
                {
                    "name": "fileSearchStores/hr/documents/leave",
                    "displayName": "leave.txt",
                    "text": ANSWER,
                    "customMetadata": [{"key": "year", "numericValue": 2026}],
                },
                {"name": "fileSearchStores/hr/documents/plan", "path": "plan.png"},
                {"name": "fileSearchStores/hr/documents/bare"},
            ],
        },
        {"name": "fileSearchStores/empty"},
    ],
    "files": [
        {"name": "files/policy", "displayName": "Policy", "mimeType": "text/markdown", "text": "# Policy"},
        {"name": "files/bare"},
    ],
}


def write(folder: Path, seed: Any = SEED) -> Path:
    (folder / "plan.png").write_bytes(png(10, 20))
    path = folder / "seed.json"
    path.write_text(json.dumps(seed))
    return path


def command(port: int, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "flamehaven.cli", "emulator", "--port", str(port), *arguments]


async def test_a_seed_is_there_at_the_start_and_again_after_a_reset(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(command(port, "--seed", str(write(tmp_path))), environment={}, url=url, log=tmp_path / "log"):
        async with httpx2.AsyncClient(base_url=url, timeout=30) as http:
            api = EmulatorClient(http, tmp_path)
            first = (await http.get("/emulator/state")).json()
            hr, empty = first["stores"]
            assert (hr["name"], hr["displayName"], hr["activeDocumentsCount"]) == ("fileSearchStores/hr", "HR", "3")
            leave, plan, bare = hr["documents"]
            assert leave["name"] == "fileSearchStores/hr/documents/leave"
            assert leave["customMetadata"] == [{"key": "year", "numericValue": 2026}]
            assert [document["chunks"] for document in (leave, plan, bare)] == [1, 1, 0]
            assert (plan["mimeType"], bare["state"]) == ("image/png", "STATE_ACTIVE")
            assert (empty["name"], empty["documents"]) == ("fileSearchStores/empty", [])
            assert [file["name"] for file in first["files"]] == ["files/policy", "files/bare"]
            assert first["files"][0]["mimeType"] == "text/markdown"
            assert texts(await api.ask(ASKED, "fileSearchStores/hr"))[0] == ANSWER

            await api.json("DELETE", "fileSearchStores/hr", force="true")
            await api.json("DELETE", "files/policy")
            await api.create_store()
            await http.put("/emulator/faults", json={"rules": [{"call": "files.list", "fault": "answer"}]})
            again = (await http.post("/emulator/reset")).json()
            assert without_times(again) == without_times(first)
            assert (await http.get("/emulator/faults")).json()["rules"] == []
            assert texts(await api.ask(ASKED, "fileSearchStores/hr"))[0] == ANSWER
            imported = await api.json("POST", "fileSearchStores/empty:importFile", {"file_name": "files/policy"})
            document = await api.settled(imported["name"].replace("/operations/", "/documents/"))
            assert (document["state"], document["displayName"]) == ("STATE_ACTIVE", "policy")


def without_times(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: without_times(value) for key, value in state.items() if not key.endswith("Time")}
    return [without_times(entry) for entry in state] if isinstance(state, list) else state


async def test_without_a_seed_a_reset_leaves_nothing(tmp_path: Path) -> None:
    async with emulator(tmp_path / "data") as api:
        await api.add(await api.create_store(), ANSWER)
        assert (await api.http.post("/emulator/reset")).json() == {"stores": [], "files": []}
        assert (await api.json("GET", "fileSearchStores")) == {}
        assert list((tmp_path / "data" / "blobs").iterdir()) == []


async def test_an_index_that_is_not_of_a_seed_is_not_replaced(tmp_path: Path) -> None:
    seed = write(tmp_path)
    async with emulator(tmp_path / "data") as api:
        store = await api.create_store()
    app = create_app(tmp_path / "data", seed=seed)
    with pytest.raises(SeedError, match="not made from a seed"):
        app.state.emulator.start_from_seed()
    await app.state.emulator.close()
    async with emulator(tmp_path / "data") as api:
        assert (await api.json("GET", store))["name"] == store


async def test_a_folder_of_a_seed_starts_from_it_again(tmp_path: Path) -> None:
    for _ in range(2):
        app = create_app(tmp_path / "data", seed=write(tmp_path))
        app.state.emulator.start_from_seed()
        await app.state.emulator.close()
        async with emulator(tmp_path / "data") as api:
            stores = (await api.json("GET", "fileSearchStores"))["fileSearchStores"]
            assert [store["name"] for store in stores] == ["fileSearchStores/hr", "fileSearchStores/empty"]
            await api.create_store()


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        ({"stores": [{}]}, "stores.0.name"),
        ({"shops": []}, "shops"),
        ({"stores": [{"name": "fileSearchStores/UPPER"}]}, "expected format"),
        ({"stores": [{"name": "fileSearchStores/a", "documents": [{"name": "x"}]}]}, "fileSearchStores/a/documents/ID"),
        ({"stores": [{"name": "fileSearchStores/a"}] * 2}, "UNIQUE"),
        ({"files": [{"name": "files/a", "path": "missing.txt"}]}, "missing.txt"),
        ({"files": [{"name": "files/a", "path": "b", "text": "c"}]}, "both a text and a path"),
        ("{", "JSON"),
    ],
)
def test_a_seed_that_cannot_be_used_says_why(tmp_path: Path, seed: Any, message: str) -> None:
    path = write(tmp_path, seed)
    if isinstance(seed, str):
        path.write_text(seed)
    app = create_app(tmp_path / "data", seed=path)
    with pytest.raises(SeedError, match=message):
        app.state.emulator.start_from_seed()
    app.state.emulator.database.close()


def test_the_program_says_so_and_stops(tmp_path: Path) -> None:
    arguments = ("--seed", str(tmp_path / "none.json"))
    ended = subprocess.run(command(1, *arguments), capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("flamehaven: The seed")


async def test_a_document_is_pending_as_long_as_was_asked(tmp_path: Path) -> None:
    async with emulator(tmp_path / "data", indexing_delay=3600) as api:
        store = await api.create_store()
        document = await api.upload(store, ANSWER)
        other = emulator(tmp_path / "data")
        async with other as without_delay:
            await without_delay.add(store, ANSWER)
        assert (await api.json("GET", document))["state"] == "STATE_PENDING"
        assert (await api.json("GET", store))["pendingDocumentsCount"] == "1"


async def test_a_full_project_takes_nothing_more(tmp_path: Path) -> None:
    async with emulator(tmp_path / "data", storage_limit=100) as api:
        store = await api.create_store()
        await api.add(store, "x" * 90)
        refused = await api.start(store, 20)
        assert refused.status_code == 429
        error = refused.json()["error"]
        assert error["status"] == "RESOURCE_EXHAUSTED"
        assert error["message"] == "Corpus has reached the storage limit of 100 bytes."
        assert (await api.http.get(f"/v1/{store}", headers=KEY)).json()["sizeBytes"] == "90"
