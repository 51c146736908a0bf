"""Who a request is from, where a reverse proxy stands between."""

from __future__ import annotations

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


def _each(trusted: str) -> list[str]:
    return [each for part in trusted.split(",") if (each := part.strip())]
