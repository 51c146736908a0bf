"""Answers that can be given again: kept for a time, and only for as long as no document changes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from cachetools import TTLCache

from shared.buckets import Bucket
from shared.records import Records

Answer = TypeVar("Answer")


class AnswerCache(Generic[Answer]):
    """Answers of this process, each valid for the state of the records that it was made from.

    Every change of what can be found ends in the write of a record, so the mark of the records' folder, which all
    processes share, tells whether an answer may be given again. Where the bucket gives no mark, nothing is kept.
    """

    def __init__(self, state: Bucket, *, ttl: float, size: int) -> None:
        self._state = state
        self._kept: TTLCache[Hashable, Answer] = TTLCache(size, ttl)

    async def stamp(self) -> str | None:
        """What to get and keep answers by: ask before the question is put to Gemini."""
        return await self._state.stamp(Records.PREFIX)

    def get(self, stamp: str | None, question: Hashable) -> Answer | None:
        """The answer kept for this question, or None."""
        return self._kept.get((stamp, question)) if stamp else None

    def keep(self, stamp: str | None, question: Hashable, answer: Answer) -> None:
        """Keep an answer that was made after `stamp` was taken."""
        if stamp:
            self._kept[stamp, question] = answer
