"""Milliseconds that a search takes over HTTP, one at a time, every question new, at several sizes of the store."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx2

from benchmarks.corpus import make
from benchmarks.indexing import fill
from tests.servers import flamehaven

SIZES = (200, 1000, 10_000)
QUESTIONS = 200


def measure(client: httpx2.Client, files: int) -> tuple[list[float], float]:
    """Sorted milliseconds of each search, and the share whose answer held the fact."""
    made = make(files)
    asked = [made[(number * 7919) % files] for number in range(QUESTIONS)]
    times, right = [], 0
    for document in asked:
        started = time.perf_counter()
        answer = client.get("/api/search", params={"q": document.question, "store": "bench"})
        times.append((time.perf_counter() - started) * 1000)
        right += document.fact in answer.json()["answer"]
    return sorted(times), right / QUESTIONS


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or list(SIZES)
    with tempfile.TemporaryDirectory() as folder, flamehaven(Path(folder)) as client:
        for files in sizes:
            taken = fill(client, Path(folder), files, 60 + files)
            times, right = measure(client, files)
            print(
                f"{files} documents: p50 {statistics.median(times):.1f} ms, p95 {times[int(0.95 * QUESTIONS)]:.1f} ms, "
                f"right fact {right:.0%} (filled in {taken:.0f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
