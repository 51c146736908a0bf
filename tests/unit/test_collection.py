"""Reading the state bucket while others write and delete what is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from shared.buckets import ObjectInfo, ObjectReader, PreconditionFailed
from shared.buckets.directory import DirectoryBucket
from shared.failures import Transient
from shared.state.collection import AT_ONCE, Entry, read, read_each


@pytest_asyncio.fixture
async def bucket(tmp_path: Path) -> DirectoryBucket:
    bucket = DirectoryBucket(tmp_path)
    await bucket.make()
    return bucket


async def test_an_object_that_is_replaced_and_deleted_all_the_time_is_read_whole_or_absent(
    bucket: DirectoryBucket,
) -> None:
    async def change() -> None:
        for number in range(100):
            await bucket.put("x/y", f"{number} ".encode() * 1000)
            await bucket.delete("x/y")

    async def load(info: ObjectInfo) -> Entry | None:
        return await read(bucket, info.name)

    changing = asyncio.create_task(change())
    while not changing.done():
        found = [entry async for entry in read_each(bucket, "x/", load)]
        found += [entry for entry in [await read(bucket, "x/y")] if entry]
        assert all(len(set(entry.data.split())) == 1 and len(entry.data.split()) == 1000 for entry in found)
    await changing


async def test_an_object_that_never_stands_still_is_given_up(bucket: DirectoryBucket) -> None:
    class Restless(DirectoryBucket):
        @asynccontextmanager
        async def open(self, name: str, generation: str | None = None) -> AsyncIterator[ObjectReader]:
            raise PreconditionFailed(name)
            yield  # the protocol takes a generator

    with pytest.raises(Transient):
        await read(Restless(bucket.root), "x")


async def test_a_listing_is_read_in_order_and_only_so_much_at_once(bucket: DirectoryBucket) -> None:
    names = [f"x/{number:03}" for number in range(2 * AT_ONCE + 1)]
    for name in names:
        await bucket.put(name, b"")
    reading = most = 0

    async def load(info: ObjectInfo) -> str | None:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await asyncio.sleep(0)
        reading -= 1
        return info.name if info.name != "x/001" else None

    assert [name async for name in read_each(bucket, "x/", load)] == [names[0], *names[2:]]
    assert most == AT_ONCE
