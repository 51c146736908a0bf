"""Reading the state bucket: the one place that deals with objects which change or vanish while they are read.

An object that vanished between the listing and the read is absent. One that was replaced while it was read is read
again. At most `AT_ONCE` objects are read at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from shared.buckets import Bucket, ObjectInfo, ObjectNotFound, PreconditionFailed
from shared.failures import Transient

T = TypeVar("T")

READS = 10
"""How often an object that is replaced while it is read is read again."""
AT_ONCE = 32
"""How many objects are read at once."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object's content, with the generation that the next write must replace."""

    data: bytes
    generation: str


async def read(bucket: Bucket, name: str) -> Entry | None:
    """Read an object whole; None if there is none. Raises Transient if it changes each time it is read."""
    for _ in range(READS):
        try:
            async with bucket.open(name) as reader:
                data = b"".join([chunk async for chunk in reader])
        except ObjectNotFound:
            return None
        except PreconditionFailed:
            continue
        return Entry(data, reader.generation)
    raise Transient(f"{name} changed each time it was read.")


async def read_each(bucket: Bucket, prefix: str, load: Callable[[ObjectInfo], Awaitable[T | None]]) -> AsyncIterator[T]:
    """What `load` makes of each object whose name starts with `prefix`, in the order of their names, but for None."""
    listing = [info async for info in bucket.list(prefix)]
    for start in range(0, len(listing), AT_ONCE):
        for loaded in await asyncio.gather(*map(load, listing[start : start + AT_ONCE])):
            if loaded is not None:
                yield loaded
