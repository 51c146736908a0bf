"""Who a request is from, where a reverse proxy stands between."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware


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


def _each(trusted: str) -> list[str]:
    return [each for part in trusted.split(",") if (each := part.strip())]
