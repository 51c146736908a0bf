"""Answers and their marks in Redis, for all processes of a deployment (see `shared/answers.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence

from redis.asyncio import Redis

from shared.answers import FolderMarks
from shared.names import digest_of
from shared.redis_link import RETRY, RedisAway, RedisLink

MARK_LIVES = 24 * 3600
"""Seconds after which a mark is given anew, so that those of deleted stores do not stay; no answer is kept as long."""


class RedisAnswers:
    """Answers and marks in Redis, for all processes of a deployment.

    Where the records are in a folder, its marks count too: a command on the machine may know of no Redis.
    """

    def __init__(self, link: RedisLink, deployment: str, *, ttl: int, folder: FolderMarks | None = None) -> None:
        self._link = link
        self._folder = folder
        self._prefix = f"flamehaven:{deployment}"
        self._ttl = ttl
        self._owed: set[str] = set()
        """Stores whose end of answers could not be told to Redis yet."""
        self._telling: asyncio.Task[None] | None = None

    async def mark(self, stores: Sequence[str]) -> str | None:
        if not self._ttl:
            return None
        try:
            await self._tell()
            marks = await self._link.run(lambda redis: self._read(redis, stores))
        except RedisAway:
            return None
        return " ".join([*marks, *([self._folder.read(stores)] if self._folder else [])])

    async def get(self, mark: str | None, question: str) -> str | None:
        if mark is None:
            return None
        with contextlib.suppress(RedisAway):
            kept: bytes | None = await self._link.run(lambda redis: redis.get(self._place(mark, question)))
            return kept.decode() if kept else None
        return None

    async def keep(self, mark: str | None, question: str, answer: str) -> None:
        if mark is not None:
            with contextlib.suppress(RedisAway):
                await self._link.run(lambda redis: redis.set(self._place(mark, question), answer, ex=self._ttl))

    async def changed(self, store: str) -> None:
        if self._folder:
            await self._folder.change(store)
        self._owed.add(store)
        try:
            await self._tell()
        except RedisAway:
            if self._telling is None or self._telling.done():
                self._telling = asyncio.create_task(self._tell_later())

    async def aclose(self) -> None:
        if self._telling is not None:
            self._telling.cancel()

    async def _tell(self) -> None:
        """Give the stores that have changed other marks: to take one away is enough."""
        if not self._owed:
            return
        stores, self._owed = self._owed, set()
        try:
            await self._link.run(lambda redis: redis.delete(*map(self._mark_place, stores)))
        except BaseException:
            self._owed |= stores
            raise

    async def _tell_later(self) -> None:
        while self._owed:
            await asyncio.sleep(RETRY)
            with contextlib.suppress(RedisAway):
                await self._tell()

    async def _read(self, redis: Redis, stores: Sequence[str]) -> list[str]:
        places = [self._mark_place(store) for store in stores]
        found = await redis.mget(places)
        for place, mark in zip(places, found, strict=True):
            if mark is None:
                await redis.set(place, secrets.token_hex(8), nx=True, ex=MARK_LIVES)
        if None in found:
            found = await redis.mget(places)
        return [mark.decode() if mark else secrets.token_hex(8) for mark in found]

    def _mark_place(self, store: str) -> str:
        return f"{self._prefix}:mark:{digest_of(store)}"

    def _place(self, mark: str, question: str) -> str:
        return f"{self._prefix}:answer:{digest_of(f'{mark} {question}')}"
