"""A Gemini whose streamed answers take their time, and the events that our server makes of them."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from file_search_emulator.app import create_app
from tests.servers import free_port, until


def events(answer: httpx2.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


class SlowStream:
    """The real emulator behind a line that is slow, or breaks, before the part `at` of an answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.pause = 0.0
        self.at = 2
        self.breaks = False
        self.ended_early = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope.get("path", "").endswith("enerateContent"):
            await self._app(scope, receive, send)
            return
        events = 0

        async def slowly(message: Message) -> None:
            nonlocal events
            events += bool(message.get("body"))
            if events == self.at and self.breaks:
                raise ConnectionError("the line broke")
            if events == self.at:
                try:
                    with anyio.move_on_after(self.pause):
                        while (await receive())["type"] != "http.disconnect":
                            pass
                        self.ended_early = True
                except BaseException:
                    self.ended_early = True
                    raise
            await send(message)

        await self._app(scope, receive, slowly)


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """The address of `app` on a loopback port, in a thread of this process."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


@contextmanager
def slow_gemini(data: Path) -> Iterator[tuple[str, SlowStream]]:
    """The address of an emulator behind a slow line, and the line."""
    inner = create_app(data)
    line = SlowStream(inner)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        async with inner.router.lifespan_context(inner):
            yield

    with serving(line) as address:
        yield address, line
