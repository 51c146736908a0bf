"""Several processes on one data folder, and processes that die: nothing is lost, torn or found twice."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from file_search_emulator.app import create_app
from tests.emulator import EmulatorClient, emulator, texts
from tests.servers import Process, free_port, running

FACT = "The clearance value of unit QX00017 is 48213."
ASKED = "What is the clearance value of unit QX00017?"
LONG = "\n".join(f"Line {number} speaks of nothing but garden furniture and its care." for number in range(25_000))


def execute(data_dir: Path, statement: str) -> None:
    connection = sqlite3.connect(data_dir / "index.sqlite3", isolation_level=None, timeout=30)
    try:
        connection.execute(statement)
    finally:
        connection.close()


@asynccontextmanager
async def server(data_dir: Path) -> AsyncIterator[tuple[EmulatorClient, Process]]:
    """An emulator in a process of its own."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "flamehaven.cli", "emulator", "--port", str(port), "--data", str(data_dir)]
    log = data_dir.parent / f"log-{port}"
    with running(command, environment={}, url=url, log=log) as process:
        async with httpx2.AsyncClient(base_url=url, timeout=30) as http:
            yield EmulatorClient(http, data_dir), process


def kill(process: Process) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def rows(data_dir: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(data_dir / "index.sqlite3")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


async def test_a_killed_process_loses_nothing_that_it_took(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with server(data_dir) as (api, process):
        store = await api.create_store()
        document = await api.upload(store, f"{FACT}\n\n{LONG}\n")
        short = await api.upload(store, "Bicycles are kept in the cellar.")
        while not rows(data_dir, "SELECT 1 FROM chunks"):  # noqa: ASYNC110 (another process's progress)
            await asyncio.sleep(0.01)
        kill(process)
    states = rows(data_dir, "SELECT state, lease_until > 0 FROM documents ORDER BY number")
    assert states == [("PENDING", 1), ("PENDING", 0)]
    async with emulator(data_dir) as api:
        assert texts(await api.ask(ASKED, store)) == []  # a part of a document is not searched
        for name in (document, short):
            assert (await api.settled(name, 60))["state"] == "STATE_ACTIVE"
        candidate = await api.ask(ASKED, store)
        assert candidate["content"]["parts"][0]["text"] == FACT
        assert rows(data_dir, "SELECT count(*) FROM chunks WHERE text LIKE '%QX00017%'") == [(1,)]
        assert rows(data_dir, "SELECT max(attempts) FROM documents") == [(2,)]
    assert list((data_dir / "blobs").iterdir()) == []
    assert_whole(data_dir)


async def test_an_upload_goes_on_in_another_process(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    text = f"{FACT} It never changes.".encode()
    async with server(data_dir) as (api, process):
        store = await api.create_store()
        url = (await api.start(store, len(text))).headers["x-goog-upload-url"]
        assert url.startswith(str(api.http.base_url))
        await api.send(url, text[:20], command="upload")
        kill(process)
    async with emulator(data_dir) as api:
        place = urlsplit(url)
        ended = await api.send(f"{place.path}?{place.query}", text[20:], offset=20)
        await api.settled(ended.json()["response"]["documentName"])
        assert texts(await api.ask(ASKED, store)) == [text.decode()]


async def test_two_processes_work_on_one_folder(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with server(data_dir) as (there, _), emulator(data_dir) as here:
        store = await here.create_store()
        uploads = [
            api.upload(store, f"The clearance value of unit QX{number:05d} is {number + 70_000}.")
            for number in range(30)
            for api in (here, there)
        ]
        documents = await asyncio.gather(*uploads)
        for document in documents:
            assert (await here.settled(document))["state"] == "STATE_ACTIVE"
        assert rows(data_dir, "SELECT count(*), max(attempts) FROM documents") == [(60, 1)]
        asked = "What is the clearance value of unit QX00007?"
        for api in (here, there):
            assert "70007" in (await api.ask(asked, store))["content"]["parts"][0]["text"]
        await here.json("DELETE", documents[14], force="true")
        await there.json("DELETE", documents[15], force="true")
        for api in (here, there):
            assert "70007" not in (await api.ask(asked, store))["content"]["parts"][0]["text"]
            assert int((await api.json("GET", store))["activeDocumentsCount"]) == 58
    assert_whole(data_dir)


async def test_a_document_deleted_while_it_is_indexed_is_gone(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with emulator(data_dir) as api:
        store = await api.create_store()
        document = await api.upload(store, f"{LONG}\n\n{FACT}\n")
        while not rows(data_dir, "SELECT 1 FROM chunks"):  # noqa: ASYNC110 (a thread's progress)
            await asyncio.sleep(0.01)
        await api.json("DELETE", document, force="true")
        after = await api.upload(store, "Bicycles are kept in the cellar.")
        await api.settled(after)
        assert rows(data_dir, "SELECT count(*) FROM chunks") == [(1,)]
        assert list((data_dir / "blobs").iterdir()) == []
    assert_whole(data_dir)


async def test_a_process_that_lost_its_lease_writes_nothing_more(tmp_path: Path) -> None:
    """It may have been stopped for a while, and another may have taken the document over."""
    data_dir = tmp_path / "data"
    async with emulator(data_dir) as api:
        store = await api.create_store()
        document = await api.upload(store, f"{FACT}\n\n{LONG}\n")
        while not rows(data_dir, "SELECT 1 FROM chunks"):  # noqa: ASYNC110 (a thread's progress)
            await asyncio.sleep(0.01)
        execute(data_dir, "UPDATE documents SET lease_holder = 'another', lease_until = unixepoch() + 2")
        await api.settled(document)
        assert rows(data_dir, "SELECT attempts, state FROM documents") == [(2, "ACTIVE")]
        assert rows(data_dir, "SELECT count(*) FROM chunks WHERE text LIKE '%QX00017%'") == [(1,)]
    assert_whole(data_dir)


async def test_work_that_never_ends_is_given_up(tmp_path: Path) -> None:
    """A document that takes its process down every time must not do so for ever."""
    data_dir = tmp_path / "data"
    async with emulator(data_dir) as api:
        document = await api.upload(await api.create_store(), f"{LONG}\n\n{FACT}\n")
    execute(data_dir, "UPDATE documents SET attempts = 6, lease_until = 0")
    async with emulator(data_dir) as api:
        assert (await api.settled(document))["state"] == "STATE_FAILED"


async def test_closing_ends_the_child_process_and_another_request_opens_again(tmp_path: Path) -> None:
    app = create_app(tmp_path / "data")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://emulator.test") as http:
        api = EmulatorClient(http, tmp_path / "data")
        store = await api.create_store()
        await api.add(store, FACT)
        running_now = parsers()
        await app.state.emulator.close()
        assert running_now
        assert not running_now & parsers()
        await api.add(store, "Bicycles are kept in the cellar.")
        await app.state.emulator.close()


def parsers() -> set[int]:
    """The child processes of this one that parse."""
    children = {int(child) for path in Path("/proc/self/task").glob("*/children") for child in path.read_text().split()}
    return {child for child in children if b"parsing.child" in Path(f"/proc/{child}/cmdline").read_bytes()}


def assert_whole(data_dir: Path) -> None:
    """The chunks and the documents agree, and the file is sound."""
    connection = sqlite3.connect(data_dir / "index.sqlite3", isolation_level=None)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        connection.close()


async def test_a_small_document_does_not_wait_for_the_large_ones_of_another_store(tmp_path: Path) -> None:
    async with emulator(tmp_path / "data") as api:
        large, small = await api.create_store("Large"), await api.create_store("Small")
        for _ in range(4):
            await api.upload(large, LONG * 4)
        await api.add(small, FACT)
        assert rows(tmp_path / "data", "SELECT count(*) FROM documents WHERE state = 'PENDING'") == [(4,)]
