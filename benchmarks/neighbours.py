"""What the documents of one store and key cost those of others: waiting, searches, memory.

Each part starts a server of its own. Name the parts to run only some: `queue`, `searches`, `memory`.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from benchmarks.memory import children_of, pss
from tests.hostile import HOGS, long_words, marks
from tests.servers import Server, flamehaven, until

LONGEST = 900.0
"""Seconds that anything here may take."""
HOSTILE = 10
SEARCHES = 20
UPLOADS, UPLOAD_BYTES = 7, 8_000_000
MIB = 1 << 20
WAIT = {"Prefer": "wait=30"}


def queue(client: Server) -> None:
    """Seconds until a small document is searchable that comes after ten hostile ones of another store."""
    files = {name: content() for name, content in HOGS.items()}
    for number in range(HOSTILE):
        name = list(files)[number % len(files)]
        client.put(f"/api/documents/hostile/{number}-{name}", content=files[name]).raise_for_status()
    time.sleep(2)
    started = time.monotonic()
    client.put("/api/documents/calm/note.md", content="The gate opens at 6:45.").raise_for_status()
    until(lambda: status(client, "calm/note.md") == "indexed", LONGEST)
    print(
        f"queue: a small document beside {HOSTILE} hostile ones was searchable after {time.monotonic() - started:.1f} s"
    )


def searches(client: Server) -> None:
    """The slowest search of a calm store while another is searched twenty times at once."""
    client.put("/api/documents/calm/note.md", content="The gate opens at 6:45.", headers=WAIT).raise_for_status()
    client.put("/api/documents/marks/marks.md", content=marks(1_000_000)).raise_for_status()
    until(lambda: status(client, "marks/marks.md") == "indexed", LONGEST)
    ended = threading.Event()

    def ask() -> None:
        with httpx2.Client(base_url=client.base_url, timeout=LONGEST) as other:
            number = 0
            while not ended.is_set():
                number += 1
                other.get("/api/search", params={"q": f"What do the marks say about {number}?", "store": "marks"})

    threads = [threading.Thread(target=ask) for _ in range(SEARCHES)]
    for thread in threads:
        thread.start()
    taken = []
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        started = time.monotonic()
        client.get("/api/search", params={"q": f"When does the gate open ({len(taken)})?", "store": "calm"})
        taken.append(time.monotonic() - started)
        time.sleep(0.2)
    ended.set()
    for thread in threads:
        thread.join()
    print(f"searches: the slowest of {len(taken)} beside {SEARCHES} hostile searches took {max(taken):.1f} s")


def memory(client: Server) -> None:
    """MiB that the server has more after seven uploads of 8 MB, and after their deletion."""
    client.put("/api/documents/calm/note.md", content="The gate opens at 6:45.", headers=WAIT).raise_for_status()
    client.get("/api/search", params={"q": "When does the gate open?", "store": "calm"}).raise_for_status()
    before = held(client)
    for number in range(UPLOADS):
        name = f"words/{number}.txt"
        client.put(f"/api/documents/{name}", content=long_words(UPLOAD_BYTES, number)).raise_for_status()
        until(lambda name=name: status(client, name) in ("indexed", "failed"), LONGEST)
    client.get("/api/search", params={"q": "When does the word open?", "store": "words"})  # may be too much to answer
    after = held(client)
    client.delete("/api/stores/words", params={"force": "true"}).raise_for_status()
    until(lambda: "words" not in client.get("/api/stores").json()["stores"], LONGEST)
    client.get("/api/search", params={"q": "When does the gate open again?", "store": "calm"}).raise_for_status()
    print(
        f"memory: {UPLOADS} uploads of {UPLOAD_BYTES / 1e6:.0f} MB added {(after - before) / MIB:.0f} MiB to "
        f"{before / MIB:.0f}; {(held(client) - before) / MIB:.0f} MiB were left after their deletion"
    )


def held(server: Server) -> int:
    """The memory of a server and its processes, in bytes."""
    return sum(map(pss, (server.pid, *children_of(server.pid))))


def status(client: Server, name: str) -> str:
    return str(client.get(f"/api/documents/{name}").json().get("status"))


PARTS: dict[str, Callable[[Server], None]] = {"queue": queue, "searches": searches, "memory": memory}


def main() -> None:
    for name in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as folder, flamehaven(Path(folder), CACHE_TTL_SEC="0") as client:
            client.timeout = httpx2.Timeout(LONGEST)
            PARTS[name](client)


if __name__ == "__main__":
    main()
