"""Letting requests in: which key came with one, and whether it may do what the route does."""

from __future__ import annotations

import asyncio
import functools
import hmac
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from flamehaven.addresses import address_of
from flamehaven.heads import FACTS
from flamehaven.limits import Kind, Limits
from flamehaven.loopback import is_own
from flamehaven.proxies import host_of, is_cross_site, is_forwarded, peer_of
from shared.access import ANYBODY, NOBODY, Caller, Scope, key_of, let_in, not_allowed, not_known
from shared.errors import ServiceError
from shared.failures import DependencyFailure
from shared.http import endpoint
from shared.runtime import Runtime
from shared.secret import SecretSource
from shared.settings import ADMIN_KEY_FILE, Settings, is_this_machine

if TYPE_CHECKING:
    from flamehaven.tokens import Tokens

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]
THIS_MACHINE = "this machine"
ADMIN = Caller("admin", frozenset({Scope.ADMIN}), label="admin key")
ITSELF = Caller("this process", frozenset({Scope.ADMIN}), label=THIS_MACHINE)
READERS = (Scope.SEARCH, Scope.UPLOAD, Scope.MANAGE)
"""Who may see documents and stores: everybody, each those that exist for them."""
TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
"""The form of an OIDC token, which no key has (RFC 7515, section 7.1)."""


class Gate(Protocol):
    """Knows who sends requests."""

    def remembers(self, request: Request) -> bool:
        """Whether it can tell who sent a request without asking anybody."""

    async def caller(self, request: Request) -> Caller: ...


class OpenDoor:
    """Lets everybody in: for requests that this process sends itself."""

    def remembers(self, request: Request) -> bool:
        return True

    async def caller(self, request: Request) -> Caller:
        return ITSELF


class Door:
    """Knows the admin key, and asks for other keys and for tokens; where there are none, nor could be tokens, a
    development server is open to its own machine."""

    def __init__(self, parts: Runtime, admin_key: SecretSource | None, tokens: Tokens | None = None) -> None:
        self._parts = parts
        self._admin_key = admin_key
        self._tokens = tokens

    def remembers(self, request: Request) -> bool:
        given = key_of(request)
        return given is None or self._is_admin(given) or self._is_token(given) or self._parts.keys.remembers(given)

    async def caller(self, request: Request) -> Caller:
        """Who sent a request. Raises ServiceError (INVALID_API_KEY), DependencyFailure."""
        given = key_of(request)
        if given is None and self._parts.settings.environment == "development" and await self._is_open(request):
            return replace(_anybody_at(request), on_this_machine=True, label=THIS_MACHINE)
        if given is not None:
            if self._is_admin(given):
                return ADMIN
            known = self._tokens if self._tokens and self._is_token(given) else self._parts.keys
            if found := await known.caller(given):
                return found
        raise not_known(given)

    def _is_token(self, given: str) -> bool:
        return self._tokens is not None and TOKEN.fullmatch(given) is not None

    def _is_admin(self, given: str) -> bool:
        admin = self._admin()
        return bool(admin) and hmac.compare_digest(admin.encode(), given.encode("latin-1"))

    def _admin(self) -> str:
        """The admin key; empty where there is none, or it cannot be read now: other keys still open what they open."""
        try:
            return self._admin_key.value() if self._admin_key else ""
        except OSError as error:
            log.error("The admin key cannot be read: %s", error.strerror)
            return ""

    async def _is_open(self, request: Request) -> bool:
        if self._admin_key or self._tokens or not await _is_from_own_user(request):
            return False
        return not await self._parts.keys.any()


def open_door(parts: Runtime) -> Door:
    """The door of a server; one in production that has no key yet makes its admin key.

    It is in a file that only its owner may read, and the log says where.
    """
    settings = parts.settings
    given = settings.flamehaven_admin_key.get_secret_value().strip()
    path = (settings.data_dir / ADMIN_KEY_FILE).absolute()
    if not given:
        if settings.environment == "production":
            _make_admin_key(path)
        given = str(path) if path.exists() else ""
    return Door(parts, SecretSource(given) if given else None, _tokens(settings))


def _tokens(settings: Settings) -> Tokens | None:
    if not settings.oauth_issuer:
        return None
    from flamehaven.tokens import Tokens

    return Tokens(settings)


def guarded(handler: Handler, *scopes: Scope, kind: Kind = Kind.OTHER) -> Handler:
    """Let only callers to a handler who have one of the scopes, and only so often."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        limits: Limits | None = request.app.state.limits
        try:
            who, headers = await _admitted(request, limits, kind)
            if not who.may(*scopes):
                raise not_allowed(*scopes, headers=headers)
        except Exception as error:
            return await _refuse(error)(request)
        response = await handler(request)
        response.headers.update(headers)
        return response

    return answer


async def recognised(request: Request, kind: Kind) -> Caller:
    """Who sent a request; one with a wrong key counts for its address.

    An address that has used up its requests in this way is refused before a key is looked up, unless that key was just
    used. Raises ServiceError (INVALID_API_KEY, RATE_LIMIT_EXCEEDED).
    """
    door: Gate = request.app.state.door
    limits: Limits | None = request.app.state.limits
    somebody = _anybody_at(request)
    if limits is not None and not door.remembers(request):
        await limits.check(kind, somebody)
    try:
        return await door.caller(request)
    except ServiceError:
        if limits is not None:
            await limits.take(kind, somebody)
        raise


async def _admitted(request: Request, limits: Limits | None, kind: Kind) -> tuple[Caller, dict[str, str]]:
    """Who sent a request, and what to say of how many may follow.

    The request has its caller from here on, so that its log line names one whose request a limit refuses. Raises
    ServiceError (INVALID_API_KEY, RATE_LIMIT_EXCEEDED).
    """
    who = await recognised(request, kind)
    let_in(request, who, limits.budget(who) if limits else None)
    return who, await limits.take(kind, who) if limits else {}


def described_to_admins(handler: Any) -> Handler:
    """Let everybody to a handler, which tells details only to admins."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            known = key_of(request) is not None
            who = await (recognised(request, Kind.OTHER) if known else request.app.state.door.caller(request))
        except (ServiceError, DependencyFailure):
            who = NOBODY
        let_in(request, who)
        response: Response = await handler(request)
        return response

    return answer


def _anybody_at(request: Request) -> Caller:
    """Somebody without a key, who is known by their address."""
    return replace(ANYBODY, id=address_of(request.client.host if request.client else ""))


def _refuse(error: Exception) -> Handler:
    @endpoint
    async def refuse(request: Request) -> Response:
        raise error

    return refuse


async def _is_from_own_user(request: Request) -> bool:
    """Whether a program of the server's own user sent a request from this machine, for nobody else.

    Not a proxy, which usually says that it is one or runs as another user; and not some site through a browser. Where a
    site pretends that its name is this machine's (DNS rebinding), the request still holds that name.
    """
    if is_forwarded(request) or is_cross_site(request) or not is_this_machine(host_of(request)):
        return False
    client, server = request.scope.get("client"), request.scope.get("server")
    if not client or not server or not is_this_machine(client[0]) or client[0] != peer_of(request):
        return False
    facts: dict[str, Any] = request.scope.get("state", {}).get(FACTS, {})
    if "own" not in facts:
        facts["own"] = await asyncio.to_thread(is_own, tuple(client), tuple(server))
    return bool(facts["own"])


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
