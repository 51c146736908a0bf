"""Stops and restarts while clients are at work: nothing that a client sent is lost."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.load import EVERYTHING, SEARCH, UNLIMITED, Ask, Load, load
from tests.servers import Server, flamehaven, free_port, running, until
from tests.slow_gemini import slow_gemini

CONTENT = b"The boiler is serviced every April."
LEAVE = b"Parental leave is 26 weeks at full pay.\n\nParental leave may be shared between parents."
TWO_PARTS = (
    "/api/search?stream=true&store=hr&q=How+long+is+parental+leave+and+may+parental+leave+be+shared+between+parents%3F"
)
"""A question whose answer comes in parts."""
WAIT = {"Prefer": "wait=20"}
PRODUCTION = {
    "ENVIRONMENT": "production",
    "GEMINI_BASE_URL": "emulator:",
    "FLAMEHAVEN_ADMIN_KEY": "the-key-of-the-admin",
}


@contextmanager
def house(data: Path, **settings: str) -> Iterator[Server]:
    """A server with one document, which asks Gemini each time."""
    with flamehaven(data, CACHE_TTL_SEC="0", **UNLIMITED, **settings) as server:
        kept = server.put("/api/documents/house/boiler.md", content=CONTENT, headers=WAIT)
        assert kept.json()["status"] == "indexed", kept.text
        yield server


def port_of(server: Server) -> int:
    return int(server.base_url.port or 0)


def said(data: Path, text: str) -> int:
    """How often the log has a text."""
    return (data / "server.log").read_text().count(text)


def more_than(found: Load, answered: int) -> Callable[[], bool]:
    return lambda: found.answered > answered or bool(found.failed)


def restart(server: Server, data: Path) -> None:
    """A rolling restart, waited for: each worker is another, and ready."""
    before, ready = server.workers, said(data, "Application startup complete")
    server.signal(signal.SIGHUP)
    until(lambda: not server.workers & before and said(data, "Application startup complete") == ready + len(before), 60)


def test_a_rolling_restart_and_a_stop_lose_nothing(tmp_path: Path) -> None:
    with house(tmp_path, WORKERS="2") as server:
        with load(port_of(server), EVERYTHING, clients=4, pause=0.05) as found:
            until(more_than(found, 8))
            restart(server, tmp_path)
            until(more_than(found, found.answered + 8))
            assert found.closing >= 4, "each client was told to take another connection"
            found.ending = True
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
        assert found.failed == []
        assert len(found.turned_away) == 4


@pytest.mark.slow
@pytest.mark.parametrize("asks", [EVERYTHING, [Ask("GET", SEARCH, headers={"Connection": "close"})]])
def test_many_rolling_restarts_lose_nothing(tmp_path: Path, asks: list[Ask]) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "flamehaven.cli", "emulator", "--port", str(port), "--data", str(tmp_path / "g")]
    with running(command, environment={}, url=address, log=tmp_path / "gemini.log"):
        slowly = {"call": "models.*", "fault": "delay", "seconds": 0.3}
        httpx2.put(f"{address}/emulator/faults", json={"rules": [slowly]}).raise_for_status()
        gemini = {"GEMINI_BASE_URL": address, "GEMINI_API_KEY": "any"}
        with house(tmp_path / "data", WORKERS="3", **gemini) as server:
            with load(port_of(server), asks, clients=32, pause=0.01) as found:
                for _ in range(5):
                    restart(server, tmp_path / "data")
                    until(more_than(found, found.answered + 64))
            print(found.answered, "answered,", found.closing, "closing")
            assert found.failed == []


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_stop_answers_whatever_has_begun(tmp_path: Path, workers: str) -> None:
    with (
        slow_gemini(tmp_path / "gemini") as (address, gemini),
        house(tmp_path, WORKERS=workers, GEMINI_BASE_URL=address, GEMINI_API_KEY="any") as server,
    ):
        server.put("/api/documents/hr/leave.md", content=LEAVE, headers=WAIT).raise_for_status()
        gemini.pause = 1.5
        there = ("127.0.0.1", port_of(server))
        idle, fresh, partial, uploading, streaming = (socket.create_connection(there, timeout=20) for _ in range(5))
        idle.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"alive" in received(idle)
        partial.sendall(b"GET /health/live HTTP/1.1\r\nHo")
        text = b"The roof is new." * 1000
        head = f"PUT /api/documents/house/roof.md HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(text)}\r\n\r\n"
        uploading.sendall(head.encode() + text[:100])
        streaming.sendall(f"GET {TWO_PARTS} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        began = received(streaming, b"event: text")
        time.sleep(0.3)  # for the rest to arrive, too
        server.signal(signal.SIGTERM)
        until(lambda: said(tmp_path, "Shutting down") >= int(workers))
        until(lambda: refused(there))
        idle.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        fresh.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        partial.sendall(b"st: 127.0.0.1\r\n\r\n")
        uploading.sendall(text[100:])
        assert re.match(rb"HTTP/1.1 202 .*connection: close.*house/roof.md", whole(uploading), re.DOTALL)
        assert b"event: answer" not in began
        assert b"event: answer" in received(streaming, b"\r\n0\r\n\r\n"), "up to the last chunk"
        streaming.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        for line in (idle, fresh, partial, streaming):
            assert re.match(rb"HTTP/1.1 200 OK.*connection: close.*alive", whole(line), re.DOTALL)
        server.wait(10)
    assert (tmp_path / "documents/house/roof.md").read_bytes() == text


def refused(there: tuple[str, int]) -> bool:
    try:
        socket.create_connection(there, timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def received(line: socket.socket, awaited: bytes = b"}") -> bytes:
    """What comes first on a connection."""
    found = b""
    while awaited not in found and (data := line.recv(10_000)):
        found += data
    return found


def whole(line: socket.socket) -> bytes:
    """All that comes before the server ends a connection."""
    found = b""
    with line:
        while data := line.recv(10_000):
            found += data
    return found


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with flamehaven(tmp_path, WORKERS="2") as server:
        dies, _ = sorted(server.workers)
        os.kill(dies, signal.SIGKILL)
        until(lambda: len(server.workers - {dies}) == 2 and said(tmp_path, "Application startup complete") >= 2)
        assert server.get("/health/live", headers={"Connection": "close"}).status_code == 200


@pytest.mark.slow
def test_a_replacement_that_cannot_start_ends_nobody_and_is_tried_again(tmp_path: Path) -> None:
    with flamehaven(tmp_path, WORKERS="2") as server:
        until(lambda: said(tmp_path, "Application startup complete") == 2)
        dies, lives = sorted(server.workers)
        state = tmp_path / "state"
        state.rename(tmp_path / "aside")
        state.write_text("in the way")
        os.kill(dies, signal.SIGKILL)
        until(lambda: said(tmp_path, "Application startup failed") >= 2)
        for _ in range(5):
            assert server.get("/health/live", headers={"Connection": "close"}).status_code == 200
        state.unlink()
        (tmp_path / "aside").rename(state)
        until(lambda: said(tmp_path, "Application startup complete") == 3)
        assert lives in server.workers


@pytest.mark.slow
def test_a_stuck_worker_is_replaced_and_a_busy_one_is_not(tmp_path: Path) -> None:
    with house(tmp_path, WORKERS="2") as server:
        stuck, busy = sorted(server.workers)
        os.kill(stuck, signal.SIGSTOP)

        def slowly() -> Iterator[bytes]:
            for _ in range(75):
                yield b"The roof is new. "
                time.sleep(1)

        # A connection of its own, which only the other worker can take.
        kept = httpx2.put(f"{server.base_url}/api/documents/house/roof.md", content=slowly(), timeout=90)
        assert kept.status_code == 202
        assert stuck not in server.workers
        assert busy in server.workers


@pytest.mark.parametrize(
    "worker",
    [
        "uvicorn_worker.UvicornWorker",
        pytest.param("flamehaven.workers.Worker", marks=pytest.mark.slow),
        pytest.param("uvicorn.workers.UvicornWorker", marks=pytest.mark.slow),  # the guide's, deprecated by uvicorn
    ],
)
def test_an_operators_own_gunicorn_serves_it_too(tmp_path: Path, worker: str) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    app = "flamehaven.app:create_app()"
    command = [sys.executable, "-m", "gunicorn", app, "--workers", "2", "--worker-class", worker, "--bind", address[7:]]
    environment = {"ENVIRONMENT": "development", "DATA_DIR": str(tmp_path / "data"), "HOME": str(tmp_path)}
    with running(command, environment=environment, url=f"{address}/health/live", log=tmp_path / "log"):
        kept = httpx2.put(f"{address}/api/documents/house/boiler.md", content=CONTENT, headers=WAIT, timeout=30)
        assert kept.json()["status"] == "indexed", kept.text
        assert "April" in httpx2.get(address + SEARCH, timeout=30).json()["answer"]


@pytest.mark.slow
def test_hanging_up_on_a_single_server_does_nothing(tmp_path: Path) -> None:
    with flamehaven(tmp_path, **PRODUCTION) as server:
        server.signal(signal.SIGHUP)
        until(lambda: said(tmp_path, "SIGHUP exchanges workers"))
        assert server.get("/health/live").status_code == 200
