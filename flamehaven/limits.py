"""How often, and for how many Gemini tokens, anybody may ask: counted per key, else per address.

Redis counts for all processes of a deployment; without it, or while it is away, each process counts for itself.
Sources: RFC 9110, section 10.2.3 (Retry-After); draft-ietf-httpapi-ratelimit-headers-06 (RateLimit-*).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute, RateLimitItemPerSecond, parse
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter
from limits.util import WindowStats

from shared.access import Caller
from shared.errors import ServiceError
from shared.redis_link import RedisAway, RedisLink
from shared.runtime import Runtime
from shared.settings import Settings

T = TypeVar("T")
LOOKUPS = 10
"""Keys that a process looks up in a second for an address that has used up its requests with wrong ones."""


class Kind(Enum):
    """What is counted together."""

    SEARCH = auto()
    UPLOAD = auto()
    UPLOADS = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class _Limit:
    setting: str
    what: str


LIMITS = {
    Kind.SEARCH: _Limit("search_rate_limit", "searches"),
    Kind.UPLOAD: _Limit("upload_rate_limit", "uploads"),
    Kind.UPLOADS: _Limit("upload_multi_rate_limit", "uploads of several files"),
    Kind.OTHER: _Limit("api_rate_limit", "requests"),
}
"""The setting that limits each kind, and what it is called."""


@dataclass(frozen=True, slots=True)
class _Counters:
    requests: MovingWindowRateLimiter
    tokens: FixedWindowRateLimiter


class Limits:
    """The limits of a server."""

    def __init__(self, settings: Settings, link: RedisLink | None, deployment: str) -> None:
        rates = {kind: str(getattr(settings, limit.setting)) for kind, limit in LIMITS.items()}
        self._rates = {kind: parse(rate) if rate else None for kind, rate in rates.items()}
        self._set = {kind for kind, limit in LIMITS.items() if limit.setting in settings.model_fields_set}
        self._budget = settings.daily_token_budget
        self._lookups = RateLimitItemPerSecond(LOOKUPS)
        self._link = link
        self._local = _counters(MemoryStorage())
        self._shared = _counters(_in_redis(link, settings, deployment)) if link else self._local

    async def take(self, kind: Kind, caller: Caller) -> dict[str, str]:
        """Count a request, and say in headers how many may follow. Raises ServiceError (RATE_LIMIT_EXCEEDED)."""
        if caller.on_this_machine and kind not in self._set:
            return {}
        own = caller.requests_per_minute
        rate = RateLimitItemPerMinute(own) if own else self._rates[kind]
        if rate is None:
            return {}
        allowed, left = await self._counted(lambda counters: _hit(counters.requests, rate, kind.name, caller.id))
        return _told(kind, rate, left, allowed=allowed, own=bool(own))

    async def check(self, kind: Kind, caller: Caller) -> None:
        """Raise ServiceError (RATE_LIMIT_EXCEEDED) where no request is left, without counting one.

        `LOOKUPS` a second pass all the same: one of them may be somebody with a good key at the same address.
        """
        if rate := self._rates[kind]:
            left = await self._counted(lambda counters: counters.requests.get_window_stats(rate, kind.name, caller.id))
            passes = left.remaining > 0 or await self._local.requests.hit(self._lookups, "lookups", caller.id)
            _told(kind, rate, left, allowed=passes)

    def budget(self, caller: Caller) -> TokenBudget | None:
        """The Gemini tokens that the caller may use up in a day; None where they may use any number."""
        tokens = caller.daily_tokens or self._budget
        return TokenBudget(self, RateLimitItemPerDay(tokens), caller.id) if tokens else None

    async def _counted(self, count: Callable[[_Counters], Awaitable[T]]) -> T:
        if self._link is not None:
            with contextlib.suppress(RedisAway):
                return await self._link.attempt(lambda: count(self._shared))
        return await count(self._local)


class TokenBudget:
    """What one caller may use up within 24 hours of the first token."""

    def __init__(self, limits: Limits, tokens: RateLimitItem, caller: str) -> None:
        self._limits = limits
        self._tokens = tokens
        self._caller = caller

    async def check(self) -> None:
        left = await self._limits._counted(
            lambda counters: counters.tokens.get_window_stats(self._tokens, self._caller)
        )
        if not left.remaining:
            wait = max(1, _seconds(left))
            raise ServiceError(
                "BUDGET_EXCEEDED",
                f"The {self._tokens.amount:,} Gemini tokens of 24 hours are used up. Ask again in {wait} s; "
                "DAILY_TOKEN_BUDGET raises the limit, or `--daily-tokens` that of a new key.",
                headers={"Retry-After": str(wait)},
            )

    async def spend(self, tokens: int) -> None:
        if tokens:
            await self._limits._counted(lambda counters: counters.tokens.hit(self._tokens, self._caller, cost=tokens))


def open_limits(parts: Runtime) -> Limits:
    """The limits of a server that works with these parts."""
    return Limits(parts.settings, parts.redis, parts.deployment)


def _counters(storage: Storage) -> _Counters:
    return _Counters(MovingWindowRateLimiter(storage), FixedWindowRateLimiter(storage))


def _in_redis(link: RedisLink, settings: Settings, deployment: str) -> RedisStorage:
    address = settings.redis_address()
    scheme = f"async+{'redis+' if address.startswith('unix') else ''}"
    return RedisStorage(
        f"{scheme}{address}",
        implementation="redispy",
        key_prefix=f"flamehaven:{deployment}:limit",
        connection_pool=link.pool,  # type: ignore[arg-type]  # its own documentation asks for one
    )


def _told(kind: Kind, rate: RateLimitItem, left: WindowStats, *, allowed: bool, own: bool = False) -> dict[str, str]:
    """What to say in headers of what is left. Raises ServiceError (RATE_LIMIT_EXCEEDED) unless it is allowed."""
    headers = {
        "RateLimit-Limit": str(rate.amount),
        "RateLimit-Remaining": str(left.remaining if allowed else 0),
        "RateLimit-Reset": str(_seconds(left)),
    }
    if allowed:
        return headers
    wait = max(1, _seconds(left))
    limit, setting = f"{rate.amount} {LIMITS[kind].what} per {_span(rate)}", LIMITS[kind].setting.upper()
    raised = "an admin can make a key with another `--rate`" if own else f"{setting} raises the limit"
    raise ServiceError(
        "RATE_LIMIT_EXCEEDED",
        f"The limit {'of this key ' if own else ''}is {limit}. Ask again in {wait} s; {raised}.",
        details={"limit": limit} if own else {"limit": limit, "setting": setting},
        headers={**headers, "Retry-After": str(wait)},
    )


async def _hit(counter: MovingWindowRateLimiter, rate: RateLimitItem, *who: str) -> tuple[bool, WindowStats]:
    return await counter.hit(rate, *who), await counter.get_window_stats(rate, *who)


def _seconds(left: WindowStats) -> int:
    return max(0, math.ceil(left.reset_time - time.time()))


def _span(rate: RateLimitItem) -> str:
    unit = rate.GRANULARITY.name
    return unit if rate.multiples == 1 else f"{rate.multiples} {unit}s"
