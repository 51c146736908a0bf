"""Stores are made once and deleted for good, whoever else is at it and whoever dies."""

from __future__ import annotations

import asyncio
import unicodedata
from pathlib import Path

import pytest
import pytest_asyncio

from shared.buckets.directory import DirectoryBucket
from shared.failures import Transient
from shared.stores import Stores


class Maker:
    """A Gemini of which only the names of its stores are of interest."""

    def __init__(self) -> None:
        self.stores: set[str] = set()
        self.made = 0
        self.fails = False

    async def create_store(self, display_name: str) -> str:
        self.made += 1
        store = f"fileSearchStores/{self.made}"
        await asyncio.sleep(0)
        self.stores.add(store)
        return store

    async def delete_store(self, store: str) -> None:
        if self.fails:
            raise Transient("busy")
        self.stores.discard(store)


@pytest.fixture
def gemini() -> Maker:
    return Maker()


@pytest_asyncio.fixture
async def bucket(tmp_path: Path) -> DirectoryBucket:
    bucket = DirectoryBucket(tmp_path)
    await bucket.make()
    return bucket


def process(bucket: DirectoryBucket, gemini: Maker, *, backend: str = "one") -> Stores:
    return Stores(bucket, gemini, deployment="here", backend=backend)


async def test_many_who_need_a_store_at_once_get_the_same_one(bucket: DirectoryBucket, gemini: Maker) -> None:
    processes = [process(bucket, gemini) for _ in range(4)]
    resources = await asyncio.gather(*(each.ensure("hr") for each in processes * 5))
    assert len(set(resources)) == 1
    assert gemini.stores == set(resources)
    assert gemini.made <= len(processes)


async def test_a_deleted_store_is_gone_for_every_process_and_can_be_made_anew(
    bucket: DirectoryBucket, gemini: Maker
) -> None:
    one, other = process(bucket, gemini), process(bucket, gemini)
    old = await one.ensure("hr")
    assert await other.resource("hr") == old
    await one.delete("hr")
    assert (await other.resource("hr"), await other.all(), gemini.stores) == (None, [], set())
    await one.delete("hr")
    assert await other.ensure("hr") not in (None, old)


async def test_a_store_that_was_recorded_in_another_unicode_form_is_found_under_its_nfc_name(
    bucket: DirectoryBucket, gemini: Maker
) -> None:
    stores = process(bucket, gemini)
    nfd = unicodedata.normalize("NFD", "Gärtnerei")
    old = await stores.ensure(nfd)
    await stores.join_spellings()
    assert await stores.resource("Gärtnerei") == old
    assert [record.store for record in await stores.all()] == ["Gärtnerei"]
    await stores.ensure(nfd)
    await stores.join_spellings()
    assert (await stores.resource("Gärtnerei"), gemini.stores) == (old, {old})


async def test_a_deletion_that_was_cut_short_is_finished(bucket: DirectoryBucket, gemini: Maker) -> None:
    one, other = process(bucket, gemini), process(bucket, gemini)
    old = await one.ensure("hr")
    gemini.fails = True
    with pytest.raises(Transient):
        await one.delete("hr")
    assert (await other.resource("hr"), await other.all()) == (None, [])
    gemini.fails = False
    await other.finish_deletions()
    assert gemini.stores == set()
    new = await other.ensure("hr")
    assert new != old


async def test_a_store_that_is_half_deleted_is_not_used_again(bucket: DirectoryBucket, gemini: Maker) -> None:
    stores = process(bucket, gemini)
    old = await stores.ensure("hr")
    gemini.fails = True
    with pytest.raises(Transient):
        await stores.delete("hr")
    gemini.fails = False
    new = await stores.ensure("hr")
    assert gemini.stores == {new} != {old}


async def test_another_backend_has_stores_of_its_own(bucket: DirectoryBucket, gemini: Maker) -> None:
    await process(bucket, gemini).ensure("hr")
    other = process(bucket, gemini, backend="two")
    assert (await other.resource("hr"), await other.all()) == (None, [])


async def test_a_store_that_many_begin_to_make_anew_while_it_is_deleted_is_made_once(
    bucket: DirectoryBucket, gemini: Maker
) -> None:
    processes = [process(bucket, gemini) for _ in range(4)]
    await processes[0].ensure("hr")
    gemini.fails = True
    with pytest.raises(Transient):
        await processes[0].delete("hr")
    gemini.fails = False
    resources = await asyncio.gather(*(each.ensure("hr") for each in processes))
    assert gemini.stores == set(resources)
    assert len(gemini.stores) == 1
