"""Searches that name no store: they look in every store that the caller may use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.search.models import MAX_STORES
from functions.search.search import AT_ONCE
from tests.servers import Server, flamehaven, until
from tests.slow_gemini import events

GROUPS = 3
LAMPS = range((GROUPS - 1) * AT_ONCE + 1)
FACTS = {f"team-{number:02}": f"The lamp of team {number} is called Lumo-{number}." for number in LAMPS}
FACTS["team-00"] = "Parental leave is paid for 26 weeks."
FACTS["team-10"] = "Parental leave is paid for both parents."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("data")
    for store, fact in FACTS.items():
        folder = data / "documents" / store
        folder.mkdir(parents=True)
        (folder / "facts.md").write_text(fact)
    with flamehaven(data, FLAMEHAVEN_METRICS_ENABLED="1") as client:
        until(lambda: len(client.get("/api/documents?status=indexed").json()["documents"]) == len(FACTS))
        yield client


def ask(server: Server, question: str, **asked: Any) -> dict[str, Any]:
    answer = server.post("/api/search", json={"query": question, **asked})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def calls(server: Server, method: str) -> float:
    """How often Gemini was asked."""
    found = re.search(rf'gemini_calls_total{{method="{method}",outcome="ok"}} (\S+)', server.get("/prometheus").text)
    return float(found[1]) if found else 0.0


def events_of(server: Server, question: str) -> list[tuple[str, dict[str, Any]]]:
    with server.stream("GET", "/api/search", params={"stream": "true", "q": question}) as answer:
        return list(events(answer))


def test_every_store_is_searched_and_named_in_the_answer(server: Server) -> None:
    for number in (1, 6, 9):
        found = ask(server, f"What is the lamp of team {number} called?")
        assert f"Lumo-{number}" in found["answer"]
        assert found["stores"] == sorted(FACTS)
        assert found["sources"][0]["store"] == f"team-{number:02}"


def test_what_several_groups_of_stores_know_is_asked_once_more_of_all_that_know(server: Server) -> None:
    question, before = "Is parental leave paid?", calls(server, "generate")
    plain = ask(server, question)
    assert calls(server, "generate") - before == GROUPS + 1
    assert plain["grounded"]
    assert {source["store"] for source in plain["sources"]} <= {"team-00", "team-10"}
    for citation in plain["citations"]:
        cited = {plain["sources"][index]["store"] for index in citation["sources"]}
        assert plain["answer"][citation["start"] : citation["end"]] in {FACTS[store] for store in cited}
    assert ask(server, question)["cached"]
    question, before = "Is parental leave paid for?", calls(server, "stream")
    streamed = events_of(server, question)
    assert calls(server, "stream") - before == 1
    assert "".join(data["text"] for name, data in streamed if name == "text") == streamed[-1][1]["answer"]
    assert streamed[-1][1]["stores"] == plain["stores"]


def test_what_no_store_knows_is_refused_once(server: Server) -> None:
    refusal = "The documents do not answer this question."
    found = ask(server, "What is the capital of Australia?")
    assert (found["grounded"], found["answer"], found["stores"]) == (False, refusal, sorted(FACTS))
    assert events_of(server, "What is the capital of Australia?")[-1][1]["answer"] == refusal


def test_a_new_store_is_searched_at_once(server: Server) -> None:
    question = "Who waters the plants?"
    assert not ask(server, question)["grounded"]
    put = server.put("/api/documents/garden/a.md", content="Ada waters the plants.", headers={"Prefer": "wait=20"})
    assert put.json()["status"] == "indexed"
    assert "Ada" in ask(server, question)["answer"]
    server.delete("/api/stores/garden?force=true")
    assert not ask(server, question)["grounded"]


def test_a_store_that_is_not_there_is_answered_with_those_that_are(server: Server) -> None:
    for refused in (server.get("/api/search?q=x&store=nowhere"), server.delete("/api/stores/nowhere")):
        assert (refused.status_code, refused.json()["error"]) == (404, "STORE_NOT_FOUND")
        assert "'team-00', 'team-01', " in refused.json()["message"]


def test_there_may_be_too_many_stores_for_one_question(server: Server) -> None:
    more = [f"empty-{number:02}" for number in range(MAX_STORES + 1 - len(FACTS))]
    for store in more:
        assert server.post("/api/stores", json={"name": store}).status_code == 201
    refused = server.get("/api/search?q=lamp")
    assert (refused.status_code, refused.json()["error"]) == (400, "TOO_MANY_STORES")
    assert f"There are {MAX_STORES + 1} stores" in refused.json()["message"]
    assert "Lumo-9" in ask(server, "What is the lamp of team 9 called?", stores=[*more[:8], "team-09"])["answer"]


def test_a_search_of_nothing_says_what_is_missing(tmp_path: Path) -> None:
    with flamehaven(tmp_path) as client:
        refused = client.get("/api/search?q=hello")
        assert (refused.status_code, refused.json()["error"]) == (404, "STORE_NOT_FOUND")
        assert refused.json()["message"].startswith("There are no documents yet.")
        path = tmp_path / "documents" / "hr" / "x.exe"
        path.parent.mkdir()
        path.write_bytes(b"MZ")
        until(lambda: client.get("/api/documents/hr/x.exe").json()["status"] == "failed")
        refused = client.get("/api/search?q=hello")
        assert (refused.status_code, refused.json()["error"]) == (409, "STORE_NOT_READY")
        assert "'hr/x.exe': Files that end in '.exe' are not indexed." in refused.json()["message"]
