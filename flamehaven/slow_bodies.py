"""An end to requests whose body does not come: each of them holds a connection, and perhaps a file."""

from __future__ import annotations

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import ServiceError

PATIENCE = 30.0
"""Seconds that the next part of a body may take."""
SLOWEST = 4096
"""Bytes a second at which a body must come on the whole, after its first `PATIENCE` seconds."""


class SlowBodies:
    """Raises ServiceError (REQUEST_TIMEOUT) in who reads a body of which no more comes, or that comes too slowly."""

    def __init__(self, app: ASGIApp, patience: float = PATIENCE, slowest: float = SLOWEST) -> None:
        self._app = app
        self._patience = patience
        self._slowest = slowest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        more, waited, taken = True, 0.0, 0

        async def receive_in_time() -> Message:
            nonlocal more, waited, taken
            if not more:
                return await receive()
            started, left = time.monotonic(), self._patience + taken / self._slowest - waited
            try:
                async with asyncio.timeout(min(self._patience, left)):
                    message = await receive()
            except TimeoutError:
                raise ServiceError("REQUEST_TIMEOUT", self._problem(slow=left < self._patience)) from None
            waited += time.monotonic() - started
            taken += len(message.get("body", b""))
            more = message["type"] == "http.request" and message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)

    def _problem(self, *, slow: bool) -> str:
        if slow:
            return f"The body came at less than {self._slowest:,.0f} bytes a second. Send it again, faster or in parts."
        return f"Nothing more of the body came for {self._patience:.0f} s. Send it again."
