"""Who a request is from, where a reverse proxy stands between."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

FORWARDING = {"forwarded", "via", "x-real-ip"}
"""Headers by which a proxy says that somebody else is asking, beside those that begin with `x-forwarded-`."""


class TrustedProxies:
    """Makes `scope["client"]` who asked a trusted proxy, and keeps whose connection it is as the state's `peer`."""

    def __init__(self, app: ASGIApp, trusted: str) -> None:
        self._app = app
        self._believing = ProxyHeadersMiddleware(app, _each(trusted))  # type: ignore[arg-type]  # uvicorn has ASGI types of its own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["peer"] = scope.get("client")
        await self._believing(scope, receive, send)  # type: ignore[arg-type]  # the same


def peer_of(request: Request) -> str:
    """The address at the other end of the connection, whatever headers say; empty where there is none."""
    peer = request.scope.get("state", {}).get("peer", request.scope.get("client"))
    return peer[0] if peer else ""


def is_forwarded(request: Request) -> bool:
    """Whether a proxy says that it passes the request on for somebody else (RFC 7239, RFC 9110 section 7.6.3)."""
    return any(name in FORWARDING or name.startswith("x-forwarded-") for name in request.headers)


def is_cross_site(request: Request) -> bool:
    """Whether a page of another site sent a request through somebody's browser.

    A browser says so (W3C, "Fetch Metadata"), or names the page's origin in all that could change something (Fetch,
    "HTTP-network-or-cache fetch").
    """
    origins = request.headers.getlist("origin")
    own = [f"{scheme}://{request.headers.get('host', '')}" for scheme in ("http", "https")]
    foreign = any(origin not in own for origin in origins)
    return foreign or request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def host_of(request: Request) -> str:
    """The host that a request's one `Host` header names; empty where there is none, or it is none."""
    named = request.headers.getlist("host")
    try:
        return urlsplit(f"//{named[0]}").hostname or "" if len(named) == 1 else ""
    except ValueError:
        return ""


def _each(trusted: str) -> list[str]:
    return [each for part in trusted.split(",") if (each := part.strip())]
