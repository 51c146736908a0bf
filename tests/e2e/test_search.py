"""Searching over HTTP: several stores, filters, citations, and two workers that agree."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from shared.settings import Settings
from tests.servers import flamehaven, until

DOCUMENTS = {
    "hr/policies/leave.md": "Parental leave is 26 weeks at full pay.",
    "hr/policies/leave.txt": "Unpaid leave is 12 months at most.",
    "it/laptop.md": "A laptop is replaced after 4 years.",
    "notes.md": "The summer party is on 18 July.",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    data = tmp_path_factory.mktemp("data")
    for name, text in DOCUMENTS.items():
        path = data / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with flamehaven(data) as client:
        until(lambda: indexed(client) == len(DOCUMENTS))
        yield client


def indexed(client: httpx2.Client) -> int:
    return sum(document["status"] == "indexed" for document in client.get("/api/documents").json()["documents"])


def ask(client: httpx2.Client, **request: Any) -> dict[str, Any]:
    answer = client.post("/api/search", json=request)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_the_answer_has_every_field_and_its_citations_point_into_it(server: httpx2.Client) -> None:
    found = ask(server, query="How long is parental leave?", store="hr")
    assert (
        found["answer"][found["citations"][0]["start"] : found["citations"][0]["end"]]
        == DOCUMENTS["hr/policies/leave.md"]
    )
    assert found["sources"][found["citations"][0]["sources"][0]] == {
        "title": "leave.md",
        "uri": "/api/documents/hr/policies/leave.md",
        "store": "hr",
        "page": None,
        "excerpt": "Parental leave is 26 weeks at full pay.",
    }
    assert found["usage"]["total_tokens"] > found["usage"]["answer_tokens"] > 0
    rest = {"status": "success", "grounded": True, "model": "file-search-emulator", "store": "hr", "stores": ["hr"]}
    assert rest.items() <= found.items()
    assert (found["query"], found["cached"]) == ("How long is parental leave?", False)


def test_get_and_post_and_the_original_s_field_names_mean_the_same(server: httpx2.Client) -> None:
    posted = ask(server, query="How long is parental leave?", store_name="hr")
    got = server.get("/api/search", params={"q": "How long is parental leave?", "store": "hr"}).json()
    assert [got[key] for key in ("answer", "sources", "citations")] == [
        posted[key] for key in ("answer", "sources", "citations")
    ]


def test_several_stores_are_searched_together_and_named_apart(server: httpx2.Client) -> None:
    found = ask(server, query="After how many years is a laptop replaced?", stores=["hr", "it"])
    assert [(source["title"], source["store"]) for source in found["sources"]] == [("laptop.md", "it")]
    got = server.get(
        "/api/search", params=[("q", "When is the summer party?"), ("stores", "it"), ("stores", "default")]
    )
    assert [(source["title"], source["store"]) for source in got.json()["sources"]] == [("notes.md", "default")]


def test_a_store_that_is_not_asked_is_not_cited(server: httpx2.Client) -> None:
    assert not ask(server, query="How long is parental leave?", store="it")["grounded"]


@pytest.mark.parametrize(
    ("metadata_filter", "grounded"),
    [
        ('type = "md"', True),
        ('type = "txt"', False),
        ('folder = "hr/policies" AND type = "md"', True),
        ('folder = "hr"', False),
        ('flamehaven_object = "hr/policies/leave.md"', True),
    ],
)
def test_a_filter_chooses_documents(server: httpx2.Client, metadata_filter: str, grounded: bool) -> None:
    found = ask(server, query="How long is parental leave?", store="hr", metadata_filter=metadata_filter)
    assert found["grounded"] is grounded


def test_a_filter_that_matches_nothing_is_told_apart(server: httpx2.Client) -> None:
    found = ask(server, query="How long is parental leave?", metadata_filter='type = "pdf"')
    assert (found["grounded"], found["answer"]) == (False, "No document matches the filter.")
    found = ask(server, query="What is the capital of Australia?", metadata_filter='type = "md"')
    assert (found["grounded"], found["answer"]) == (False, "The documents do not answer this question.")


def test_a_wrong_filter_is_the_sender_s_error(server: httpx2.Client) -> None:
    answer = server.post("/api/search", json={"query": "leave", "store": "hr", "metadata_filter": 'type = "'})
    assert (answer.status_code, answer.json()["error"]) == (400, "INVALID_METADATA_FILTER")


def test_a_search_may_ask_only_for_models_that_the_operator_allows(server: httpx2.Client, tmp_path: Path) -> None:
    asked = {"query": "x", "store": "hr", "model": "tunedModels/none"}
    refused = server.post("/api/search", json=asked)
    assert (refused.status_code, refused.json()["error"]) == (422, "VALIDATION_ERROR")
    assert "ALLOWED_MODELS" in refused.json()["message"]
    default = Settings.model_fields["default_model"].default
    for model in (default, f"models/{default}"):
        assert server.post("/api/search", json={**asked, "model": model}).status_code == 200
    with flamehaven(tmp_path, ALLOWED_MODELS="gemini-9, tunedModels/none") as other:
        assert other.post("/api/stores", json={"name": "hr"}).status_code == 201
        for stream in (False, True):  # a model that Gemini does not have is the sender's error
            refused = other.post("/api/search", json={**asked, "stream": stream})
            assert (refused.status_code, refused.json()["error"]) == (400, "BAD_REQUEST")
            assert "'tunedModels/none'" in refused.json()["message"]


def test_what_the_documents_do_not_say_is_not_answered(server: httpx2.Client) -> None:
    found = ask(server, query="What is the capital of Australia?", store="hr")
    assert (found["grounded"], found["sources"], found["citations"]) == (False, [], [])
    assert found["answer"] == "The documents do not answer this question."


def test_an_answer_is_given_again_until_any_document_changes(tmp_path: Path) -> None:
    path = tmp_path / "documents" / "party.md"
    path.parent.mkdir(parents=True)
    path.write_text("The summer party is on 18 July.")
    asked = {"query": "When is the summer party?"}
    with flamehaven(tmp_path) as client:
        until(lambda: indexed(client) == 1)
        first = ask(client, **asked)
        again = until(lambda: (found := ask(client, **asked))["cached"] and found)
        assert [again[key] for key in ("answer", "sources", "citations")] == [
            first[key] for key in ("answer", "sources", "citations")
        ]
        assert again["request_id"] != first["request_id"]
        assert again["usage"]["total_tokens"] == 0
        assert not ask(client, **asked, temperature=0)["cached"]
        path.write_text("The summer party is on 25 July.")
        until(lambda: "25 July" in ask(client, **asked)["answer"])
        path.unlink()
        until(lambda: not ask(client, **asked)["grounded"])
    with flamehaven(tmp_path, CACHE_TTL_SEC="0") as client:
        assert not any(ask(client, **asked)["cached"] for _ in range(3))


def test_what_one_worker_is_sent_the_other_finds_at_once(tmp_path: Path) -> None:
    search = "/api/search?q=When+is+the+boiler+serviced%3F&store=house"
    with flamehaven(tmp_path, WORKERS="2") as server:
        one, other = sorted(server.workers)
        own = {"Connection": "close"}  # so that the next request may go to another worker

        def only(worker: int) -> None:
            os.kill(other if worker == one else one, signal.SIGSTOP)
            os.kill(worker, signal.SIGCONT)

        def answer() -> str:
            found = server.get(search, headers=own).json()
            return str(found["answer"]) if found["grounded"] else ""

        try:
            for month in ("April", "May"):
                content = f"The boiler is serviced every {month}.".encode()
                only(one)
                kept = server.put(
                    "/api/documents/house/boiler.md", content=content, headers={"Prefer": "wait=20", **own}
                )
                assert kept.json()["status"] == "indexed", kept.text
                until(lambda month=month: month in answer())  # for a moment there are both texts
                only(other)
                assert month in answer()
            only(one)
            server.delete("/api/documents/house/boiler.md", headers=own).raise_for_status()
            until(lambda: not answer())
            only(other)
            assert not answer()
        finally:
            os.kill(one, signal.SIGCONT)
