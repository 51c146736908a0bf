"""The server is killed at random while files change; in the end each is indexed exactly once, with its newest text."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers import Server, flamehaven, until

FILES = 200
KILLS = 8


class User:
    """Writes, describes, edits and deletes files of one folder, and knows what should be found in the end."""

    def __init__(self, documents: Path, chance: random.Random) -> None:
        self.folder = documents / "store"
        self.folder.mkdir(parents=True)
        self.chance = chance
        self.written: dict[str, str] = {}
        self.authors: dict[str, str] = {}

    def change(self, count: int) -> None:
        for _ in range(count):
            name = f"{self.chance.randrange(FILES)}.md"
            does = self.chance.choice([self.write, self.write, self.write, self.describe, self.delete])
            does(name)

    def write(self, name: str) -> None:
        self.written[name] = f"The code of unit {name} is {self.chance.randrange(10**9)}."
        (self.folder / name).write_text(self.written[name])

    def describe(self, name: str) -> None:
        self.authors[name] = f"author {self.chance.randrange(1000)}"
        (self.folder / f"{name}.metadata.json").write_text(json.dumps({"author": self.authors[name]}))

    def delete(self, name: str) -> None:
        if name in self.written:
            (self.folder / name).unlink()
            del self.written[name]

    def expected(self) -> list[tuple[str, str | None]]:
        return sorted((text, self.authors.get(name)) for name, text in self.written.items())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_every_file_is_indexed_once_with_its_newest_content(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    user = User(tmp_path / "documents", chance)
    for number in range(FILES):
        user.write(f"{number}.md")
    for _ in range(KILLS):
        with flamehaven(tmp_path) as client:
            until_killed = time.monotonic() + chance.uniform(0.2, 3)
            while time.monotonic() < until_killed:
                user.change(5)
                if chance.random() < 0.2:
                    ask_for_trouble(client, chance)
                time.sleep(0.1)
            client.kill()
        user.change(5)
    index = tmp_path / "emulator" / "index.sqlite3"
    with flamehaven(tmp_path) as client:

        def settled() -> bool:
            found = client.get("/api/documents", params={"page_size": 1000}).json()["documents"]
            return len(found) == len(user.written) and all(document["status"] == "indexed" for document in found)

        until(settled, 90)
        until(lambda: in_gemini(index) == user.expected(), 30)
        assert client.post("/api/reconcile").json()["outcomes"].keys() == {"unchanged"}
    assert in_gemini(index) == user.expected()


def ask_for_trouble(client: Server, chance: random.Random) -> None:
    """What a user may do over HTTP meanwhile, and need not wait for."""
    client.post(f"/api/documents/store/{chance.randrange(FILES)}.md/retry")
    if chance.random() < 0.3:
        client.post("/api/stores/store/reindex")


def in_gemini(index: Path) -> list[tuple[str, str | None]]:
    """The text of every chunk that the emulator has, with its document's author."""
    query = "SELECT text, metadata FROM chunks JOIN documents ON documents.number = chunks.document"
    with closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as connection:
        return sorted((text, author(metadata)) for text, metadata in connection.execute(query))


def author(metadata: str) -> str | None:
    entries = {entry["key"]: entry.get("stringValue", entry.get("string_value")) for entry in json.loads(metadata)}
    return entries.get("author")
