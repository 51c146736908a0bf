"""An index of another version: upgraded in place while it answers, or moved aside where the documents are elsewhere."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from file_search_emulator.analysis import ANALYSIS, analyse
from file_search_emulator.app import create_app, instance_id
from file_search_emulator.aside import set_aside, set_aside_if_unreadable
from file_search_emulator.chunking import Chunk
from file_search_emulator.database import SCHEMA_VERSION, OtherVersion
from tests.emulator import emulator, texts
from tests.servers import FLAMEHAVEN, free_port

FACT = "The clearance value of unit QX00017 is 48213."
ASKED = "What is the clearance value of unit QX00017?"
FOLDERS = Path(__file__).parents[1] / "data_folders"


@contextmanager
def index(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "index.sqlite3", isolation_level=None)) as connection:
        yield connection


def columns(folder: Path) -> set[tuple[object, ...]]:
    """Every column, index and trigger of an index; the order of columns does not matter."""
    with index(folder) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found: set[tuple[object, ...]] = {
            (table, *row[1:]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")
        }
        others = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger')")
        return found | {(name, " ".join((sql or "").split())) for name, sql in others}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The emulator's folder that daf3b6e left when it was killed while it indexed a document."""
    with tarfile.open(FOLDERS / "daf3b6e.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "data/emulator"


async def test_an_older_schema_is_upgraded_and_nothing_is_lost(
    older: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with index(older) as connection:
        instance = connection.execute("SELECT value FROM about WHERE key = 'instance'").fetchone()[0]
        documents = connection.execute("SELECT id FROM documents ORDER BY number").fetchall()
    async with emulator(older) as api:
        store = next(
            each["name"]
            for each in (await api.json("GET", "fileSearchStores"))["fileSearchStores"]
            if each["displayName"].startswith("it ")
        )
        for listed in (await api.json("GET", f"{store}/documents"))["documents"]:
            assert (await api.settled(listed["name"], 60))["state"] == "STATE_ACTIVE"
        assert "50 Gigabyte" in texts(await api.ask("Wie viel Gigabyte hat das größte Postfach?", store))[0]
        assert "2021" in texts(await api.ask("When was the roof renewed?", store))[0]
    with index(older) as connection:
        assert connection.execute("SELECT id FROM documents ORDER BY number").fetchall() == documents
    assert instance_id(older) == instance
    assert len([line for line in caplog.messages if "was upgraded from schema 2" in line]) == 1
    instance_id(tmp_path / "new")
    assert columns(older) == columns(tmp_path / "new")


async def test_several_processes_upgrade_it_once(older: Path, caplog: pytest.LogCaptureFixture) -> None:
    ids = await asyncio.gather(*(asyncio.to_thread(instance_id, older) for _ in range(8)))
    assert len(set(ids)) == 1
    assert len([line for line in caplog.messages if "was upgraded" in line]) == 1


def pretend_another_version_analysed(folder: Path) -> None:
    """Leave nothing by which a search could find the chunks."""
    with index(folder) as connection:
        connection.execute("UPDATE documents SET analysis = analysis + 1, lease_until = 0")
        connection.execute("UPDATE chunks SET postings = zeroblob(length(postings)), vector = zeroblob(length(vector))")


async def fill(folder: Path, count: int) -> str:
    async with emulator(folder) as api:
        store = await api.create_store()
        names = [await api.upload(store, f"Unit QX{number:05d} is green.") for number in range(count)]
        await api.upload(store, FACT)
        for name in names:
            await api.settled(name)
        await api.add(store, "Bicycles are kept in the cellar.")
    return store


async def until_rebuilt(folder: Path) -> None:
    async with asyncio.timeout(60):
        while True:
            with index(folder) as connection:
                left = connection.execute("SELECT count(*) FROM documents WHERE analysis <> ?", (ANALYSIS,)).fetchone()[
                    0
                ]
            if not left:
                return
            await asyncio.sleep(0.02)


async def notice_of(folder: Path) -> str | None:
    """What a server on the folder would say of its index."""
    opened = create_app(folder).state.emulator
    try:
        return opened.notice()
    finally:
        await opened.close()


async def test_what_another_version_analysed_is_analysed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    store = await fill(folder, 20)
    with index(folder) as connection:
        before = connection.execute("SELECT * FROM chunks ORDER BY number").fetchall()
        listed = connection.execute("SELECT number, id, state, updated FROM documents ORDER BY number").fetchall()
    pretend_another_version_analysed(folder)
    with index(folder) as connection:  # another process seems to be at it
        connection.execute("UPDATE documents SET lease_until = unixepoch() + 3600 WHERE size = ?", (len(FACT),))
    assert "22 documents were indexed by another version" in (await notice_of(folder) or "")
    async with emulator(folder) as api, emulator(folder) as other:
        for each in (api, other):
            assert FACT not in texts(await each.ask(ASKED, store))
        with index(folder) as connection:
            connection.execute("UPDATE documents SET lease_until = 0 WHERE size = ?", (len(FACT),))
        await until_rebuilt(folder)
        for each in (api, other):
            assert FACT in texts(await each.ask(ASKED, store))
    with index(folder) as connection:
        assert connection.execute("SELECT * FROM chunks ORDER BY number").fetchall() == before
        after = connection.execute("SELECT number, id, state, updated FROM documents ORDER BY number").fetchall()
    assert after == listed
    assert await notice_of(folder) is None
    said = [line for line in caplog.messages if "22 documents were indexed by another version" in line]
    assert len(said) == 1, "whichever process came first says it"
    assert [line for line in caplog.messages if "The index is rebuilt" in line]


async def test_answers_keep_coming_while_documents_are_analysed_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = await fill(folder, 60)
    with index(folder) as connection:
        connection.execute("UPDATE documents SET analysis = analysis + 1, lease_until = 0")
        outdated = "SELECT count(*) FROM documents WHERE analysis <> ?"
        asked = 0
        async with emulator(folder) as api:
            while connection.execute(outdated, (ANALYSIS,)).fetchone()[0]:
                assert FACT in texts(await api.ask(ASKED, store))
                asked += 1
    assert asked > 0


async def test_a_killed_reanalysis_is_taken_up_by_another_process(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = await fill(folder, 2)
    pretend_another_version_analysed(folder)
    with index(folder) as connection:
        connection.execute("UPDATE documents SET lease_holder = 'dead', lease_until = unixepoch() + 2 WHERE number = 2")
    async with emulator(folder) as api:
        await api.json("GET", store)
        await until_rebuilt(folder)


def make_newer(folder: Path) -> None:
    with index(folder) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


def test_a_newer_index_is_refused_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    asyncio.run(fill(folder, 1))
    make_newer(folder)
    with pytest.raises(OtherVersion, match=rf"schema {SCHEMA_VERSION + 1}; this version reads 2 to {SCHEMA_VERSION}"):
        instance_id(folder)
    command = [*FLAMEHAVEN, "emulator", "--port", str(free_port()), "--data", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.startswith("flamehaven: The index ")
    assert "Traceback" not in ended.stderr
    with index(folder) as connection:
        assert connection.execute("SELECT count(*) FROM documents").fetchone() == (3,)


async def test_a_newer_index_is_moved_aside_whole_where_the_documents_are_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with emulator(folder) as api:
        store = await api.create_store()
        await api.add(store, FACT)
    before = instance_id(folder)
    (folder / "blobs").mkdir(exist_ok=True)
    (folder / "blobs/picture").write_bytes(b"bytes")
    for number in (1, 2):
        make_newer(folder)
        await asyncio.gather(*(asyncio.to_thread(set_aside_if_unreadable, folder) for _ in range(4)))
        assert len(set_aside(folder)) == number
        assert instance_id(folder) != before
        (folder / "blobs").mkdir(exist_ok=True)
        (folder / "blobs/picture").write_bytes(b"other bytes")
    first = set_aside(folder)[0]
    assert (first / "blobs/picture").read_bytes() == b"bytes"
    with index(first) as connection:
        assert connection.execute("SELECT text FROM chunks").fetchall() == [(FACT,)]
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    assert instance_id(first) == before
    set_aside_if_unreadable(folder)
    assert len(set_aside(folder)) == 2, "a readable index stays"


async def test_a_move_aside_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    await fill(folder, 1)
    make_newer(folder)
    begun = folder / f"set-aside-schema-{SCHEMA_VERSION + 1}"
    begun.mkdir()
    (folder / "blobs").rename(begun / "blobs")
    (begun / "blobs/picture").write_bytes(b"bytes")
    set_aside_if_unreadable(folder)
    assert set_aside(folder) == [begun]
    assert sorted(path.name for path in begun.iterdir()) == ["blobs", "index.sqlite3"]
    assert (begun / "blobs/picture").exists()


def test_the_analysis_of_a_text_has_not_changed() -> None:
    """If this fails, raise ANALYSIS and put the new values here: indexes that people have are then analysed again."""
    text = "Größe: 3,5 m. 東京の天気 QX-17b is naïve."
    ((tokens, vector, terms, postings),) = analyse("Handbuch", [Chunk(text, 1, "Maße")])
    assert (ANALYSIS, tokens, terms) == (1, 31, 20)
    assert sha256(postings).hexdigest() == "57142ab8bbdecc0e3547b7fac45c8cbc0e80a671f1edd1f29a53cd62e134102d"
    assert list(memoryview(vector).cast("b")[:8]) == pytest.approx([-43, 52, -30, -24, 28, 18, 10, 62], abs=1)
