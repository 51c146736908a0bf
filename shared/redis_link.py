"""The Redis that processes may share: it can be away, and then everything is done without it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

T = TypeVar("T")
log = logging.getLogger(__name__)

TIMEOUT = 1.0
"""Seconds for one call: who waits for it could have been answered without."""
RETRY = 2.0
"""Seconds for which a Redis that failed is not asked again."""
CONNECTIONS = 100


class RedisAway(Exception):
    """Redis cannot be used now."""


class RedisLink:
    """One Redis, whose failures cost nobody more than one timeout now and then."""

    def __init__(self, address: str) -> None:
        self._redis: Redis = Redis.from_url(
            address, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, max_connections=CONNECTIONS
        )
        self._retry_at = float("-inf")
        self.problem = ""
        """Why Redis is not used now, in words for an operator; empty while it is."""

    @property
    def pool(self) -> ConnectionPool:
        """The connections, for who has commands of its own; to be used within `attempt`."""
        return self._redis.connection_pool

    async def run(self, work: Callable[[Redis], Awaitable[T]]) -> T:
        """What `work` returns. Raises RedisAway where Redis does not answer, or refuses."""
        return await self.attempt(lambda: work(self._redis))

    async def attempt(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns, which uses this Redis by its pool. Raises RedisAway."""
        if time.monotonic() < self._retry_at:
            raise RedisAway
        try:
            async with asyncio.timeout(TIMEOUT):
                result = await work()
        except (RedisError, OSError, TimeoutError) as error:
            self._retry_at = time.monotonic() + RETRY
            if not self.problem:
                log.warning("Redis cannot be used; answers are not kept, and each process counts for itself: %s", error)
            self.problem = f"Redis cannot be used: {str(error) or 'no answer in time'}."
            raise RedisAway from error
        if self.problem:
            self.problem = ""
            log.info("Redis can be used again")
        return result

    async def look(self) -> str:
        """Why Redis cannot be used now; empty where it can."""
        with contextlib.suppress(RedisAway):
            await self.run(lambda redis: redis.mget("flamehaven"))
        return self.problem

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
