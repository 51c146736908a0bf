"""Seconds to import each function in a new interpreter, beside a bare one; the ratio is what counts."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROUNDS = 15
BARE = "import functions_framework.aio\n@functions_framework.aio.http\nasync def hello(request): return 'hello'\n"
FUNCTIONS = ("health", "search", "ingest")


def seconds(program: str) -> float:
    """Wall-clock seconds of one interpreter that runs `program`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return time.perf_counter() - started


def main() -> None:
    programs = {"bare": BARE, **{name: f"import functions.{name}.main" for name in FUNCTIONS}}
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for program in programs.values():
        seconds(program)
    for _ in range(ROUNDS):
        for name, program in programs.items():
            taken[name].append(seconds(program))
    bare = statistics.median(taken["bare"])
    for name, times in taken.items():
        median = statistics.median(times)
        print(f"{name:8} {median:.3f} s  {median / bare:.2f} x bare")


if __name__ == "__main__":
    main()
