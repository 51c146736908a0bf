"""Milliseconds to the first piece of a streamed answer, beside the whole of it: one at a time, every question new."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import httpx2

from benchmarks.corpus import make
from benchmarks.indexing import fill
from tests.servers import flamehaven

FILES = 1000
QUESTIONS = 200


def measure(client: httpx2.Client) -> tuple[list[float], list[float]]:
    """Milliseconds to the first event, and to the end of the stream, sorted."""
    made = make(FILES)
    first, whole = [], []
    for number in range(QUESTIONS):
        asked = {"q": made[(number * 7919) % FILES].question, "store": "bench", "stream": "true"}
        started = time.perf_counter()
        with client.stream("GET", "/api/search", params=asked) as answer:
            pieces = answer.iter_raw()
            next(pieces)
            first.append((time.perf_counter() - started) * 1000)
            for _ in pieces:
                pass
        whole.append((time.perf_counter() - started) * 1000)
    return sorted(first), sorted(whole)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, flamehaven(Path(folder)) as client:
        fill(client, Path(folder), FILES, 300)
        first, whole = measure(client)
    for name, times in (("first event", first), ("whole answer", whole)):
        print(f"{name}: p50 {statistics.median(times):.1f} ms, p95 {times[int(0.95 * QUESTIONS)]:.1f} ms")


if __name__ == "__main__":
    main()
