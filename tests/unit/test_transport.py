"""An application of this process behaves, to an HTTP client, as one behind a network does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from shared.gemini.transport import ASGIApp, InProcessTransport, Message

Receive = object


def client(app: ASGIApp, **options: object) -> httpx2.AsyncClient:
    async def nothing() -> None:
        pass

    return httpx2.AsyncClient(transport=InProcessTransport(app, nothing), base_url="http://in-process", **options)  # type: ignore[arg-type]  # options are the client's own


async def test_request_and_answer_pass_unchanged() -> None:
    async def app(scope, receive, send):  # type: ignore[no-untyped-def]  # plain ASGI
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        query, header = scope["query_string"].decode(), dict(scope["headers"])[b"x-a"].decode()
        said = f"{scope['method']} {scope['path']}?{query} {header} "
        await send({"type": "http.response.start", "status": 418, "headers": [(b"x-b", b"2")]})
        await send({"type": "http.response.body", "body": said.encode() + body})

    async with client(app) as http:
        answer = await http.post("/a%20b?c=d%20e", content=b"body", headers={"X-A": "1"})
    assert (answer.status_code, answer.headers["x-b"]) == (418, "2")
    assert answer.text == "POST /a b?c=d%20e 1 body"


async def test_parts_arrive_as_they_are_sent() -> None:
    read = asyncio.Event()

    async def app(scope: Message, receive, send) -> None:  # type: ignore[no-untyped-def]  # plain ASGI
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await read.wait()
        await send({"type": "http.response.body", "body": b"second"})

    async with client(app, timeout=5) as http, http.stream("GET", "/") as answer:
        parts = []
        async for part in answer.aiter_raw():
            parts.append(part)
            read.set()
    assert parts == [b"first", b"second"]


async def test_the_read_timeout_is_kept_before_and_within_an_answer() -> None:
    async def silent(scope, receive, send):  # type: ignore[no-untyped-def]  # plain ASGI
        await asyncio.sleep(60)

    async def stalling(scope, receive, send):  # type: ignore[no-untyped-def]  # plain ASGI
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.sleep(60)

    for app in (silent, stalling):
        async with client(app, timeout=0.05) as http:
            with pytest.raises(httpx2.ReadTimeout):
                await http.get("/")


async def test_an_application_that_dies_looks_like_a_lost_connection() -> None:
    async def at_once(scope, receive, send):  # type: ignore[no-untyped-def]  # plain ASGI
        raise RuntimeError

    async def half_way(scope, receive, send):  # type: ignore[no-untyped-def]  # plain ASGI
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise RuntimeError

    for app in (at_once, half_way):
        async with client(app) as http:
            with pytest.raises(httpx2.RemoteProtocolError):
                await http.get("/")


async def test_leaving_ends_the_application_s_work() -> None:
    ended = asyncio.Event()

    async def app(scope, receive, send):  # type: ignore[no-untyped-def]  # plain ASGI
        try:
            await send({"type": "http.response.start", "status": 200})
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        finally:
            ended.set()

    async with client(app) as http, http.stream("GET", "/") as answer:
        async for _ in answer.aiter_raw():
            break
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_large_body_is_not_gathered_first() -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b"x" * 1000

    async def app(scope, receive, send):  # type: ignore[no-untyped-def]  # plain ASGI
        await receive()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": str(sent).encode()})

    async with client(app) as http:
        assert (await http.post("/", content=body())).text == "1"
