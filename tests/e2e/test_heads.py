"""Limits on request heads and on connections, for servers that no nginx stands before."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from uvicorn.server import ServerState

from flamehaven import heads
from flamehaven.heads import MAX_HEADERS, MAX_PER_ADDRESS, LimitedHeads
from tests.servers import Server, flamehaven

GET = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.base_url.port or 0), timeout=20)


def answered(sock: socket.socket) -> bytes:
    """Everything until the server closes the connection, however it does."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(1 << 16):
            found += part
    return found


def status(server: Server, *parts: bytes) -> int:
    """The status that a request gets which is sent in these parts; 0 where the connection just ends."""
    with connected(server) as sock:
        try:
            for part in parts:
                sock.sendall(part)
        except OSError:  # the server has already answered, and closed
            pass
        head = answered(sock).split(b"\r\n", 1)[0].split()
        return int(head[1]) if head else 0


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_head_of_ordinary_size_passes_and_a_larger_one_is_refused(tmp_path: Path, workers: str) -> None:
    last = b"Connection: close\r\n\r\n"
    with flamehaven(tmp_path, WORKERS=workers) as server:
        assert status(server, GET + b"X: " + b"x" * 8192 + b"\r\n" + last) == 200
        assert status(server, GET + b"".join(b"X-%d: 1\r\n" % n for n in range(MAX_HEADERS - 2)) + last) == 200
        assert status(server, GET + b"".join(b"X-%d: 1\r\n" % n for n in range(MAX_HEADERS)) + last) == 431
        assert status(server, GET + b"X: " + b"x" * (40 << 10) + b"\r\n" + last) == 431
        assert status(server, GET + (b"X: " + b"x" * 900 + b"\r\n") * 40 + last) == 431
        assert status(server, b"GET /" + b"x" * (40 << 10) + b" HTTP/1.1\r\nHost: x\r\n" + last) == 431
        endless = server.get("/health/live", headers={"X": "x" * (40 << 10)})
        assert (endless.status_code, endless.json()["error"]) == (431, "HEADERS_TOO_LARGE")


def test_a_head_that_never_ends_is_cut_off(server: Server) -> None:
    for beginning in (GET + b"X: ", GET + b"X", b"GET /"):
        assert status(server, beginning, *[b"x" * 65536] * 16) in (431, 0)
    assert server.get("/health/live").status_code == 200


def test_a_body_beside_the_head_does_not_count(server: Server) -> None:
    body = b"The boiler is serviced in April. " * 6000
    head = b"PUT /api/documents/house/boiler.md HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    assert status(server, head + b"Content-Length: %d\r\n\r\n" % len(body) + body) == 202
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [body[:150]] * 2000) + b"0\r\n\r\n"
    assert status(server, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks) == 202


def test_trailers_are_limited_too_and_are_no_headers(server: Server) -> None:
    head = b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b'1c\r\n{"query":"x","store":"none"}\r\n0\r\n'
    assert status(server, head + body + b"X-Forwarded-For: 203.0.113.9\r\n\r\n") == 404, "as without it, from here"
    assert status(server, head + body + b"X: 1\r\n" * 200 + b"\r\n") in (0, 404, 431)
    assert status(server, head + body + b"X: ", *[b"x" * 65536] * 16) in (404, 431, 0)


def test_one_address_has_only_so_many_connections(tmp_path: Path) -> None:
    with flamehaven(tmp_path, TRUSTED_PROXIES="192.0.2.1") as server, contextlib.ExitStack() as stack:
        for _ in range(MAX_PER_ADDRESS):
            stack.enter_context(connected(server)).sendall(GET)
        assert status(server) == 429
        with socket.create_connection(
            ("127.0.0.1", server.base_url.port or 0), timeout=20, source_address=("127.0.0.2", 0)
        ) as other:
            other.sendall(GET + b"Connection: close\r\n\r\n")
            assert b" 200 OK" in answered(other)


def test_half_sent_heads_do_not_keep_others_out(tmp_path: Path) -> None:
    with flamehaven(tmp_path) as server, contextlib.ExitStack() as stack:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (256, 256))
        for _ in range(400):
            sock = stack.enter_context(connected(server))
            with contextlib.suppress(OSError):
                sock.sendall(GET)
        assert httpx2.get(f"{server.base_url}/api/stores", timeout=10).status_code == 200


async def _app(scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Any) -> None:
    await asyncio.sleep(float(scope["query_string"] or 0))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


@pytest.fixture
async def impatient(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """The port of a server that gives heads a moment."""
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.3)
    config, state = uvicorn.Config(_app, lifespan="off", log_config=None, ws="none"), ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: LimitedHeads(config, state, {}), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (b"", b""),
        (GET, b"HTTP/1.1 408 "),
        (GET + b"\r\nG", b"HTTP/1.1 200 "),  # and then a second one, of which no more comes
        (b"GET /?1 HTTP/1.1\r\nHost: x\r\n\r\nGET /", b"HTTP/1.1 200 "),  # while the first is still answered
    ],
)
async def test_a_head_has_its_time(impatient: int, sent: bytes, found: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient)
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(), 20)
    assert answer.startswith(found)
    assert bool(answer) is bool(found)
    writer.close()
