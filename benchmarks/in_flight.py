"""The server's memory while 100 objects of 50 MB are on their way from the bucket to Gemini.

The objects are noise called PDF, so that Gemini's emulator is done with each as soon as it has it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from benchmarks.memory import MB, Sampler
from tests.deployment import Kind, cloud, container, gemini
from tests.servers import until

SIZE = 50_000_000
KIND: Kind = "google"


def main(objects: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with cloud(KIND, folder) as there, gemini(folder) as model, container(folder / "data", there, model) as server:
            until(lambda: server.get("/health").status_code == 200)
            sampler = Sampler(server.pid)
            sampler.start()
            time.sleep(1)
            idle, content = sampler.alone, os.urandom(SIZE)
            started = time.perf_counter()
            for number in range(objects):
                there.put(f"bench/{number}.pdf", content)

            def settled() -> bool:
                return bool(server.get("/api/stores").json()["stores"].get("bench", {}).get("failed") == objects)

            until(settled, seconds=1800, every=1.0)
            sampler.end()
            seconds = time.perf_counter() - started
            print(f"{objects} objects of {SIZE // 1_000_000} MB in {seconds:.0f} s; idle {idle // MB} MB")
            print(f"server at most {sampler.alone // MB} MB, {(sampler.alone - idle) // MB} MB over idle")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects", nargs="?", type=int, default=100)
    main(parser.parse_args().objects)
