"""Files indexed per second: 200 files of 3 KB (or as many as are asked for) dropped into the folder at once."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import httpx2

from benchmarks.corpus import make
from tests.servers import flamehaven, until

FILES = 200


def indexed(client: httpx2.Client, store: str) -> int:
    """How many documents of the store are searchable."""
    count, token = 0, ""
    while True:
        after = {"page_token": token} if token else {}
        page = client.get("/api/documents", params={"store": store, "page_size": 1000, **after}).json()
        count += sum(document["status"] == "indexed" for document in page["documents"])
        token = page["next_page_token"]
        if not token:
            return count


def is_indexed(client: httpx2.Client, name: str) -> bool:
    """Whether one document of the store `bench` is searchable."""
    found = client.get(f"/api/documents/bench/{name}")
    return found.status_code == 200 and found.json()["status"] == "indexed"


def fill(client: httpx2.Client, folder: Path, files: int, seconds: float) -> float:
    """Drop `files` documents into the store `bench` and wait until all are searchable; returns the seconds it took."""
    store = folder / "documents" / "bench"
    store.mkdir(parents=True, exist_ok=True)
    made = make(files)
    started = time.monotonic()
    for document in made:
        (store / document.name).write_text(document.text)
    for document in made[:: max(1, files // 20)]:  # looking at all of them all the time would slow them down
        until(lambda document=document: is_indexed(client, document.name), seconds, every=0.05)
    until(lambda: indexed(client, "bench") == files, seconds, every=max(0.05, files / 2000))
    return time.monotonic() - started


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    with tempfile.TemporaryDirectory() as folder, flamehaven(Path(folder)) as client:
        taken = fill(client, Path(folder), files, 60 + files)
    print(f"{files} files of 3 KB: {taken:.1f} s, {files / taken:.0f} files per second")


if __name__ == "__main__":
    main()
