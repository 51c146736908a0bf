"""Searches a second by 64 clients at once while the model takes 300 ms for each, and what `/health` takes then.

Two workers on a tiny store, the emulator as a process of its own; afterwards the same question again and again, from
the cache, beside requests for `/health/live` in the same run. Client, workers and emulator share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx2

from tests.servers import Server, flamehaven, free_port, running, until

CLIENTS = 64
MODEL_SECONDS = 0.3
HEALTH_EVERY = 0.1
FACTS = {
    "leave.md": "Parental leave is 26 weeks at full pay.",
    "laptop.md": "A laptop is replaced after 4 years.",
    "party.md": "The summer party is on 18 July.",
}


@contextmanager
def slow_emulator(folder: Path) -> Iterator[str]:
    """The emulator, which takes `MODEL_SECONDS` longer for each answer."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [
        sys.executable,
        "-m",
        "flamehaven.cli",
        "emulator",
        "--port",
        str(port),
        "--data",
        str(folder / "emulator"),
    ]
    with running(command, environment={}, url=address, log=folder / "emulator.log"):
        rule = {"call": "models.generateContent", "fault": "delay", "seconds": MODEL_SECONDS}
        httpx2.put(f"{address}/emulator/faults", json={"rules": [rule]}).raise_for_status()
        yield address


class Asked:
    """What requests for one thing took, and what they were answered."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()

    def shown(self, elapsed: float) -> str:
        times = sorted(self.seconds)
        p50, p95, p99 = (times[int(share * len(times))] * 1000 for share in (0.5, 0.95, 0.99))
        answers = ", ".join(f"{count} of {status}" for status, count in sorted(self.statuses.items()))
        return f"{len(times) / elapsed:.1f}/s, p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms ({answers})"


async def get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> int:
    """The status of an answer over a connection that stays open: a client that costs the machine little."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head[9:12])


async def client(port: int, path: Callable[[], str], asked: Asked, end: float, every: float = 0.0) -> None:
    """Ask one thing after the other over one connection until `end`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (started := time.perf_counter()) < end:
            asked.statuses[await get(reader, writer, path())] += 1
            asked.seconds.append(time.perf_counter() - started)
            await asyncio.sleep(max(0.0, started + every - time.perf_counter()) if every else 0)
    finally:
        writer.close()


async def load(port: int, path: Callable[[], str], seconds: float, *, watched: bool = False) -> tuple[Asked, Asked]:
    """`CLIENTS` that ask for `path` at once, and with `watched` one more that asks for the health."""
    asked, health, end = Asked(), Asked(), time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client(port, path, asked, end))
        if watched:
            group.create_task(client(port, lambda: "/health", health, end, HEALTH_EVERY))
    return asked, health


def fill(server: Server) -> None:
    for name, text in FACTS.items():
        server.put(f"/api/documents/{name}", content=text.encode()).raise_for_status()

    def all_indexed() -> bool:
        return bool(server.get("/api/stores").json()["stores"]["default"]["indexed"] == len(FACTS))

    until(all_indexed)


def main(seconds: float, workers: int) -> None:
    numbers = iter(range(10**9))
    new = lambda: f"/api/search?q={quote(f'When is the summer party of year {next(numbers)}?')}"  # noqa: E731 - one line
    same = "/api/search?q=When+is+the+summer+party"
    with tempfile.TemporaryDirectory() as name, slow_emulator(Path(name)) as address:
        settings = {
            "GEMINI_BASE_URL": address,
            "GEMINI_API_KEY": "any",
            "WORKERS": str(workers),
            "LOG_LEVEL": "warning",
        }
        with flamehaven(Path(name) / "data", **settings) as server:
            port = server.base_url.port or 0
            fill(server)
            asyncio.run(load(port, new, 2.0))
            asked, health = asyncio.run(load(port, new, seconds, watched=True))
            print(f"{CLIENTS} clients, {workers} workers, {MODEL_SECONDS * 1000:.0f} ms in the model:")
            print(f"  new questions: {asked.shown(seconds)}")
            print(f"  /health meanwhile: {health.shown(seconds)}")
            asyncio.run(load(port, lambda: same, 1.0))
            kept, _ = asyncio.run(load(port, lambda: same, seconds))
            live, _ = asyncio.run(load(port, lambda: "/health/live", seconds))
            print(f"  the same question: {kept.shown(seconds)}")
            print(f"  /health/live: {live.shown(seconds)}")
            print(f"  kept answers for each /health/live: {len(kept.seconds) / len(live.seconds):.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    main(given.seconds, given.workers)
