"""Objects per second from a bucket to searchable through its queue, and what an event about an unchanged object costs.

The buckets and queues are real servers (tests/clouds.py says which), the Gemini emulator is a process of its own.
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
from functions.ingest.events import ObjectEvent
from functions.ingest.worker import settle_event
from shared.runtime import close_runtime, runtime
from tests.deployment import Cloud, Gemini, Kind, cloud, container, gemini
from tests.servers import Server, until

KINDS: tuple[Kind, ...] = ("google", "own", "moto", "localstack")
DUPLICATES = 200


def whole_path(there: Cloud, server: Server, objects: int) -> None:
    """Write objects, and wait until all are indexed."""
    names = [f"bench/{number}.md" for number in range(objects)]
    started = time.perf_counter()
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda name: there.put(name, f"The code of {name} is {len(name)}77."), names))
    written = time.perf_counter() - started

    def indexed() -> bool:
        summary = server.get("/api/stores", timeout=60).json()["stores"].get("bench", {})
        return bool(summary.get("indexed") == objects)

    until(indexed, seconds=1800, every=1.0)
    seconds = time.perf_counter() - started
    print(f"{objects} objects, written in {written:.1f} s, indexed after {seconds:.1f} s: {objects / seconds:.1f}/s")


async def duplicates(there: Cloud) -> None:
    """Events about one unchanged object, as the function and the server settle them, one after the other."""
    parts, event = await runtime(), ObjectEvent(there.documents, "bench/0.md")
    assert await settle_event(parts, event) == "unchanged"
    with counted() as calls:
        started = time.perf_counter()
        for _ in range(DUPLICATES):
            await settle_event(parts, event)
        milliseconds = (time.perf_counter() - started) * 1000 / DUPLICATES
    each = ", ".join(f"{count / DUPLICATES:g} {kind} calls" for kind, count in sorted(calls.items()))
    print(f"an event about an unchanged object: {milliseconds:.1f} ms, {each}, no writes")
    await close_runtime()


def main(objects: int, kind: Kind) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with cloud(kind, folder) as there, gemini(folder) as model:
            with container(folder / "data", there, model) as server:
                whole_path(there, server, objects)
            os.environ |= settings_of(there, model, folder)
            asyncio.run(duplicates(there))


def settings_of(there: Cloud, model: Gemini, folder: Path) -> dict[str, str]:
    """What this process needs to be a part of the deployment."""
    return {**there.settings(), "GEMINI_BASE_URL": model.address, "GEMINI_API_KEY": "any", "DATA_DIR": str(folder)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects", nargs="?", type=int, default=300)
    parser.add_argument("--kind", choices=KINDS, default="moto")
    asked = parser.parse_args()
    main(asked.objects, asked.kind)
