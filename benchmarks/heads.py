"""What request heads without end cost: `python -m benchmarks.heads`.

Memory under 100 MB of small headers, how long others wait beside one header of 96 MiB, and whether a server with 256
file descriptors answers beside 260 half-sent heads.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import time
from pathlib import Path

import httpx2
import psutil

from tests.servers import Server, flamehaven

GET = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def open_to(server: Server) -> socket.socket:
    """A connection to the server."""
    return socket.create_connection(("127.0.0.1", server.base_url.port or 0), timeout=30)


def send(server: Server, part: bytes, times: int) -> None:
    """Begin a request, and send so many parts of headers, as long as the server takes them."""
    with contextlib.suppress(OSError), open_to(server) as sock:
        sock.sendall(GET + b"X: ")
        for _ in range(times):
            sock.sendall(part)


def memory(server: Server) -> float:
    """The server's resident memory, in MiB."""
    return psutil.Process(server.pid).memory_info().rss / (1 << 20)


def slowest(server: Server, beside: threading.Thread) -> float:
    """The longest that a request took while something else went on, in seconds."""
    worst = 0.0
    beside.start()
    while beside.is_alive():
        started = time.monotonic()
        httpx2.get(f"{server.base_url}/health/live", timeout=60)
        worst = max(worst, time.monotonic() - started)
    return worst


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with flamehaven(Path(folder) / "a") as server:
            before = memory(server)
            small = b"".join(b"x\r\nX%07d: " % n for n in range(5000))
            send(server, small, (100 << 20) // len(small))
            print(f"memory with 100 MB of small headers: {before:.0f} MiB before, {memory(server):.0f} MiB after")
        with flamehaven(Path(folder) / "b") as server:
            worst = slowest(server, threading.Thread(target=send, args=(server, b"x" * (1 << 20), 96)))
            print(f"slowest other request beside one header of 96 MiB: {worst:.2f} s")
        few = ("prlimit", "--nofile=256:256")
        with flamehaven(Path(folder) / "c", prefix=few) as server, contextlib.ExitStack() as stack:
            for _ in range(260):
                with contextlib.suppress(OSError):
                    stack.enter_context(open_to(server)).sendall(GET)
            try:
                status = httpx2.get(f"{server.base_url}/api/stores", timeout=10).status_code
            except httpx2.HTTPError as error:
                status = type(error).__name__
            print(f"beside 260 half-sent heads with 256 file descriptors: {status}")


if __name__ == "__main__":
    main()
