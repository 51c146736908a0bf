"""Many clients at once that keep their connections and never send anything twice: what one of them loses is lost."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count


@dataclass
class Load:
    """What came of the requests so far."""

    answered: int = 0
    closing: int = 0
    """Of those, the ones whose answer said that it is the connection's last."""
    failed: list[str] = field(default_factory=list)
    """The requests that were sent and not answered in full with a success, and what came instead."""
    turned_away: list[str] = field(default_factory=list)
    """Connections that were refused, or ended without an answer to their first request once `ending` was set."""
    ending: bool = False
    """Whether the server has been told to stop, so that clients may be turned away."""
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Ask:
    """One request of a client."""

    method: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def load(port: int, asks: Sequence[Ask], *, clients: int, pause: float = 0.0) -> Iterator[Load]:
    """Clients that send `asks` in turn until the block ends; each pauses for so many seconds after every answer."""
    found, over = Load(), threading.Event()

    def run(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=40)
        for turn in count(number):
            if over.is_set() or not _send(connection, asks[turn % len(asks)], found):
                break
            time.sleep(pause)
        connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join(60)


def _send(connection: http.client.HTTPConnection, ask: Ask, found: Load) -> bool:
    """Send one request and note what came of it; whether to go on."""
    fresh, closing, problem = connection.sock is None, False, None
    try:
        if fresh:
            connection.connect()
        connection.request(ask.method, ask.path, ask.body, ask.headers)
        answer = connection.getresponse()
        body = answer.read()
        closing = answer.getheader("connection") == "close"
        if answer.status >= 300 or not body.rstrip().endswith(b"}"):
            problem = f"{answer.status} {body[-200:]!r}"
    except (OSError, http.client.HTTPException) as error:
        problem = repr(error)
        connection.close()
    with found.lock:
        if problem is None:
            found.answered += 1
            found.closing += closing
            return True
        if found.ending and fresh and "Connection" in problem:
            found.turned_away.append(problem)
        else:
            found.failed.append(f"{ask.method} {ask.path}: {problem}")
        return False


SEARCH = "/api/search?q=When+is+the+boiler+serviced%3F&store=house"
EVERYTHING = [
    Ask("GET", SEARCH),
    Ask("PUT", "/api/documents/house/other.md", b"The roof is new. " * 5000),
    Ask("GET", f"{SEARCH}&stream=true"),
    Ask("GET", "/health/live"),
]
"""A search, an upload, a stream, and what costs nothing."""
UNLIMITED = {f"{kind}_RATE_LIMIT": "" for kind in ("SEARCH", "UPLOAD", "API")}
"""The settings of a server that takes all of it from one address."""
