"""Gemini's grounding, as recorded shapes of it come, turned into sources and citations."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from functions.search.models import SearchAnswer, SearchRequest, Usage
from functions.search.search import NOT_FOUND, compose
from shared.gemini.grounding import read_grounding


def chunk(text: str, name: str | None = None, *, attempt: str = "1", **context: Any) -> dict[str, Any]:
    metadata = [
        {"key": "flamehaven_object", "stringValue": name},
        {"key": "flamehaven_attempt", "stringValue": attempt},
    ]
    known = {"customMetadata": metadata} if name else {}
    return {"retrievedContext": {"text": text, "fileSearchStore": "fileSearchStores/hr-1", **known, **context}}


def support(text: str, *chunks: int, start: int = 0, end: int = 0) -> dict[str, Any]:
    return {"segment": {"startIndex": start, "endIndex": end, "text": text}, "groundingChunkIndices": list(chunks)}


def response(parts: list[dict[str, Any]], **grounding: Any) -> types.GenerateContentResponse:
    candidate = {"content": {"role": "model", "parts": parts}, "groundingMetadata": grounding, "finishReason": "STOP"}
    return types.GenerateContentResponse.model_validate({"candidates": [candidate]})


def answer(found: types.GenerateContentResponse) -> SearchAnswer:
    return compose(
        read_grounding(found),
        request=SearchRequest.model_validate({"query": "q", "store": "hr"}),
        model="m",
        usage=Usage(),
        store_names={"fileSearchStores/hr-1": "hr"},
        documents_place="data/documents",
        request_id="r",
    )


@given(before=st.text(max_size=20), cited=st.text(min_size=1, max_size=20), after=st.text(max_size=20))
def test_byte_offsets_become_code_points(before: str, cited: str, after: str) -> None:
    start = len(before.encode())
    end = start + len(cited.encode())
    found = response(
        [{"text": before + cited + after}],
        groundingChunks=[chunk("x", "hr/x.md")],
        groundingSupports=[support(cited, 0, start=start, end=end)],
    )
    (citation,) = answer(found).citations
    assert (citation.start, citation.end) == (len(before), len(before) + len(cited))


def test_offsets_that_do_not_fit_are_replaced_by_where_the_text_is() -> None:
    found = response(
        [{"text": "Ça dure vingt-six semaines."}],
        groundingChunks=[chunk("x", "hr/x.md")],
        groundingSupports=[
            support("vingt-six semaines", 0, start=0, end=3),
            support("not in the answer", 0, start=1, end=2),
        ],
    )
    result = answer(found)
    assert [result.answer[c.start : c.end] for c in result.citations] == ["vingt-six semaines"]


def test_offsets_count_over_all_text_parts_and_over_nothing_else() -> None:
    parts = [
        {"executableCode": {"code": "print(1)", "language": "PYTHON"}},
        {"text": "thinking", "thought": True},
        {"text": "Leave is "},
        {"text": "26 weeks."},
    ]
    found = response(
        parts, groundingChunks=[chunk("x", "hr/x.md")], groundingSupports=[support("26 weeks.", 0, start=9, end=18)]
    )
    result = answer(found)
    assert result.answer == "Leave is 26 weeks."
    assert [result.answer[c.start : c.end] for c in result.citations] == ["26 weeks."]


def test_repeated_chunks_and_chunks_of_one_document_are_one_source() -> None:
    found = response(
        [{"text": "A. B."}],
        groundingChunks=[
            chunk("one", "hr/a b.pdf", title="a b.pdf", pageNumber=3),
            chunk("one", "hr/a b.pdf", title="a b.pdf", pageNumber=3),
            chunk("two", "hr/a b.pdf", title="a b.pdf", pageNumber=4),
            chunk("uncited", "hr/other.md"),
        ],
        groundingSupports=[support("A.", 0, 1, 2, start=0, end=2)],
    )
    result = answer(found)
    assert [(s.title, s.uri, s.store, s.page, s.excerpt) for s in result.sources] == [
        ("a b.pdf", "/api/documents/hr/a%20b.pdf", "hr", 3, "one")
    ]
    assert [c.sources for c in result.citations] == [[0]]


def test_while_a_document_is_replaced_its_newer_text_is_shown() -> None:
    found = response(
        [{"text": "A."}],
        groundingChunks=[chunk("old", "hr/x.md", attempt="1"), chunk("new", "hr/x.md", attempt="2")],
        groundingSupports=[support("A.", 0, 1, start=0, end=2)],
    )
    assert [source.excerpt for source in answer(found).sources] == ["new"]


def test_a_chunk_without_title_or_our_metadata_is_still_a_source() -> None:
    found = response(
        [{"text": "A."}], groundingChunks=[chunk("x")], groundingSupports=[support("A.", 0, start=0, end=2)]
    )
    (source,) = answer(found).sources
    assert (source.title, source.uri, source.page) == ("untitled", None, None)


def test_chunks_without_supports_are_sources_without_citations() -> None:
    result = answer(response([{"text": "A."}], groundingChunks=[chunk("x", "hr/x.md"), chunk("y", "hr/y.md")]))
    assert result.grounded
    assert [source.title for source in result.sources] == ["x.md", "y.md"]
    assert result.citations == []


@pytest.mark.parametrize(
    "found",
    [
        response([{"text": "From what the model happens to know."}]),
        response([{"functionCall": {"name": "f", "args": {}}}], groundingChunks=[chunk("x", "hr/x.md")]),
        types.GenerateContentResponse.model_validate({"promptFeedback": {"blockReason": "SAFETY"}}),
        types.GenerateContentResponse.model_validate({"candidates": [{"finishReason": "SAFETY"}]}),
        types.GenerateContentResponse.model_validate({"candidates": []}),
    ],
)
def test_an_answer_that_rests_on_nothing_is_withheld(found: types.GenerateContentResponse) -> None:
    result = answer(found)
    assert (result.answer, result.grounded, result.sources, result.citations) == (NOT_FOUND, False, [], [])
