"""Letting requests in: which key came with one, and whether it may do what the route does."""

from __future__ import annotations

import functools
import hmac
import ipaddress
import logging
import os
import secrets
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from flamehaven.limits import Kind, Limits, address_of
from shared.access import ANYBODY, Caller, NoBudget, Scope, budget, caller
from shared.errors import ServiceError
from shared.http import endpoint
from shared.runtime import Runtime
from shared.secret import SecretSource

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]
ADMIN = Caller("admin", frozenset({Scope.ADMIN}))
READERS = (Scope.SEARCH, Scope.UPLOAD, Scope.MANAGE)
"""Who may see documents and stores: everybody, each those that exist for them."""
ADMIN_KEY_FILE = "admin.key"


class Gate(Protocol):
    """Knows who sends requests."""

    async def caller(self, request: Request) -> Caller: ...


class OpenDoor:
    """Lets everybody in: for requests that this process sends itself."""

    async def caller(self, request: Request) -> Caller:
        return ANYBODY


class Door:
    """Knows the admin key and asks for the others; without any key a development server is open to its own machine."""

    def __init__(self, parts: Runtime, admin_key: SecretSource) -> None:
        self._parts = parts
        self._admin_key = admin_key

    async def caller(self, request: Request) -> Caller:
        """Who sent a request. Raises ServiceError (INVALID_API_KEY)."""
        given = _key_of(request)
        if given is None and self._parts.settings.environment == "development" and await self._is_open(request):
            return replace(ANYBODY, id=address_of(_host_of(request)))
        if given is not None:
            admin = self._admin_key.value()
            if admin and hmac.compare_digest(admin.encode(), given.encode()):
                return ADMIN
            if found := await self._parts.keys.caller(given):
                return found
        problem = "The key is wrong, expired or revoked." if given else "This needs a key."
        raise ServiceError(
            "INVALID_API_KEY",
            f"{problem} Send one as `Authorization: Bearer KEY`; an admin makes them with `flamehaven keys create`.",
            headers={"WWW-Authenticate": "Bearer"},
        )

    async def _is_open(self, request: Request) -> bool:
        nobody_has_a_key = not self._admin_key.value() and not await self._parts.keys.any()
        return nobody_has_a_key and _is_loopback(_host_of(request))


def open_door(parts: Runtime) -> Door:
    """The door of a server; one in production that has no key yet makes its admin key.

    It is in a file that only its owner may read, and the log says where.
    """
    settings = parts.settings
    given = settings.flamehaven_admin_key.get_secret_value()
    path = (settings.data_dir / ADMIN_KEY_FILE).absolute()
    if given:
        return Door(parts, SecretSource(given))
    if settings.environment == "production":
        _make_admin_key(path)
    return Door(parts, SecretSource(str(path) if path.exists() else ""))


def guarded(handler: Handler, *scopes: Scope, kind: Kind = Kind.OTHER) -> Handler:
    """Let only callers to a handler who have one of the scopes, and only so often."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        limits: Limits | None = request.app.state.limits
        try:
            who, headers = await _admitted(request, limits, kind)
            if not who.may(*scopes):
                needed = " or ".join(scopes)
                raise ServiceError(
                    "PERMISSION_DENIED", f"This key is not for this: it takes the scope {needed}.", headers=headers
                )
        except Exception as error:
            return await _refuse(error)(request)
        token = caller.set(who)
        purse = budget.set((limits and limits.budget(who)) or NoBudget())
        try:
            response = await handler(request)
        finally:
            budget.reset(purse)
            caller.reset(token)
        response.headers.update(headers)
        return response

    return answer


async def _admitted(request: Request, limits: Limits | None, kind: Kind) -> tuple[Caller, dict[str, str]]:
    """Who sent a request, and what to say of how many may follow; one with a wrong key counts for its address.

    Raises ServiceError (INVALID_API_KEY, RATE_LIMIT_EXCEEDED).
    """
    try:
        who = await request.app.state.door.caller(request)
    except ServiceError:
        if limits is not None:
            await limits.take(kind, replace(ANYBODY, id=address_of(_host_of(request))))
        raise
    return who, await limits.take(kind, who) if limits else {}


def _host_of(request: Request) -> str:
    return request.client.host if request.client else ""


def _refuse(error: Exception) -> Handler:
    @endpoint
    async def refuse(request: Request) -> Response:
        raise error

    return refuse


def _key_of(request: Request) -> str | None:
    """The key that came with a request: as a bearer token (RFC 6750), else in the original's header X-API-Key."""
    authorization = request.headers.get("authorization")
    if authorization is None:
        return request.headers.get("x-api-key")
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _make_admin_key(path: Path) -> None:
    """Make the file with the admin key, unless there is one; of several processes one does."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.") as file:  # of mode 0600
        file.write(f"sk_admin_{secrets.token_hex(24)}\n")
        file.flush()
        try:
            os.link(file.name, path)
        except FileExistsError:
            return
    log.warning("There was no admin key; a new one is in %s", path)
