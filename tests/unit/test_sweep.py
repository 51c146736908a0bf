"""A sweep repairs what events missed, and takes out little at a time: an empty bucket is more likely the wrong one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from functions.ingest.sweep import (
    KEEP_TOMBSTONES,
    Seen,
    preview,
    see_to_all,
    settled,
    survey,
    sweep,
    too_many_gone,
)
from functions.ingest.worker import look_at_all, reconciler_of, settle_all
from shared.buckets import ObjectInfo
from shared.buckets.directory import DirectoryBucket
from shared.failures import Misconfigured, Transient
from shared.gemini.client import DocumentState
from shared.names import store_of
from shared.records import Record, Saved, Status
from shared.runtime import Runtime, open_runtime
from shared.settings import Settings

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest_asyncio.fixture
async def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runtime]:
    """A deployment on folders and the embedded emulator."""
    monkeypatch.setenv("ENVIRONMENT", "development")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    runtime = await open_runtime(Settings())
    yield runtime
    await runtime.aclose()


async def fill(runtime: Runtime, counts: Mapping[str, int]) -> None:
    """Put and index so many documents of each store."""
    for store, count in counts.items():
        for n in range(count):
            await runtime.documents.put(f"{store}/{n}.md", f"Document {n} of {store}.".encode())
    report = await settle_all(runtime)
    assert report.outcomes["indexed"] == sum(counts.values())


async def take_out(runtime: Runtime, store: str, count: int) -> None:
    """Have the bucket lack documents, as one that is not mounted does."""
    for n in range(count):
        await runtime.documents.delete(f"{store}/{n}.md")


async def indexed(runtime: Runtime, store: str) -> int:
    """How many documents the store has."""
    resource = await runtime.stores.resource(store)
    assert resource is not None
    return len([document async for document in runtime.gemini.documents(resource)])


def info(name: str) -> ObjectInfo:
    return ObjectInfo(name, "1", 1, NOW)


def record(name: str, **fields: object) -> Saved:
    made = Record(object=name, deployment="here", backend="emulator", created=NOW, updated=NOW)
    return Saved(made.model_copy(update=fields), "1")


def listed(name: str) -> dict[str, DocumentState]:
    return {f"documents/{name}": DocumentState.ACTIVE}


# How much may go


def of_store(store: str, *, there: int, gone: int) -> dict[str, Seen]:
    names = [f"{store}/{n}.md" for n in range(there + gone)]
    return {
        name: Seen(listed=listed(name), saved=record(name, document="d"), info=info(name) if n < there else None)
        for n, name in enumerate(names)
    }


@pytest.mark.parametrize(
    ("there", "gone", "percent", "refused"),
    [
        (0, 5, 0, False),
        (0, 6, 0, True),
        (100, 6, 0, True),
        (6, 6, 50, False),
        (5, 6, 50, True),
        (94, 6, 6, False),
        (93, 6, 6, True),
        (0, 1000, 100, False),
        (1000, 0, 0, False),
    ],
)
def test_five_may_always_go_and_more_up_to_a_share(there: int, gone: int, percent: int, refused: bool) -> None:
    found = of_store("hr", there=there, gone=gone)
    assert too_many_gone(found, percent) == ({"hr": gone} if refused else {})


def test_every_store_is_judged_for_itself() -> None:
    found = of_store("hr", there=94, gone=6) | of_store("it", there=0, gone=6) | of_store("qa", there=0, gone=5)
    assert too_many_gone(found, 50) == {"it": 6}


def test_a_store_is_the_first_folder_and_without_one_default() -> None:
    names = [f"{n}.md" for n in range(3)] + [f"default/{n}.md" for n in range(3)] + ["hr/deep/er.md"]
    assert too_many_gone({name: Seen(listed=listed(name)) for name in names}, 50) == {"default": 6}


def test_documents_that_no_record_names_count_and_what_was_never_indexed_does_not() -> None:
    orphans = {f"hr/{n}.md": Seen(listed=listed(str(n))) for n in range(6)}
    assert too_many_gone(orphans, 50) == {"hr": 6}
    only_recorded = {f"hr/{n}.md": Seen(saved=record(f"hr/{n}.md", document="d")) for n in range(6)}
    assert too_many_gone(only_recorded, 50) == {"hr": 6}
    tombstones = {f"hr/{n}.md": Seen(saved=record(f"hr/{n}.md", status=Status.DELETED)) for n in range(6)}
    new = {f"hr/new-{n}.md": Seen(info=info(f"hr/new-{n}.md")) for n in range(100)}
    assert too_many_gone(tombstones | new, 0) == {}
    assert too_many_gone(orphans | new, 50) == {"hr": 6}


SEEN = st.builds(
    lambda is_listed, has_document, is_there: Seen(
        listed=listed("x") if is_listed else {},
        saved=record("x", document="d" if has_document else None),
        info=info("x") if is_there else None,
    ),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@given(
    found=st.dictionaries(st.from_regex(r"\A((a|b)/)?[0-9]{1,3}\Z"), SEEN, max_size=60),
    percent=st.integers(0, 100),
)
def test_what_may_go_is_what_a_simple_count_says(found: dict[str, Seen], percent: int) -> None:
    refused = too_many_gone(found, percent)
    for store in {store_of(name) for name in found}:
        had = [seen for name, seen in found.items() if store_of(name) == store and seen.is_indexed]
        gone = sum(seen.info is None for seen in had)
        if gone > 5 and gone / len(had) > percent / 100 + 1e-9:
            assert refused[store] == gone
        else:
            assert store not in refused


# What is done


async def test_stores_that_would_lose_too_much_keep_all_until_somebody_says_so(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(runtime, {"hr": 8, "it": 3})
    await take_out(runtime, "hr", 6)
    await take_out(runtime, "it", 3)
    await runtime.documents.put("hr/new.md", b"A new one.")
    before = await look_at_all(runtime)
    assert sorted(before.unsettled) == ["hr/new.md", "it/0.md", "it/1.md", "it/2.md"]
    assert (before.refused, before.outcomes["refused"]) == ({"hr": 6}, 6)
    report = await settle_all(runtime)
    assert dict(report.outcomes) == {"refused": 6, "removed": 3, "unchanged": 2, "indexed": 1}
    assert (report.objects, report.unsettled, report.refused) == (12, [], {"hr": 6})
    assert (await indexed(runtime, "hr"), await indexed(runtime, "it")) == (9, 0)
    assert "lacks 6 documents of store 'hr'" in caplog.text
    assert "'it'" not in caplog.text
    report = await settle_all(runtime, all_deletions=True)
    assert (report.outcomes["removed"], report.refused) == (6, {})
    assert await indexed(runtime, "hr") == 3


async def test_a_sweep_of_one_store_leaves_the_others(runtime: Runtime) -> None:
    await fill(runtime, {"hr": 2, "it": 2})
    await take_out(runtime, "hr", 1)
    await take_out(runtime, "it", 1)
    report = await settle_all(runtime, store="hr")
    assert (report.objects, dict(report.outcomes)) == (2, {"removed": 1, "unchanged": 1})
    assert (await indexed(runtime, "hr"), await indexed(runtime, "it")) == (1, 2)


async def test_what_a_listing_does_not_say_of_metadata_is_looked_up(runtime: Runtime) -> None:
    await fill(runtime, {"hr": 1})
    reconciler = reconciler_of(runtime, "this test")
    [seen] = (await survey(reconciler, runtime.stores)).values()
    assert seen.info is not None
    assert settled(reconciler, seen)
    assert not settled(reconciler, replace(seen, info=replace(seen.info, metadata_known=False)))
    assert not settled(reconciler, replace(seen, info=None))
    assert not settled(reconciler, replace(seen, listed={}))

    class Terse(DirectoryBucket):
        """A bucket whose listings know no metadata, as those of S3."""

        async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
            async for each in super().list(prefix):
                yield replace(each, metadata={}, metadata_notes=(), metadata_known=False)

    assert isinstance(runtime.documents, DirectoryBucket)
    terse = replace(reconciler, documents=Terse(runtime.documents.root))
    assert dict((await sweep(terse, runtime.stores)).outcomes) == {"unchanged": 1}
    assert dict((await preview(terse, runtime.stores)).outcomes) == {"unchanged": 1}
    await runtime.documents.put("hr/0.md.metadata.json", b'{"author": "Ann"}')
    assert (await preview(terse, runtime.stores)).unsettled == ["hr/0.md"]
    assert dict((await sweep(terse, runtime.stores)).outcomes) == {"indexed": 1}
    assert dict((await sweep(terse, runtime.stores)).outcomes) == {"unchanged": 1}


async def test_records_of_deleted_objects_are_kept_for_a_week(runtime: Runtime) -> None:
    await fill(runtime, {"hr": 1})
    await take_out(runtime, "hr", 1)
    await settle_all(runtime)

    class Later:
        def __init__(self, seconds: float) -> None:
            self._seconds = seconds

        def now(self) -> float:
            return time.time() + self._seconds

        async def sleep(self, seconds: float) -> None:
            raise AssertionError("nothing is waited for")

    week = KEEP_TOMBSTONES.total_seconds()
    for seconds, kept in ((week - 60, 1), (week + 60, 0)):
        await sweep(replace(reconciler_of(runtime, "later"), clock=Later(seconds)), runtime.stores)
        assert len([saved async for saved in runtime.records.list()]) == kept


async def test_one_object_that_fails_for_now_stops_no_other() -> None:
    done = []

    async def see_to(name: str, seen: Seen) -> str:
        if name.startswith("bad"):
            raise Transient("busy")
        done.append(name)
        return {"slow": "pending", "held": "busy"}.get(name, "indexed")

    names = ["bad1", *(str(n) for n in range(50)), "slow", "bad2", "held"]
    report = await see_to_all(see_to, {name: Seen() for name in names})
    assert dict(report.outcomes) == {"error": 2, "indexed": 50, "pending": 1, "busy": 1}
    assert sorted(report.unsettled) == ["bad1", "bad2", "held", "slow"]
    assert len(done) == 52


async def test_what_is_nobody_s_fault_ends_the_sweep() -> None:
    async def see_to(name: str, seen: Seen) -> str:
        raise Misconfigured("the key is wrong")

    with pytest.raises(Misconfigured, match="the key is wrong"):
        await see_to_all(see_to, {str(n): Seen() for n in range(50)})


async def test_what_is_refused_is_not_even_looked_at() -> None:
    seen_to = []

    async def see_to(name: str, seen: Seen) -> str:
        seen_to.append(name)
        return "unchanged"

    found = of_store("hr", there=2, gone=7) | {"hr/never.md": Seen(saved=record("hr/never.md"))}
    report = await see_to_all(see_to, found, {"hr": 7})
    assert sorted(seen_to) == ["hr/0.md", "hr/1.md", "hr/never.md"]
    assert (dict(report.outcomes), report.unsettled) == ({"refused": 7, "unchanged": 3}, [])
