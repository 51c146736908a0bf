"""Memory over idle while one large document is ingested: a text of 100 MB, the most that Gemini takes."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx2

from benchmarks.corpus import make
from functions.ingest.acceptance import GEMINI_MAX_BYTES
from tests.servers import Server, flamehaven, until

MB = 1 << 20
EVERY = 0.05
LONGEST = 1500.0


class Sampler(threading.Thread):
    """Notes the most memory that a process alone, and with its children, has had; of shared pages, its share (PSS)."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self.alone = self.together = 0

    def run(self) -> None:
        while not self._ended.wait(EVERY):
            alone, children = pss(self._pid), [pss(child) for child in children_of(self._pid)]
            self.alone, self.together = max(self.alone, alone), max(self.together, alone + sum(children))

    def end(self) -> None:
        self._ended.set()
        self.join()


def pss(pid: int) -> int:
    """The proportional set size of a process, in bytes; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def children_of(pid: int) -> list[int]:
    """The processes that a process started, from any of its threads, and those that they started."""
    direct: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            direct += map(int, (thread / "children").read_text().split())
    return [*direct, *(grandchild for child in direct for grandchild in children_of(child))]


def status(client: httpx2.Client, name: str) -> str:
    answer = client.get(f"/api/documents/{name}")
    return str(answer.json()["status"]) if answer.status_code == 200 else "absent"


def ingest(client: Server, documents: Path, size: int) -> tuple[Sampler, float]:
    """Drop a text of `size` bytes, and wait until it is searchable; returns what it took."""
    path = documents / "bench" / "large.md"
    path.parent.mkdir(parents=True)
    paragraphs = "\n\n".join(document.text for document in make(1000)).encode()
    with path.with_name(".large").open("wb") as file:
        for _ in range(size // len(paragraphs)):
            file.write(paragraphs)
        file.write(paragraphs[: size % len(paragraphs)])
    sampler = Sampler(client.pid)
    sampler.start()
    started = time.monotonic()
    path.with_name(".large").rename(path)
    until(lambda: status(client, "bench/large.md") in ("indexed", "failed"), LONGEST, every=0.5)
    taken = time.monotonic() - started
    sampler.end()
    assert status(client, "bench/large.md") == "indexed"
    return sampler, taken


def main() -> None:
    size = int(float(sys.argv[1]) * 1e6) if len(sys.argv) > 1 else GEMINI_MAX_BYTES
    with tempfile.TemporaryDirectory() as folder, flamehaven(Path(folder), MAX_FILE_SIZE_MB="200") as client:
        client.put("/api/documents/warm/up.md", content="Everything is loaded.", headers={"Prefer": "wait=30"})
        client.get("/api/search", params={"q": "Is everything loaded?", "store": "warm"})
        time.sleep(3)
        idle = pss(client.pid)
        idle_together = idle + sum(map(pss, children_of(client.pid)))
        sampler, taken = ingest(client, Path(folder) / "documents", size)
    print(
        f"{size / 1e6:.0f} MB in {taken:.0f} s: the server took {(sampler.alone - idle) / MB:.0f} MB over its idle "
        f"{idle / MB:.0f} MB, and {(sampler.together - idle_together) / MB:.0f} MB with its parser"
    )


if __name__ == "__main__":
    main()
