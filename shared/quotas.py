"""How many bytes the documents of a store may have together."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.buckets import Bucket
from shared.buckets.documents import documents_of
from shared.errors import ServiceError

COUNTED_FOR = 30.0
"""Seconds for which a count of a store stands; what this process adds meanwhile is added to it."""


class Quotas:
    """What is left of each store's quota, as this process knows it."""

    def __init__(self, documents: Bucket, quota: int) -> None:
        """`quota` is in bytes, 0 for none."""
        self._documents = documents
        self._quota = quota
        self._counted: dict[str, tuple[float, int]] = {}
        self._added: Counter[str] = Counter()
        self._under_way: Counter[str] = Counter()
        self._counting = asyncio.Lock()

    @asynccontextmanager
    async def room(self, store: str, size: int) -> AsyncIterator[Room]:
        """Room for a document of `size` bytes, as its sender says, while it is uploaded.

        Raises ServiceError (STORE_QUOTA_EXCEEDED).
        """
        room = Room(self, store)
        if not self._quota:
            yield room
            return
        async with self._counting:
            await self._count(store)
        room.grow(size)
        try:
            yield room
            self._added[store] += room.taken
        finally:
            self._under_way[store] -= room.taken

    async def _count(self, store: str) -> None:
        counted_at, _ = self._counted.get(store, (float("-inf"), 0))
        if time.monotonic() - counted_at > COUNTED_FOR:
            before = self._added[store]
            used = sum([info.size async for info in documents_of(self._documents, store=store)])
            self._counted[store] = (time.monotonic(), used)
            self._added[store] -= before  # what was added before is among what was counted

    def take(self, store: str, more: int) -> None:
        """Take room for more bytes. Raises ServiceError (STORE_QUOTA_EXCEEDED)."""
        if not self._quota:
            return
        used = self._counted[store][1] + self._added[store] + self._under_way[store]
        if used + more > self._quota:
            raise ServiceError(
                "STORE_QUOTA_EXCEEDED",
                f"The documents of store {store!r} have {used:,} bytes of the {self._quota:,} that they may have "
                "together. Delete some, or have an operator raise STORE_QUOTA_MB.",
            )
        self._under_way[store] += more


class Room:
    """What one upload has taken of its store's quota."""

    def __init__(self, quotas: Quotas, store: str) -> None:
        self._quotas = quotas
        self._store = store
        self.taken = 0

    def grow(self, size: int) -> None:
        """Have room for `size` bytes in all. Raises ServiceError (STORE_QUOTA_EXCEEDED)."""
        if size > self.taken:
            self._quotas.take(self._store, size - self.taken)
            self.taken = size
