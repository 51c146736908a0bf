"""What somebody without the right key is told, and what their requests make the server do."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from flamehaven import documents
from flamehaven.access import guarded, open_door
from flamehaven.limits import LOOKUPS, Limits
from shared.access import Caller, Scope, let_in
from shared.buckets import ObjectInfo
from shared.buckets.directory import DirectoryBucket
from shared.http import endpoint
from shared.keys import Keys
from shared.runtime import open_runtime
from shared.settings import Settings, settings
from tests.servers import flamehaven, until

ADMIN = "the-admin-key-of-this-test"


@pytest.fixture(autouse=True)
def _development(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What this process itself runs as."""
    monkeypatch.setenv("ENVIRONMENT", "development")
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_health_tells_details_to_admins_only(tmp_path: Path) -> None:
    folder = tmp_path / "a-folder-of-documents"
    folder.mkdir()
    production = {"ENVIRONMENT": "production", "GEMINI_BASE_URL": "emulator:", "FLAMEHAVEN_ADMIN_KEY": ADMIN}
    with flamehaven(tmp_path / "data", **production, DOCUMENTS_URL=str(folder)) as server:
        shutil.rmtree(folder)
        until(lambda: server.get("/health").status_code == 503)
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            found = server.get("/health", headers=headers)
            assert found.json()["checks"]["documents"] != "ok"
            assert folder.name not in found.text
        found = server.get("/health", headers={"Authorization": f"Bearer {ADMIN}"})
        assert folder.name in found.json()["checks"]["documents"]


async def test_wrong_keys_are_refused_before_the_state_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = Keys._record

    async def counted(self: Keys, key_id: str) -> Any:
        reads.append(key_id)
        return await read(self, key_id)

    monkeypatch.setattr(Keys, "_record", counted)

    @endpoint
    async def handler(request: Request) -> Response:
        return JSONResponse({})

    limited = Settings(environment="development", data_dir=tmp_path, api_rate_limit="5/minute")
    parts = await open_runtime(limited)
    app = Starlette(routes=[Route("/", guarded(handler, Scope.SEARCH))])
    app.state.door, app.state.limits = open_door(parts), Limits(limited, None, "x")
    key, _ = await parts.keys.create("Ann", (Scope.SEARCH,))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://app.local") as client:
        good = {"Authorization": f"Bearer {key}"}
        assert (await client.get("/", headers=good)).status_code == 200
        wrong = [f"sk_live_{number:012x}{'0' * 36}" for number in range(100)]
        statuses = [(await client.get("/", headers={"X-API-Key": each})).status_code for each in wrong]
        assert statuses == [401] * 5 + [429] * 95
        assert len(reads) <= 1 + 5 + LOOKUPS * 3, "the test may take some seconds"
        assert (await client.get("/", headers=good)).status_code == 200, "it was just used, from the same address"
    await parts.aclose()


@pytest.mark.parametrize(
    ("query", "looked_at", "found"),
    [
        ("", {"hr/"}, ["hr/a.md"]),
        ("prefix=it/", set(), []),
        ("prefix=it", set(), []),
        ("prefix=nowhere/", set(), []),
        ("prefix=h", {"hr/"}, ["hr/a.md"]),
        ("prefix=hr/b", {"hr/b"}, []),
        ("store=hr&prefix=it/", set(), []),
    ],
)
async def test_a_list_looks_into_no_store_that_does_not_exist_for_its_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str, looked_at: set[str], found: list[str]
) -> None:
    parts = await open_runtime(Settings(environment="development", data_dir=tmp_path))
    for name in ("hr/a.md", "it/b.md", "c.md"):
        await parts.documents.put(name, b"x")
    listed = set()

    class Spied(DirectoryBucket):
        async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
            listed.add(prefix)
            async for info in super().list(prefix):
                yield info

    class Pump:
        async def suggest(self, name: str) -> None:
            return None

    async def spied() -> Any:
        return replace(parts, documents=Spied(tmp_path / "documents"))

    monkeypatch.setattr(documents, "runtime", spied)
    app = Starlette()
    app.state.pump = Pump()
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": query.encode(), "headers": [], "app": app}
    request = Request(scope)
    let_in(request, Caller("Ann", frozenset({Scope.SEARCH}), frozenset({"hr"})))
    answer = bytes((await documents.list_documents(request)).body)
    assert answer.count(b'"object"') == len(found)
    assert all(f'"object":"{name}"'.encode() in answer for name in found)
    assert listed == looked_at
    await parts.aclose()


async def test_a_folder_that_is_swapped_while_it_is_listed_tells_nothing_of_another_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "documents/hr"
    for place, name in ((outside, "secret.md"), (folder, "leave.md")):
        place.mkdir(parents=True)
        (place / name).write_text("x")
    scandir, calls = os.scandir, []

    def swapping(path: Any) -> Any:
        if calls:
            folder.rename(tmp_path / "moved")
            folder.symlink_to(outside)
        calls.append(path)
        return scandir(path)

    monkeypatch.setattr("shared.buckets.directory.os.scandir", swapping)
    names = [info.name async for info in DirectoryBucket(tmp_path / "documents").list()]
    assert len(calls) == 2
    assert names == ["hr/leave.md"]
