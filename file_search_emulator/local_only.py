"""Keeps web pages away from an emulator that serves this machine: any page can have its browser send requests to it.

A page whose own name is made to lead here (DNS rebinding) is known by the Host that its browser sends, and a page of
another place by the Origin (RFC 6454, section 7) or Sec-Fetch-Site (W3C, Fetch Metadata Request Headers).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from file_search_emulator.errors import ApiError


class LocalOnly:
    """The app, for requests whose Host is `localhost`, a loopback address or one of `names`, from no other web page."""

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self._app = app
        self._names = {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._problem(Headers(scope=scope))):
            error = ApiError(403, "PERMISSION_DENIED", problem)
            await JSONResponse(error.body(), error.code)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _problem(self, headers: Headers) -> str | None:
        """Why a request is refused, or None."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return (
                "This emulator answers only to localhost and to the names that it was started with. If the name in this"
                " request is its own, start it with --allow-host NAME."
            )
        origins = {origin.partition("://")[2].lower() for origin in headers.getlist("origin")}
        if origins - {hosts[0].lower()} or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "This emulator takes no requests from web pages of other origins."
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name == "localhost" or name in self._names or _is_loopback(name)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
