"""Answers as server-sent events: text as it is written, taken back where it rests on nothing, ended by the client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.servers import flamehaven, until
from tests.slow_gemini import SlowStream, events, slow_gemini

FACTS = {
    "hr/leave.md": "Parental leave is 26 weeks at full pay.\n\nParental leave may be shared between parents.",
    "hr/pay.md": "Salaries are paid on the 25th of each month.",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    data = tmp_path_factory.mktemp("data")
    fill(data)
    with flamehaven(data) as client:
        until(lambda: stores(client).get("hr", {}).get("indexed") == len(FACTS))
        yield client


def fill(data: Path) -> None:
    for name, text in FACTS.items():
        path = data / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def stores(client: httpx2.Client) -> dict[str, Any]:
    return dict(client.get("/api/stores").json()["stores"])


def streamed(client: httpx2.Client, **query: str) -> list[tuple[str, dict[str, Any]]]:
    with client.stream("GET", "/api/search", params={"stream": "true", **query}) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        return list(events(answer))


def test_the_pieces_make_the_answer_and_the_last_event_is_all_of_it(server: httpx2.Client) -> None:
    found = streamed(server, q="How long is parental leave?", store="hr")
    names = [name for name, _ in found]
    assert set(names[:-1]) == {"text"}
    name, whole = found[-1]
    assert name == "answer"
    assert "".join(data["text"] for name, data in found if name == "text") == whole["answer"]
    plain = server.get("/api/search", params={"q": "How long is parental leave?", "store": "hr"}).json()
    parts = ("answer", "grounded", "sources", "citations", "model", "store", "stores")
    assert [whole[key] for key in parts] == [plain[key] for key in parts]
    assert whole["usage"]["total_tokens"] > 0


def test_the_accept_header_asks_for_a_stream_too_and_a_kept_answer_streams(server: httpx2.Client) -> None:
    asked = {"query": "When are salaries paid?", "store": "hr"}
    for _ in range(2):
        with server.stream("POST", "/api/search", json=asked, headers={"Accept": "text/event-stream"}) as answer:
            found = list(events(answer))
        assert [name for name, _ in found] == ["text", "answer"]
        assert "25th" in found[0][1]["text"]
    assert found[-1][1]["cached"]


def test_text_that_rests_on_nothing_is_taken_back(server: httpx2.Client) -> None:
    found = streamed(server, q="What is the capital of Australia?", store="hr")
    assert [name for name, _ in found] == ["text", "retracted", "answer"]
    assert found[1][1]["message"] == found[2][1]["answer"] == "The documents do not answer this question."
    assert (found[2][1]["grounded"], found[2][1]["sources"]) == (False, [])


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"q": "x", "store": "nowhere"}, 404, "STORE_NOT_FOUND"),
        ({"q": ""}, 400, "EMPTY_SEARCH_QUERY"),
        ({"q": "x", "store": "hr", "metadata_filter": 'type = "'}, 400, "INVALID_METADATA_FILTER"),
    ],
)
def test_what_fails_before_the_first_event_has_its_status(
    server: httpx2.Client, query: dict[str, str], status: int, code: str
) -> None:
    answer = server.get("/api/search", params={"stream": "true", **query})
    assert (answer.status_code, answer.json()["error"]) == (status, code)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[httpx2.Client, SlowStream]]:
    fill(tmp_path)
    with (
        slow_gemini(tmp_path / "emulator") as (address, line),
        flamehaven(tmp_path, GEMINI_BASE_URL=address, GEMINI_API_KEY="a-key", CACHE_TTL_SEC="0") as client,
    ):
        until(lambda: stores(client).get("hr", {}).get("indexed") == len(FACTS))
        yield client, line


QUESTION = {"stream": "true", "store": "hr", "q": "How long is parental leave and may parental leave be shared?"}


def test_a_client_that_goes_away_ends_the_work(slow: tuple[httpx2.Client, SlowStream]) -> None:
    client, line = slow
    line.pause = 60
    with client.stream("GET", "/api/search", params=QUESTION) as answer:
        assert next(events(answer))[0] == "text"
    until(lambda: line.ended_early, 10)


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_client_that_goes_away_before_there_is_an_answer_ends_the_work_too(
    slow: tuple[httpx2.Client, SlowStream], stream: str
) -> None:
    client, line = slow
    line.pause, line.at = 60, 1
    with pytest.raises(httpx2.ReadTimeout):
        client.get("/api/search", params={**QUESTION, "stream": stream}, timeout=1)
    until(lambda: line.ended_early, 10)


def test_a_failure_after_the_first_event_is_an_event(slow: tuple[httpx2.Client, SlowStream]) -> None:
    client, line = slow
    line.breaks = True
    with client.stream("GET", "/api/search", params=QUESTION) as answer:
        found = list(events(answer))
    assert [name for name, _ in found] == ["text", "error"]
    error = found[-1][1]
    assert (error["error"], error["status_code"]) == ("SERVICE_UNAVAILABLE", 503)
    assert error["request_id"] == answer.headers["x-request-id"]
