"""An ASGI application of this process as an HTTP transport.

httpx2's own ASGITransport buffers whole answers, ignores timeouts and lets the application's exceptions through; a
client that is tested against it would meet the network unprepared. This one streams, keeps the read timeout, and turns
failures of the application into the errors that a lost connection gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import httpx2

Message = MutableMapping[str, Any]
ASGIApp = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

BUFFERED_PARTS = 4
"""How many parts of a body may wait to be read before the application has to wait."""


class InProcessTransport(httpx2.AsyncBaseTransport):
    """Requests go to `app` in the running event loop, without a socket; `close` ends what the application started."""

    def __init__(self, app: ASGIApp, close: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._close = close

    async def aclose(self) -> None:
        await self._close()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        exchange = _Exchange(request)
        exchange.start(self._app)
        try:
            start = await exchange.next_message()
        except BaseException:
            await exchange.aclose()
            raise
        return httpx2.Response(start["status"], headers=start.get("headers", []), stream=exchange)


class _Exchange(httpx2.AsyncByteStream):
    """One request and its answer: the application runs in a task that ends when the answer is closed."""

    def __init__(self, request: httpx2.Request) -> None:
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        self._request = request
        self._body = request.stream.__aiter__()
        self._body_ended = False
        self._timeout: float | None = request.extensions.get("timeout", {}).get("read")
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue(BUFFERED_PARTS)
        self._closed = asyncio.Event()
        self._failure: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, app: ASGIApp) -> None:
        self._task = asyncio.create_task(self._run(app))

    async def next_message(self) -> Message:
        """The application's next message; raises ReadTimeout, or RemoteProtocolError where the application died."""
        try:
            async with asyncio.timeout(self._timeout):
                message = await self._messages.get()
        except TimeoutError as error:
            raise httpx2.ReadTimeout("The application did not answer in time", request=self._request) from error
        if message is None:
            raise httpx2.RemoteProtocolError(
                "The application ended its answer early", request=self._request
            ) from self._failure
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self.next_message()
            more = message.get("more_body", False)
            if body := message.get("body", b""):
                yield body

    async def aclose(self) -> None:
        self._closed.set()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope(), self._receive, self._messages.put)
        except Exception as error:
            self._failure = error
        await self._messages.put(None)

    async def _receive(self) -> Message:
        if self._body_ended:
            await self._closed.wait()
            return {"type": "http.disconnect"}
        try:
            return {"type": "http.request", "body": await anext(self._body), "more_body": True}
        except StopAsyncIteration:
            self._body_ended = True
            return {"type": "http.request", "body": b"", "more_body": False}

    def _scope(self) -> dict[str, Any]:
        url = self._request.url
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self._request.method,
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.split(b"?")[0],
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in self._request.headers.raw],
            "server": (url.host, url.port),
            "client": ("127.0.0.1", 0),
        }
