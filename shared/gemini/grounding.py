"""What an answer of Gemini rests on: the passages it retrieved, and the parts of its text that each supports.

Gemini counts offsets in bytes of UTF-8 over the whole text, leaves out zeros, repeats chunks, and names no document:
our own metadata, which comes back with each chunk, says which object a passage is from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.genai import types

from shared.gemini.metadata import ATTEMPT, OBJECT


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved piece of a document; `object` is None for documents that this product did not upload."""

    text: str
    title: str | None
    store: str | None
    """The store's resource name in Gemini."""
    object: str | None
    attempt: str | None
    page: int | None


@dataclass(frozen=True, slots=True)
class Support:
    """A range of the answer, in Unicode code points with the end exclusive, and the passages it rests on."""

    start: int
    end: int
    passages: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grounded:
    """An answer's text, with every retrieved passage once and the supports that could be placed in the text."""

    text: str
    passages: tuple[Passage, ...]
    supports: tuple[Support, ...]


def read_grounding(response: types.GenerateContentResponse) -> Grounded:
    """The answer in a response, whatever is missing from it."""
    candidate = response.candidates[0] if response.candidates else None
    text = text_of(response)
    found = candidate.grounding_metadata if candidate else None
    passages: dict[Passage, int] = {}
    places: list[int] = []
    for chunk in (found.grounding_chunks if found else None) or []:
        passage = _passage(chunk)
        places.append(-1 if passage is None else passages.setdefault(passage, len(passages)))
    supports = [_support(text, support, places) for support in (found.grounding_supports if found else None) or []]
    return Grounded(text, tuple(passages), tuple(support for support in supports if support))


def gathered(pieces: Sequence[types.GenerateContentResponse]) -> types.GenerateContentResponse:
    """The pieces of a stream as the one response that they make; grounding comes with the last, as a rule."""
    candidates = [piece.candidates[0] for piece in pieces if piece.candidates]
    last = pieces[-1] if pieces else types.GenerateContentResponse()
    if not candidates:
        return last
    grounding = [candidate.grounding_metadata for candidate in candidates if candidate.grounding_metadata]
    text = "".join(map(text_of, pieces))
    whole = types.Candidate(
        content=types.Content(role="model", parts=[types.Part(text=text)]),
        finish_reason=candidates[-1].finish_reason,
        grounding_metadata=grounding[-1] if grounding else None,
    )
    return last.model_copy(update={"candidates": [whole]})


def text_of(response: types.GenerateContentResponse) -> str:
    """The concatenated text parts; parts of other kinds and the model's thoughts are not the answer."""
    candidate = response.candidates[0] if response.candidates else None
    parts = (candidate.content.parts if candidate and candidate.content else None) or []
    return "".join(part.text for part in parts if part.text and not part.thought)


def _passage(chunk: types.GroundingChunk) -> Passage | None:
    context = chunk.retrieved_context
    if context is None:
        return None
    metadata = {entry.key: entry.string_value for entry in context.custom_metadata or []}
    return Passage(
        text=context.text or "",
        title=context.title,
        store=context.file_search_store,
        object=metadata.get(OBJECT),
        attempt=metadata.get(ATTEMPT),
        page=context.page_number or None,
    )


def _support(text: str, support: types.GroundingSupport, places: list[int]) -> Support | None:
    segment = support.segment
    cited = tuple(
        dict.fromkeys(
            places[index]
            for index in support.grounding_chunk_indices or []
            if 0 <= index < len(places) and places[index] >= 0
        )
    )
    span = segment and _span(text, segment)
    return Support(*span, cited) if span and cited else None


def _span(text: str, segment: types.Segment) -> tuple[int, int] | None:
    """Where a segment is in `text`: at its offsets where they fit its own text, else wherever that text is."""
    encoded = text.encode()
    start, end = segment.start_index or 0, segment.end_index or 0
    at_offsets = encoded[start:end].decode(errors="ignore")
    if at_offsets and segment.text in (None, "", at_offsets):
        first = len(encoded[:start].decode(errors="ignore"))
        return first, first + len(at_offsets)
    found = text.find(segment.text) if segment.text else -1
    return (found, found + len(segment.text or "")) if found >= 0 else None
