"""A request whose body does not come ends; one whose body is here may take as long as it takes."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from flamehaven.slow_bodies import SlowBodies
from shared.errors import ServiceError


async def read_all(parts: list[bytes], *, then: float = 0.0) -> bytearray:
    """What an application reads of a body whose last part comes `then` seconds after the others.

    What the application waits for then comes 0.3 s later.
    """
    body = bytearray()
    waiting = iter([{"type": "http.request", "body": part, "more_body": True} for part in parts])
    pauses = iter([then, 0.3])

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            body.extend(message.get("body", b""))
            more = message.get("more_body", False)
        await receive()

    async def sender() -> Message:
        if (part := next(waiting, None)) is not None:
            return part
        await asyncio.sleep(next(pauses))
        return {"type": "http.request", "body": b".", "more_body": False}

    async def send(message: Message) -> None: ...

    await SlowBodies(application, patience=0.1)({"type": "http"}, sender, send)
    return body


async def test_a_body_of_which_no_more_comes_is_given_up() -> None:
    with pytest.raises(ServiceError, match="Nothing more of the body came") as raised:
        await read_all([b"{"], then=60)
    assert raised.value.status == 408


async def test_a_body_that_comes_is_whole_and_what_follows_it_may_be_late() -> None:
    assert await read_all([b"a", b"b"]) == b"ab."


async def test_a_body_that_trickles_is_given_up() -> None:
    """Each byte comes in time, and all of them much too slowly."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass

    async def sender() -> Message:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b".", "more_body": True}

    async def send(message: Message) -> None: ...

    with pytest.raises(ServiceError, match="at less than 1,000 bytes a second"):
        await SlowBodies(application, patience=0.2, slowest=1000)({"type": "http"}, sender, send)
