"""An end to requests whose body does not come: each of them holds a connection, and perhaps a file."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import ServiceError

PATIENCE = 30.0
"""Seconds that the next part of a body may take."""


class SlowBodies:
    """Raises ServiceError (REQUEST_TIMEOUT) in who reads a body of which no more comes."""

    def __init__(self, app: ASGIApp, patience: float = PATIENCE) -> None:
        self._app = app
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        more = True

        async def receive_in_time() -> Message:
            nonlocal more
            if not more:
                return await receive()
            try:
                async with asyncio.timeout(self._patience):
                    message = await receive()
            except TimeoutError:
                raise ServiceError(
                    "REQUEST_TIMEOUT", f"Nothing more of the body came for {self._patience:.0f} s. Send it again."
                ) from None
            more = message["type"] == "http.request" and message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)
