"""How far the documents of each store have come: what an answer that found nothing has to mention."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.buckets import Bucket
from shared.buckets.documents import documents_of
from shared.failures import DependencyFailure
from shared.names import store_of
from shared.records import Records, Status, status_of

LONGEST = 3.0
"""Seconds that counting may take."""
KEPT, KEPT_IF_TOO_LONG = 5.0, 60.0
"""Seconds for which a count is used again, and after which one that took too long is tried again."""


@dataclass(slots=True)
class Count:
    """How many documents there are, and how many of them are not yet indexed in their current version."""

    documents: int = 0
    pending: int = 0

    def __str__(self) -> str:
        verb = "is" if self.pending == 1 else "are"
        return f"{self.pending:,} of {self.documents:,} documents {verb} still being indexed."


class Progress:
    """Counts the documents of a bucket by their stores."""

    def __init__(self, documents: Bucket, records: Records) -> None:
        self._documents = documents
        self._records = records
        self._counts: Mapping[str, Count] = {}
        self._good_until = float("-inf")
        self._counting = asyncio.Lock()

    async def of(self, wanted: Callable[[str], bool]) -> Count:
        """The count over all wanted stores, some seconds old at most; zero if counting took too long or failed."""
        async with self._counting:
            if time.monotonic() > self._good_until:
                self._counts, kept = {}, KEPT_IF_TOO_LONG
                with contextlib.suppress(TimeoutError, DependencyFailure):
                    async with asyncio.timeout(LONGEST):
                        self._counts, kept = await self._count(), KEPT
                self._good_until = time.monotonic() + kept
        found = [count for store, count in self._counts.items() if wanted(store)]
        return Count(sum(count.documents for count in found), sum(count.pending for count in found))

    async def _count(self) -> Mapping[str, Count]:
        counts: defaultdict[str, Count] = defaultdict(Count)
        await self._records.read_ahead()
        record_of = await self._records.snapshot()
        async for info in documents_of(self._documents):
            count = counts[store_of(info.name)]
            count.documents += 1
            count.pending += status_of(info, await record_of(info.name)) is Status.PENDING
        return counts
