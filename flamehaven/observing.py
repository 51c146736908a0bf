"""Counts the requests that a server answers, by the route that they went to: never by their path, which has no end."""

from __future__ import annotations

import re
import time

from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import metrics
from shared.http import ERROR

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_CONVERTER = re.compile(r":\w+(?=})")


class Observing:
    """Counts each request, how long it took, and the code of the error it ended with."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "other"
        endpoint, started, status = _endpoint(scope), time.monotonic(), 500

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics.ACTIVE_REQUESTS.add(method, endpoint)
        try:
            await self._app(scope, receive, send_and_see)
        finally:
            metrics.ACTIVE_REQUESTS.add(method, endpoint, amount=-1)
            metrics.HTTP_REQUESTS.add(method, endpoint, str(status))
            metrics.HTTP_SECONDS.observe(time.monotonic() - started, method, endpoint)
            if status == 429:
                metrics.RATE_LIMITED.add(endpoint)
            if status >= 400:
                metrics.ERRORS.add(scope.get(ERROR, "INTERNAL_ERROR"), endpoint)


def _endpoint(scope: Scope) -> str:
    """The path of the route as it is declared."""
    for route in scope["app"].routes:
        if route.matches(scope)[0] is not Match.NONE:
            return _CONVERTER.sub("", getattr(route, "path", "other"))
    return "other"
