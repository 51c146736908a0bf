"""What becomes of one event: how long it is waited for, how many go to Gemini at once, and which are none of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from functions.ingest.events import ObjectEvent
from functions.ingest.worker import NO_DOCUMENT, settle_event, settle_unfinished
from shared.records import Status
from shared.runtime import Runtime, open_runtime
from shared.settings import Settings
from tests.deployment import Gemini, gemini


@pytest.fixture(scope="module")
def slow_gemini(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gemini]:
    with gemini(tmp_path_factory.mktemp("gemini"), "--indexing-delay", "1.5") as model:
        yield model


@asynccontextmanager
async def opened(folder: Path, model: Gemini, **settings: Any) -> AsyncIterator[Runtime]:
    address = {"gemini_base_url": model.address, "gemini_api_key": SecretStr("any")}
    parts = await open_runtime(Settings(data_dir=folder, **address, **settings))
    try:
        yield parts
    finally:
        await parts.aclose()


async def test_what_takes_long_is_acknowledged_and_left_to_the_small_sweep(tmp_path: Path, slow_gemini: Gemini) -> None:
    async with opened(tmp_path, slow_gemini) as parts:
        await parts.documents.put("hr/tortoise.md", b"The tortoise arrives at noon.")
        assert await settle_event(parts, ObjectEvent("any", "hr/tortoise.md"), patience=0.2) == "pending"
        saved = await parts.records.get("hr/tortoise.md")
        assert saved is not None
        assert (saved.record.lease, len(saved.record.uploads)) == (None, 1)
        assert await parts.unfinished.names() == ["hr/tortoise.md"]
        assert dict((await settle_unfinished(parts)).outcomes) == {"indexed": 1}
        assert await parts.unfinished.names() == []
        after = await parts.records.get("hr/tortoise.md")
        assert after is not None
        assert after.record.document == saved.record.uploads[0].document, "the same upload, and no second one"
        assert dict((await settle_unfinished(parts)).outcomes) == {}


async def test_no_more_documents_go_to_gemini_at_once_than_the_setting_allows(
    tmp_path: Path, slow_gemini: Gemini, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, slow_gemini, parallel_uploads=3) as parts:
        upload, now, most = parts.gemini.upload, 0, 0

        async def counted(*args: Any, **more: Any) -> Any:
            nonlocal now, most
            now += 1
            most = max(most, now)
            try:
                return await upload(*args, **more)
            finally:
                now -= 1

        monkeypatch.setattr(parts.gemini, "upload", counted)
        names = [f"hr/{number}.md" for number in range(10)]
        for name in names:
            await parts.documents.put(name, name.encode())
        await asyncio.gather(*[settle_event(parts, ObjectEvent("any", name)) for name in names])
        assert most == 3
        saved = [await parts.records.get(name) for name in names]
        assert {each.record.status for each in saved if each} == {Status.INDEXED}


@pytest.mark.parametrize("name", [".flamehaven/records/x.json", "hr/", "hr/.hidden/x.md", "hr/#recycle/x.md"])
async def test_events_about_what_is_no_document_are_passed_over(tmp_path: Path, slow_gemini: Gemini, name: str) -> None:
    async with opened(tmp_path, slow_gemini) as parts:
        assert await settle_event(parts, ObjectEvent("any", name)) == NO_DOCUMENT
        assert await parts.records.get(name) is None


async def test_an_event_about_a_metadata_file_is_one_about_its_document(tmp_path: Path, slow_gemini: Gemini) -> None:
    async with opened(tmp_path, slow_gemini) as parts:
        await parts.documents.put("hr/x.md", b"The key is under the mat.")
        assert await settle_event(parts, ObjectEvent("any", "hr/x.md.metadata.json")) == "indexed"
