"""Hostile and odd files in the folder: each says why it failed, or is found; all else is served meanwhile."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.hostile import BOMBS, HOGS, HOSTILE, Hostile
from tests.servers import Server, flamehaven, until

LIMIT_MB = 50


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Server]:
    temporary = data / "tmp"
    temporary.mkdir()
    with flamehaven(data, MAX_FILE_SIZE_MB=str(LIMIT_MB), TMPDIR=str(temporary), CACHE_TTL_SEC="0") as client:
        yield client


def drop(data: Path, name: str, content: bytes) -> Path:
    path = data / "documents" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def documents(client: Server, store: str) -> dict[str, dict[str, Any]]:
    """The documents of a store by their names in it."""
    found = client.get("/api/documents", params={"store": store, "page_size": 1000}).json()["documents"]
    return {document["object"].removeprefix(f"{store}/"): document for document in found}


def settled(client: Server, store: str, count: int) -> dict[str, dict[str, Any]]:
    found = documents(client, store)
    return found if len(found) == count and all(each["status"] != "pending" for each in found.values()) else {}


def sources(client: Server, store: str, question: str) -> list[str]:
    answer = client.get("/api/search", params={"q": question, "store": store}).json()
    return [source["uri"] for source in answer.get("sources", [])]


@contextmanager
def served(client: Server) -> Iterator[None]:
    """Ask for health and for an answer again and again while the block runs; each must be given."""
    ended = threading.Event()
    wrong: list[str] = []

    def ask() -> None:
        with httpx2.Client(base_url=client.base_url, timeout=10) as other:
            while not ended.wait(0.2):
                answers = [other.get("/health"), other.get("/api/search", params={"q": "vault code?", "store": "calm"})]
                wrong.extend(
                    answer.text for answer in answers if answer.status_code != 200 or "8812" not in answer.text
                )

    client.put("/api/documents/calm/vault.md", content="The vault code is 8812.", headers={"Prefer": "wait=30"})
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert not [text for text in wrong if '"status":"healthy"' not in text], wrong[:3]


FEW_BOMBS = [bomb for bomb in BOMBS if bomb.name in ("laughs.docx", "bomb.docx", "bomb-nested-arrays.pdf")]


@pytest.mark.parametrize(
    ("store", "files"), [("hostile", [*HOSTILE, *FEW_BOMBS]), pytest.param("bombs", BOMBS, marks=pytest.mark.slow)]
)
def test_each_fails_with_a_reason_and_the_others_are_served(
    server: Server, data: Path, store: str, files: list[Hostile]
) -> None:
    with served(server):
        for hostile in files:
            drop(data, f"{store}/{hostile.name}", hostile.content())
        with drop(data, f"{store}/large.md", b"x").open("r+b") as file:
            file.truncate((LIMIT_MB << 20) + 1)
        drop(data, f"{store}/good.md", b"The harbour opens at 6:45.")
        found = until(lambda: settled(server, store, len(files) + 2), 240)
    for hostile in files:
        document = found.pop(hostile.name)
        assert (document["status"], document["reason"]["code"]) == ("failed", hostile.code), hostile.name
        assert hostile.says in document["reason"]["message"], (hostile.name, document["reason"])
        assert document["reason"]["message"].endswith((".", ")")), hostile.name
    assert found["large.md"]["reason"]["code"] == "FILE_SIZE_EXCEEDED"
    assert found["good.md"]["status"] == "indexed"
    assert sources(server, store, "When does the harbour open?") == [f"/api/documents/{store}/good.md"]
    assert not list((data / "tmp").iterdir()), "no temporary file is left"


FACT = "The ferry to Ærø leaves at 7:15 from Søby; a ticket costs 95 kroner."
ENCODINGS = {
    "utf-8.md": FACT.encode(),
    "utf-8-mark.md": FACT.encode("utf-8-sig"),
    "utf-16.md": FACT.encode("utf-16"),
    "utf-16-be.md": b"\xfe\xff" + FACT.encode("utf-16-be"),
    "utf-16-unmarked.md": FACT.encode("utf-16-le"),
    "latin-1.md": FACT.encode("latin-1"),
    "carriage-returns.txt": FACT.replace("; ", ";\r\n").encode(),
}


def test_texts_are_found_in_whatever_encoding(server: Server, data: Path) -> None:
    for name, content in ENCODINGS.items():
        drop(data, f"enc-{name.partition('.')[0]}/{name}", content)
    for name in ENCODINGS:
        store = f"enc-{name.partition('.')[0]}"
        until(lambda name=name, store=store: settled(server, store, 1))
        answer = server.get("/api/search", params={"q": "When does the ferry to Ærø leave?", "store": store}).json()
        assert answer["grounded"], (name, documents(server, store))
        assert "Ærø" in answer["sources"][0]["excerpt"], name
        assert "7:15" in answer["answer"], name


NAMES = [
    "n" * 252 + ".md",
    " leading and trailing .md",
    "caf\u00e9.md",
    "cafe\u0301.md",
    "Case.md",
    "case.md",
    "50% + 1 #2?.md",
    "'single' and \"double\".md",
    "back\\slash.md",
    "emoji 📄.md",
    "資料.md",
    "dir.md/inner.md",
    "-rf.md",
    "a&b=c;d.md",
]


def test_odd_names_are_found_under_their_own(server: Server, data: Path) -> None:
    for number, name in enumerate(NAMES):
        drop(data, f"names/{name}", f"The code of cabinet {number} is {number}5077.".encode())
    until(lambda: settled(server, "names", len(NAMES)))
    states = {name: each["status"] for name, each in documents(server, "names").items()}
    assert states == dict.fromkeys(NAMES, "indexed")
    for number in range(len(NAMES)):
        uris = sources(server, "names", f"What is the code of cabinet {number}?")
        found = [server.get(uri).json()["object"] for uri in uris]
        assert f"names/{NAMES[number]}" in found


def test_links_pipes_and_sockets_fail_with_a_reason(server: Server, data: Path) -> None:
    secret = data / "secret.md"
    secret.write_text("The secret number is 1.")
    folder = drop(data, "links/real.md", b"The real number is 2.").parent
    (folder / "outside.md").symlink_to(secret)
    (folder / "inside.md").symlink_to(folder / "real.md")
    (folder / "dangling.md").symlink_to(folder / "nothing.md")
    (folder / "loop").symlink_to(folder)
    (folder / "etc").symlink_to("/etc")
    os.mkfifo(folder / "pipe.md")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(folder)  # the path of a socket is short
        try:
            listening.bind("socket.md")
        finally:
            os.chdir(here)
        until(lambda: documents(server, "links").get("real.md", {}).get("status") == "indexed")
        drop(data, "links/last.md", b"The last number is 3.")
        until(lambda: documents(server, "links").get("last.md", {}).get("status") == "indexed")
    listed = documents(server, "links")
    assert {name for name, each in listed.items() if each["status"] == "indexed"} == {"real.md", "last.md"}
    unread = {"outside.md", "inside.md", "dangling.md", "loop", "etc", "pipe.md", "socket.md"}
    assert {
        name: each["reason"]["code"] for name, each in listed.items() if each["status"] == "failed"
    } == dict.fromkeys(unread, "NOT_A_FILE")
    assert sources(server, "links", "What is the secret number?") == []
    swept = server.post("/api/reconcile", params={"store": "links"}).json()
    assert (swept["objects"], swept["unsettled"]) == (9, [])
    assert server.get("/api/documents/links/loop/real.md").status_code == 404


def test_a_link_that_takes_a_document_s_place_takes_it_out(server: Server, data: Path) -> None:
    path = drop(data, "swap/x.md", b"The swapped number is 4.")
    until(lambda: sources(server, "swap", "What is the swapped number?"))
    path.unlink()
    path.symlink_to(data / "secret.md")
    until(lambda: not sources(server, "swap", "What is the swapped number?"))


def test_a_file_that_grows_while_it_is_read_is_indexed_whole(server: Server, data: Path) -> None:
    path = drop(data, "grow/log.md", b"")
    with path.open("ab", buffering=0) as file:
        for number in range(60):
            file.write(f"Entry {number}: valve {number} was set to {number}8 bar.\n\n".encode() * 500)
            if number % 10 == 0:
                threading.Event().wait(0.1)
    until(lambda: settled(server, "grow", 1), 60)
    assert documents(server, "grow")["log.md"]["size"] == path.stat().st_size
    answer = server.get("/api/search", params={"q": "To what was valve 59 set?", "store": "grow"}).json()
    assert "598 bar" in answer["answer"]


def test_a_file_that_is_replaced_again_and_again_ends_as_its_last(server: Server, data: Path) -> None:
    for number in range(50):
        path = drop(data, "churn/new.md.tmp", f"The tide table of today is number {number}77.".encode())
        path.replace(path.with_name("tide.md"))
    until(
        lambda: (
            "4977"
            in str(server.get("/api/search", params={"q": "Which tide table is today's?", "store": "churn"}).json())
        )
    )
    assert documents(server, "churn").keys() == {"tide.md"}
    swept = server.post("/api/reconcile", params={"store": "churn"}).json()
    assert swept["outcomes"].get("unchanged") == swept["objects"]


def test_a_question_of_stop_words_rests_on_nothing(server: Server, data: Path) -> None:
    drop(data, "stop/x.md", b"The quick brown fox jumps over the lazy dog and is not what it was.")
    until(lambda: settled(server, "stop", 1))
    for question in ("the", "is it what it was and the of", "?!", "\u200b", "🙂"):
        answer = server.get("/api/search", params={"q": question, "store": "stop"})
        assert (answer.status_code, answer.json()["grounded"]) == (200, False), question


@pytest.mark.slow
def test_a_line_of_45_megabytes_is_indexed_and_found(server: Server, data: Path) -> None:
    words = b"the valve of pump seven was checked again and found to be in order on that day "
    line = words * (45_000_000 // len(words) // 2)
    with served(server):
        drop(data, "line/log.txt", line + b"The needle is in haystack number 40417. " + line)
        until(lambda: settled(server, "line", 1), 300)
    answer = server.get("/api/search", params={"q": "In which haystack is the needle?", "store": "line"}).json()
    assert "40417" in answer["answer"]


@pytest.mark.slow
def test_thousands_of_files_at_once_are_all_indexed(server: Server, data: Path) -> None:
    with served(server):
        for number in range(5000):
            drop(
                data,
                f"many/{number % 50}/{number}.md",
                f"The code of crate {number} is {number * 7919 % 100_003}.".encode(),
            )
        until(lambda: server.get("/api/stores").json()["stores"].get("many", {}).get("indexed") == 5000, 500, every=2)
    for number in range(0, 5000, 500):
        answer = server.get("/api/search", params={"q": f"What is the code of crate {number}?", "store": "many"}).json()
        assert str(number * 7919 % 100_003) in answer["answer"]


@pytest.mark.slow
def test_a_small_document_does_not_wait_for_the_hostile_ones_of_another_store(server: Server, data: Path) -> None:
    pages = [HOGS["drawing.pdf"](), *(content() for content in HOGS.values())]
    for number in range(10):
        drop(data, f"hogs/{number}.{['pdf', 'xlsx', 'html', 'html', 'pdf'][number % 5]}", pages[number % 5])
    until(lambda: len(documents(server, "hogs")) == 10)
    with served(server):
        put = server.put("/api/documents/beside/x.md", content="The tower is 80 m high.", headers={"Prefer": "wait=30"})
        assert put.json()["status"] == "indexed"
        waiting = [each for each in documents(server, "hogs").values() if each["status"] == "pending"]
        assert waiting, "the hostile ones were not done first"
    until(lambda: settled(server, "hogs", 10), 500)
