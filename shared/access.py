"""Who asks, and what they may see and do. What decides that is the server (`flamehaven/access.py`), the search function
where SEARCH_ACCESS says so, or else the functions' platform.

Sources of what is refused how: RFC 9110, sections 15.5.2 and 15.5.4; RFC 6750, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from starlette.requests import Request

from shared.errors import ServiceError
from shared.names import normal


class Scope(StrEnum):
    """What a key can be for."""

    SEARCH = "search"
    UPLOAD = "upload"
    MANAGE = "manage"
    """Deletes and re-indexes documents, makes and deletes stores."""
    ADMIN = "admin"
    """Everything, and keys."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may do something; `stores` are all that exist for them, None for every store."""

    id: str
    scopes: frozenset[Scope]
    stores: frozenset[str] | None = None
    requests_per_minute: int | None = None
    """Its own limit, in place of those of the settings."""
    daily_tokens: int | None = None
    on_this_machine: bool = False
    """Whether it was let in without a key because nothing is public yet; limits hold then only where they are set."""
    label: str = ""
    """The name in the log, such as `key 1f0c5b7a9d3e (Ann's laptop)`; empty for a caller that nobody has identified."""

    def may(self, *scopes: Scope) -> bool:
        """Whether the caller has one of the scopes; an admin has all, one with stores all but that of an admin."""
        if Scope.ADMIN in self.scopes:
            return self.stores is None or scopes != (Scope.ADMIN,)
        return not self.scopes.isdisjoint(scopes)

    def sees(self, store: str) -> bool:
        """Whether the store exists for the caller."""
        return self.stores is None or normal(store) in map(normal, self.stores)


ANYBODY = Caller("anybody", frozenset({Scope.ADMIN}))
"""Who asks where something else has checked already: the functions' platform, or the machine itself."""

NOBODY = Caller("nobody", frozenset())
"""Who sent a request that needs no key, and may see nothing that does."""

caller: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)
"""Who sent the request that is being answered; only `answer_for` sets it."""

CALLER = "flamehaven.caller"
"""Where the scope of a request says who was let in."""


class Budget(Protocol):
    """The Gemini tokens that somebody may use up."""

    async def check(self) -> None:
        """Raises ServiceError (BUDGET_EXCEEDED) where none is left."""

    async def spend(self, tokens: int) -> None:
        """Take tokens that were used off what is left."""


class NoBudget:
    """Any number of tokens."""

    async def check(self) -> None:
        return None

    async def spend(self, tokens: int) -> None:
        return None


budget: ContextVar[Budget] = ContextVar("budget", default=NoBudget())  # noqa: B039 - it holds nothing that changes
"""The Gemini tokens that the request being answered may use; only `answer_for` sets it."""


def let_in(request: Request, who: Caller, tokens: Budget | None = None) -> None:
    """Record in a request who sent it, and answer it for them."""
    request.scope[CALLER] = (who, tokens or NoBudget())
    answer_for(request)


def is_let_in(request: Request) -> bool:
    """Whether somebody has already checked who sent a request."""
    return CALLER in request.scope


def answer_for(request: Request) -> None:
    """Make the caller in a request the caller of all work that follows.

    Every request starts with this. asyncio may start it in the context of an earlier request on the same connection,
    which would answer it for somebody else (https://github.com/python/cpython/issues/140947).
    """
    who, tokens = request.scope.get(CALLER, (ANYBODY, NoBudget()))
    caller.set(who)
    budget.set(tokens)


def check_store(store: str) -> None:
    """Raise ServiceError (PERMISSION_DENIED) where the caller has no business in a store, whether it exists or not."""
    if not caller.get().sees(store):
        raise ServiceError(
            "PERMISSION_DENIED",
            f"Store {store!r} is not one that you may use. /api/stores lists yours; an admin makes keys for others.",
        )


def key_of(request: Request) -> str | None:
    """The key that came with a request: as a bearer token (RFC 6750), else in the original's header X-API-Key.

    A header that is there twice is no key, since a proxy may have looked at the other one.
    """
    given = request.headers.getlist("authorization")
    if not given:
        keys = request.headers.getlist("x-api-key")
        return None if not keys else keys[0] if len(keys) == 1 else ""
    scheme, _, token = given[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" and len(given) == 1 else ""


def not_known(given: str | None) -> ServiceError:
    """The refusal of a request that came with no key (None), or with one that nobody has."""
    problem = "This needs a key." if given is None else "The key is wrong, expired or revoked."
    return ServiceError(
        "INVALID_API_KEY",
        f"{problem} Send one as `Authorization: Bearer KEY`; an admin makes them with `flamehaven keys create`.",
        headers={"WWW-Authenticate": "Bearer" if given is None else 'Bearer error="invalid_token"'},
    )


def not_allowed(*scopes: Scope, headers: Mapping[str, str] | None = None) -> ServiceError:
    """The refusal of a request whose key has none of the scopes that it takes."""
    return ServiceError(
        "PERMISSION_DENIED",
        f"This key lacks the scope {' or '.join(scopes)}. Send one that has it; an admin makes it with "
        "`flamehaven keys create --scope`.",
        headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"', **(headers or {})},
    )
