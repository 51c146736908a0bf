"""The server is killed at random while files change; in the end each is indexed exactly once, with its newest text."""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path

import pytest

from tests.servers import flamehaven, until

FILES = 60
KILLS = 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_every_file_is_indexed_once_with_its_newest_content(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    folder = tmp_path / "documents" / "store"
    folder.mkdir(parents=True)
    written: dict[str, str] = {}

    def change(count: int) -> None:
        for _ in range(count):
            name = f"{chance.randrange(FILES)}.md"
            if name in written and chance.random() < 0.2:
                (folder / name).unlink()
                del written[name]
            else:
                written[name] = f"The code of unit {name} is {chance.randrange(10**9)}."
                (folder / name).write_text(written[name])

    for _ in range(KILLS):
        with flamehaven(tmp_path) as client:
            until_killed = time.monotonic() + chance.uniform(0.2, 2)
            while time.monotonic() < until_killed:
                change(5)
                time.sleep(0.1)
            client.kill()
        change(3)
    with flamehaven(tmp_path) as client:

        def settled() -> bool:
            found = client.get("/api/documents", params={"page_size": 1000}).json()["documents"]
            return len(found) == len(written) and all(document["status"] == "indexed" for document in found)

        until(settled, 60)
        index = tmp_path / "emulator" / "index.sqlite3"
        until(lambda: len(_texts(index)) == len(written), 30)
    assert sorted(_texts(index)) == sorted(written.values())


def _texts(index: Path) -> list[str]:
    with sqlite3.connect(f"file:{index}?mode=ro", uri=True) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM chunks")]
