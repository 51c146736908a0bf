"""The slowest /health and /health/live while hostile files are worked on: one after the other, then all at once."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import httpx2

from tests.hostile import BOMBS, HOSTILE
from tests.servers import Server, flamehaven, until

EVERY = 0.02
SETTLED_WITHIN = 120.0


class Prober(threading.Thread):
    """Asks one address again and again, and notes how long each answer took, and during which file."""

    def __init__(self, server: Server, path: str) -> None:
        super().__init__(daemon=True)
        self._http = httpx2.Client(base_url=server.base_url, timeout=60)
        self._path = path
        self._ended = threading.Event()
        self.during = ""
        self.taken: list[tuple[float, str]] = []

    def run(self) -> None:
        with self._http as http:
            while not self._ended.wait(EVERY):
                started, during = time.perf_counter(), self.during
                http.get(self._path).raise_for_status()
                self.taken.append(((time.perf_counter() - started) * 1000, during))

    def end(self) -> None:
        self._ended.set()
        self.join()

    def report(self) -> str:
        times = sorted(self.taken)
        slowest, during = times[-1]
        middle, late = times[len(times) // 2][0], times[int(len(times) * 0.99)][0]
        return (
            f"{self._path}: {len(times)} asked, p50 {middle:.1f} ms, p99 {late:.1f} ms, "
            f"slowest {slowest:.0f} ms (during {during})"
        )


def settled(client: httpx2.Client, store: str, count: int) -> bool:
    found = client.get("/api/stores").json()["stores"].get(store, {})
    return bool(found.get("documents") == count and found.get("pending") == 0)


def main() -> None:
    files = {hostile.name: hostile.content() for hostile in (*HOSTILE, *BOMBS)}
    files["line.txt"] = b"the valve of pump seven was checked again on that day " * 830_000
    with tempfile.TemporaryDirectory() as folder, flamehaven(Path(folder)) as client:
        client.put("/api/documents/calm/x.md", content="Everything is loaded.", headers={"Prefer": "wait=30"})
        probers = [Prober(client, "/health"), Prober(client, "/health/live")]
        for prober in probers:
            prober.start()
        documents = Path(folder) / "documents"
        (documents / "singly").mkdir()
        for count, (name, content) in enumerate(files.items(), 1):
            for prober in probers:
                prober.during = name
            (documents / "singly" / name).write_bytes(content)
            until(lambda count=count: settled(client, "singly", count), SETTLED_WITHIN)
        for prober in probers:
            prober.during = "all at once"
        (documents / "together").mkdir()
        for name, content in files.items():
            (documents / "together" / name).write_bytes(content)
        until(lambda: settled(client, "together", len(files)), SETTLED_WITHIN * 3)
        for prober in probers:
            prober.end()
            print(prober.report())


if __name__ == "__main__":
    main()
