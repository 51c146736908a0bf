"""generateContent with the fileSearch tool: sentences of the retrieved chunks as the answer, the chunks as grounding.

The shapes follow recorded answers of the API: offsets count bytes of UTF-8 over the whole text, zeros are left out, and
a stream carries its grounding in the last event.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from file_search_emulator.answering import Passage, Quote, answer
from file_search_emulator.catalog import store_number
from file_search_emulator.database import Database
from file_search_emulator.embedding import count_tokens
from file_search_emulator.errors import invalid_argument
from file_search_emulator.metadata_filter import compile_filter
from file_search_emulator.names import store_id
from file_search_emulator.retrieval import Found, Search
from file_search_emulator.vectors import SnapshotCache
from file_search_emulator.wire import FileSearch, GenerateContent, present

NO_ANSWER = "The documents do not answer this question."
DEFAULT_TOP_K = 5
MODEL_VERSION = "file-search-emulator"
"""The model of every answer, whichever was asked for: none wrote it, its sentences are the documents' own."""
_BETWEEN_QUOTES = "\n"


class Generator:
    """Answers questions from the stores of one database."""

    def __init__(self, database: Database, *, always_ground: bool) -> None:
        self._database = database
        self._cache = SnapshotCache()
        self._always_ground = always_ground

    def generate(self, asked: GenerateContent) -> list[dict[str, Any]]:
        """The answer as the events of a stream, one for each sentence. Raises ApiError."""
        question = next((turn.text for turn in reversed(asked.contents) if turn.role != "model"), "").strip()
        if not question:
            raise invalid_argument("* GenerateContentRequest.contents: contents is not specified")
        quotes, found = self._look(question, asked.tools[0].file_search) if asked.tools else ([], [])
        texts = _texts(quotes)
        last = {"finishReason": "STOP"}
        if quotes or self._always_ground:
            last |= present(groundingMetadata=_grounding(quotes, texts, found))
        candidates = [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0} for text in texts]
        candidates[-1] |= last
        usage = _usage(asked, "".join(texts), found)
        response_id = secrets.token_urlsafe(16)
        rest = {"usageMetadata": usage, "modelVersion": MODEL_VERSION, "responseId": response_id}
        return [{"candidates": [candidate]} | rest for candidate in candidates]

    def _look(self, question: str, tool: FileSearch) -> tuple[list[Quote], list[Found]]:
        accepts = compile_filter(tool.metadata_filter) if tool.metadata_filter.strip() else None
        names = [store_id(name) for name in tool.file_search_store_names]
        with self._database.read() as connection:
            stores = {store_number(connection, name) for name in names}
            search = Search(connection, self._cache.get(connection), stores=stores, accepts=accepts)
            found = search.best(question, tool.top_k or DEFAULT_TOP_K)
            return answer(question, [_passage(chunk) for chunk in found], search.document_frequency), found


def whole(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The answer of a stream in one piece."""
    response = events[-1]
    candidate = response["candidates"][0]
    text = "".join(event["candidates"][0]["content"]["parts"][0]["text"] for event in events)
    return response | {"candidates": [candidate | {"content": {"parts": [{"text": text}], "role": "model"}}]}


def _passage(chunk: Found) -> Passage:
    return Passage(chunk.text, "\n".join(filter(None, (chunk.title, chunk.heading))), chunk.score)


def _texts(quotes: Sequence[Quote]) -> list[str]:
    """The pieces of the answer, which make it when they are joined."""
    if not quotes:
        return [NO_ANSWER]
    return [quote.text + _BETWEEN_QUOTES for quote in quotes[:-1]] + [quotes[-1].text]


def _grounding(quotes: Sequence[Quote], texts: Sequence[str], found: Sequence[Found]) -> dict[str, Any]:
    """Every chunk that was retrieved, best first, and for each quote where it is in the answer and what it is from."""
    supports = []
    start = 0
    for quote, text in zip(quotes, texts, strict=False):
        end = start + len(quote.text.encode())
        segment = present(startIndex=start, endIndex=end, text=quote.text)
        supports.append({"segment": segment, "groundingChunkIndices": [quote.passage]})
        start += len(text.encode())
    return present(
        groundingChunks=[{"retrievedContext": _retrieved_context(chunk)} for chunk in found],
        groundingSupports=supports,
    )


def _retrieved_context(chunk: Found) -> dict[str, Any]:
    return present(
        title=chunk.title,
        text=chunk.text,
        fileSearchStore=f"fileSearchStores/{chunk.store}",
        pageNumber=chunk.page,
        customMetadata=chunk.metadata,
    )


def _usage(asked: GenerateContent, text: str, found: Sequence[Found]) -> dict[str, Any]:
    """Counts of the emulator's own tokenizer: of the order of what a language model would bill, no more."""
    prompt = sum(count_tokens(turn.text) for turn in (asked.system_instruction, *asked.contents))
    tools = sum(chunk.tokens for chunk in found)
    candidates = count_tokens(text)
    return present(
        promptTokenCount=prompt,
        candidatesTokenCount=candidates,
        toolUsePromptTokenCount=tools,
        toolUsePromptTokensDetails=[{"modality": "TEXT", "tokenCount": tools}] if tools else [],
        totalTokenCount=prompt + tools + candidates,
    )
