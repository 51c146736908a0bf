"""Who asks, and what they may see and do. What decides that is the server's (`flamehaven/access.py`) or the platform's.

Sources of what is refused how: RFC 9110, sections 15.5.2 and 15.5.4; RFC 6750, section 3.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shared.errors import ServiceError


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

    def may(self, *scopes: Scope) -> bool:
        """Whether the caller has one of the scopes; an admin has all, one with stores all but that of an admin."""
        if Scope.ADMIN in self.scopes:
            return self.stores is None or scopes != (Scope.ADMIN,)
        return not self.scopes.isdisjoint(scopes)

    def sees(self, store: str) -> bool:
        """Whether the store exists for the caller."""
        return self.stores is None or store in self.stores


ANYBODY = Caller("anybody", frozenset({Scope.ADMIN}))
"""Who asks where something else has checked already: the functions' platform, or the machine itself."""

caller: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)
"""Who sent the request that is being answered."""


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
"""Who pays for the request that is being answered."""


def check_store(store: str) -> None:
    """Raise ServiceError (PERMISSION_DENIED) where the caller has no business in a store, whether it exists or not."""
    if not caller.get().sees(store):
        raise ServiceError("PERMISSION_DENIED", f"Store {store!r} is not among those that you may use.")
