"""Between the network and the API: calls that shall go wrong are delayed, answered otherwise, or not at all."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from file_search_emulator.api.requests import key_of
from file_search_emulator.faults import Faults, Rule

_INSTEAD_OF_WORK = ("answer", "invalid_key")


class FaultyApp(Starlette):
    """An application with the faults that `state.faults` asks for; the names of its routes are the names of calls."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        faults: Faults = self.state.faults
        call = self._call(scope) if scope["type"] == "http" and faults.any else ""
        rule = faults.next(call, key_of(HTTPConnection(scope))) if call else None
        if rule is None:
            await super().__call__(scope, receive, send)
            return
        scope["fault"] = rule
        if rule.fault != "fail_then_recover":
            await asyncio.sleep(rule.seconds)
        if rule.fault in _INSTEAD_OF_WORK:
            status, headers, body = rule.answer()
            await _read_whole(receive)
            await Response(body, status, headers)(scope, receive, send)
        elif rule.fault == "drop":
            await _drop(send)
        elif rule.fault == "lose_answer":
            await super().__call__(scope, receive, _nowhere)
            await _drop(send)
        elif rule.fault == "truncate":
            await super().__call__(scope, receive, _truncated(rule, send))
            await _drop(send)
        else:
            await super().__call__(scope, receive, send)

    def _call(self, scope: Scope) -> str:
        """The name of the call that a request is, "" where it is none of the API's."""
        for route in self.routes:
            if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL:
                return route.name + _step(scope) if route.name.endswith(".upload") else route.name
        return ""


def _step(scope: Scope) -> str:
    """Both steps of an upload have one address."""
    headers = dict(scope["headers"])
    return ".start" if headers.get(b"x-goog-upload-command", b"").strip() == b"start" else ".bytes"


async def _read_whole(receive: Receive) -> None:
    """Take the body, or the client may not read the answer."""
    while (message := await receive())["type"] == "http.request":
        if not message.get("more_body"):
            return


async def _nowhere(message: Message) -> None:
    """An answer that nobody gets."""


def _truncated(rule: Rule, send: Send) -> Send:
    """Sends only the beginning of a body, under the headers of the whole."""
    room = rule.length

    async def sent(message: Message) -> None:
        nonlocal room
        if message["type"] == "http.response.body":
            body = message.get("body", b"")[:room]
            room -= len(body)
            await send({"type": "http.response.body", "body": body, "more_body": True})
        else:
            await send(message)

    return sent


async def _drop(send: Send) -> None:
    """Cut the connection. In this process, where there is none, the client sees the same as an exception."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("The connection was dropped, as a fault rule asks for.")
    transport.close()  # of uvicorn's: ASGI has no word for this
    await asyncio.sleep(0)  # for it to notice, and not to answer for us
