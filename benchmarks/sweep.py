"""What a sweep costs, in seconds and calls: when everything is to be indexed, and when nothing is to be done.

The bucket is a real server (tests/clouds.py says which), the Gemini emulator is a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.calls import counted
from benchmarks.events import KINDS, settings_of
from functions.ingest.worker import settle_all
from shared.runtime import close_runtime, runtime
from tests.deployment import Kind, cloud, gemini


async def sweep(what: str) -> None:
    parts, started = await runtime(), time.perf_counter()
    with counted() as calls:
        report = await settle_all(parts)
    seconds = time.perf_counter() - started
    made = ", ".join(f"{count:,} {kind} calls" for kind, count in sorted(calls.items()))
    print(f"{what}: {report.objects:,} objects in {seconds:.1f} s, {made}, {dict(report.outcomes)}", flush=True)


async def sweeps() -> None:
    await sweep("everything to index")
    await close_runtime()
    await sweep("nothing to do, in a new process")
    await sweep("nothing to do, once more")
    await close_runtime()


def main(objects: int, kind: Kind) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with cloud(kind, folder) as there, gemini(folder) as model:
            with ThreadPoolExecutor(8) as writers:
                texts = {f"store-{number % 4}/{number}.md": f"The code is {number}." for number in range(objects)}
                list(writers.map(lambda each: there.put(*each), texts.items()))
            os.environ |= settings_of(there, model, folder)
            asyncio.run(sweeps())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects", nargs="?", type=int, default=10_000)
    parser.add_argument("--kind", choices=KINDS, default="google")
    asked = parser.parse_args()
    main(asked.objects, asked.kind)
