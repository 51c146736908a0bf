"""Answers that are given again: by all processes that Redis joins, never after their store has changed, and once when
many ask at the same time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from file_search_emulator.app import create_app
from shared.answers import FolderAnswers, FolderMarks
from shared.redis_answers import RedisAnswers
from shared.redis_link import RedisLink
from tests.redis_server import RedisServer, redis_server
from tests.servers import Server, flamehaven, free_port, until

PARTY = {"q": "When is the summer party?"}
WAIT = {"Prefer": "wait=20"}
LAPTOP = {"q": "After how many years is a laptop replaced?", "store": "it"}


def write(data: Path, name: str, text: str) -> None:
    path = data / "documents" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def indexed(client: httpx2.Client) -> int:
    return sum(document["status"] == "indexed" for document in client.get("/api/documents").json()["documents"])


def ask(client: httpx2.Client, **query: str) -> tuple[str, str]:
    """The answer to a question, and where it is from."""
    answer = client.get("/api/search", params=query)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    status = answer.headers["Cache-Status"].removeprefix("flamehaven; ")
    assert found["cached"] is (status == "hit")
    return found["answer"], status


def fill(data: Path) -> None:
    write(data, "party.md", "The summer party is on 18 July.")
    write(data, "it/laptop.md", "A laptop is replaced after 4 years.")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@contextmanager
def two_servers(data: Path, redis: RedisServer, **settings: str) -> Iterator[tuple[Server, Server]]:
    """Two servers of one deployment, as two containers on one bucket are."""
    fill(data)
    with flamehaven(data, REDIS_URL=redis.url, **settings) as one:
        until(lambda: indexed(one) == 2)
        with flamehaven(data, REDIS_URL=redis.url, **settings) as other:
            yield one, other


def test_only_what_changed_is_asked_anew(tmp_path: Path) -> None:
    fill(tmp_path)
    with flamehaven(tmp_path) as client:
        until(lambda: indexed(client) == 2)
        until(lambda: ask(client, **PARTY)[1] == ask(client, **LAPTOP)[1] == "hit")
        write(tmp_path, "party.md", "The summer party is on 25 July.")
        until(lambda: "25 July" in ask(client, **PARTY)[0])
        assert ask(client, **LAPTOP)[1] == "hit", "no document of its store has changed"


def test_what_rests_on_nothing_is_not_kept(tmp_path: Path) -> None:
    fill(tmp_path)
    with flamehaven(tmp_path) as client:
        until(lambda: indexed(client) == 2)
        assert [ask(client, q="What is the capital of Australia?")[1] for _ in "123"] == ["fwd=miss"] * 3


def test_two_servers_share_answers_and_their_end(tmp_path: Path, redis: RedisServer) -> None:
    with two_servers(tmp_path / "data", redis) as (one, other):
        until(lambda: ask(one, **PARTY)[1] == "hit")
        assert ask(other, **PARTY) == ("The summer party is on 18 July.", "hit")
        assert ask(other, **LAPTOP)[1] == "fwd=miss"
        changed = one.put("/api/documents/party.md", content=b"The summer party is on 25 July.", headers=WAIT)
        assert changed.json()["status"] == "indexed"
        assert ask(other, **PARTY) == ("The summer party is on 25 July.", "fwd=miss")
        until(lambda: ask(one, **PARTY)[1] == "hit")  # the record is written once more when the old document is gone
        assert ask(one, **LAPTOP)[1] == "hit"
        assert other.delete("/api/documents/party.md").status_code == 202
        until(lambda: "July" not in ask(one, **PARTY)[0])


async def test_who_knows_no_redis_ends_answers_too(tmp_path: Path, redis: RedisServer) -> None:
    marks, link = FolderMarks(tmp_path / "marks"), RedisLink(redis.url)
    kept = RedisAnswers(link, "deployment", ttl=60, folder=marks)
    before = await kept.mark(["hr", "it"])
    assert before == await kept.mark(["hr", "it"])
    await FolderAnswers(marks, ttl=60, size=10).changed("it")
    assert await kept.mark(["hr", "it"]) != before
    await link.aclose()


def test_two_servers_share_limits(tmp_path: Path, redis: RedisServer) -> None:
    with two_servers(tmp_path / "data", redis, SEARCH_RATE_LIMIT="4/minute") as (one, other):
        answers = [client.get("/api/search", params=PARTY) for client in (one, other) * 3]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2


@pytest.mark.slow
def test_redis_may_go_and_come_back(tmp_path: Path, redis: RedisServer) -> None:
    """It hangs with all it knows while a document changes, and goes on; then it is gone, and comes back empty."""
    with two_servers(tmp_path / "data", redis, SEARCH_RATE_LIMIT="1000/minute") as (one, other):
        until(lambda: ask(one, **PARTY)[1] == "hit")
        redis.pause()
        health = until(lambda: (found := one.get("/health")).json()["warnings"] and found)
        assert health.status_code == 200
        assert "Redis" in health.json()["warnings"]["redis"]
        assert ask(one, **PARTY) == ("The summer party is on 18 July.", "fwd=miss")
        changed = one.put("/api/documents/party.md", content=b"The summer party is on 25 July.", headers=WAIT)
        assert changed.json()["status"] == "indexed"
        assert "25 July" in ask(one, **PARTY)[0]
        redis.go_on()
        until(lambda: not one.get("/health").json()["warnings"])
        until(lambda: ask(one, **PARTY)[1] == "hit")
        assert "25 July" in ask(other, **PARTY)[0]

        redis.stop()
        assert {ask(client, **PARTY)[1] for client in (one, other)} == {"fwd=miss"}
        redis.start()
        until(lambda: ask(one, **PARTY)[1] == "hit")
        until(lambda: ask(other, **PARTY)[1] == "hit")
    said = (tmp_path / "data" / "server.log").read_text()
    assert said.count("Redis can be used again") >= 2


def test_a_server_starts_without_its_redis(tmp_path: Path) -> None:
    fill(tmp_path)
    with flamehaven(
        tmp_path, REDIS_HOST="127.0.0.1", REDIS_PORT=str(free_port()), REDIS_PASSWORD="secret-word"
    ) as client:
        until(lambda: indexed(client) == 2)
        assert "18 July" in ask(client, **PARTY)[0]
        assert client.get("/health").json()["warnings"].keys() == {"redis"}
    assert "secret-word" not in (tmp_path / "server.log").read_text()


def test_a_question_that_many_ask_at_once_is_put_once(tmp_path: Path) -> None:
    asked: list[str] = []
    fill(tmp_path)
    with (
        slow_emulator(tmp_path / "emulator", asked) as address,
        flamehaven(tmp_path, GEMINI_BASE_URL=address, GEMINI_API_KEY="any") as client,
    ):
        until(lambda: indexed(client) == 2)
        until(lambda: ask(client, **LAPTOP)[1] == "hit")
        asked.clear()
        answers = asyncio.run(ask_at_once(str(client.base_url), PARTY, 8))
    assert len(asked) == 1
    assert sorted(answer.headers["Cache-Status"] for answer in answers) == sorted(
        ["flamehaven; fwd=miss", *["flamehaven; fwd=miss; collapsed"] * 7]
    )
    assert {answer.json()["answer"] for answer in answers} == {"The summer party is on 18 July."}
    assert len({answer.json()["request_id"] for answer in answers}) == 8


def test_searches_that_are_too_many_are_refused_and_said_so(tmp_path: Path) -> None:
    fill(tmp_path)
    with slow_emulator(tmp_path / "emulator", []) as address:
        settings = {"GEMINI_BASE_URL": address, "GEMINI_API_KEY": "any", "PARALLEL_SEARCHES": "2", "CACHE_TTL_SEC": "0"}
        with flamehaven(tmp_path, **settings) as client:
            until(lambda: indexed(client) == 2)
            answers = asyncio.run(ask_at_once(str(client.base_url), PARTY, 8))
            statuses = sorted(answer.status_code for answer in answers)
            assert statuses == [200] * 4 + [503] * 4
            refused = next(answer for answer in answers if answer.status_code == 503)
            assert (refused.json()["error"], refused.headers["Retry-After"]) == ("SERVICE_UNAVAILABLE", "1")
            assert ask(client, **PARTY)[1] == "fwd=miss"


async def ask_at_once(address: str, question: dict[str, str], times: int) -> list[httpx2.Response]:
    async with httpx2.AsyncClient(base_url=address, timeout=30) as client:
        return await asyncio.gather(*[client.get("/api/search", params=question) for _ in range(times)])


@contextmanager
def slow_emulator(folder: Path, asked: list[str]) -> Iterator[str]:
    """The emulator, which takes half a second for each answer and notes for which it was asked."""
    emulator = create_app(folder)

    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and "generateContent" in scope["path"]:
            asked.append(scope["path"])
            await asyncio.sleep(0.5)
        await emulator(scope, receive, send)

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(slowly, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def test_no_request_fails_while_redis_goes_and_comes(tmp_path: Path, redis: RedisServer) -> None:
    """Searches and uploads go on all the while, each with a connection of its own that stays open."""
    settings = {"SEARCH_RATE_LIMIT": "100000/minute", "UPLOAD_RATE_LIMIT": "100000/minute"}
    answers: list[int] = []
    stop = threading.Event()

    def work(number: int, address: str) -> None:
        with httpx2.Client(base_url=address, timeout=30) as client:
            while not stop.is_set():
                question = {"q": f"When is the summer party, asks {len(answers) % 50}?"}
                answers.append(client.get("/api/search", params=question).status_code)
                if number == 0:
                    answers.append(client.put("/api/documents/new.md", content=b"%d" % len(answers)).status_code)

    with two_servers(tmp_path / "data", redis, **settings) as servers:
        clients = [threading.Thread(target=work, args=(n, str(servers[n % 2].base_url))) for n in range(6)]
        for client in clients:
            client.start()
        for change in (redis.pause, redis.go_on, redis.stop, redis.start):
            served = len(answers)
            until(lambda before=served: len(answers) > before + 40)
            change()
        until(lambda: not any(server.get("/health").json()["warnings"] for server in servers))
        stop.set()
        for client in clients:
            client.join()
    assert set(answers) == {200, 202}
