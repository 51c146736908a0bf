"""Seconds from `cp` to searchable: one small file at a time, on an idle server with a hundred documents."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.corpus import make
from tests.servers import flamehaven, until

FILES = 40


def main() -> None:
    made = make(100 + FILES)
    seconds = []
    with tempfile.TemporaryDirectory() as folder, flamehaven(Path(folder)) as client:
        store = Path(folder) / "documents" / "bench"
        store.mkdir(parents=True)
        for document in made[:100]:
            (store / document.name).write_text(document.text)

        def found(question: str, fact: str) -> bool:
            answer = client.get("/api/search", params={"q": question, "store": "bench"})
            return answer.status_code == 200 and fact in answer.json()["answer"]

        until(lambda: all(found(document.question, document.fact) for document in made[:100]), 120)
        for document in made[100:]:
            started = time.monotonic()
            (store / document.name).write_text(document.text)
            until(lambda document=document: found(document.question, document.fact), 30, every=0.01)
            seconds.append(time.monotonic() - started)
    seconds.sort()
    print(
        f"from cp to searchable, {FILES} files of 3 KB: median {statistics.median(seconds):.2f} s, "
        f"p95 {seconds[int(0.95 * FILES)]:.2f} s, slowest {seconds[-1]:.2f} s"
    )


if __name__ == "__main__":
    main()
