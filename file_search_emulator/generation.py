"""Questions asked of stores: what was found, and the documents' own sentences that answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from file_search_emulator.answering import Passage, Quote, answer
from file_search_emulator.catalog import store_number
from file_search_emulator.database import Database
from file_search_emulator.embedding import count_tokens
from file_search_emulator.metadata_filter import compile_filter
from file_search_emulator.names import store_id
from file_search_emulator.retrieval import Found, Search
from file_search_emulator.snapshot import SnapshotCache
from file_search_emulator.wire import FileSearch

NO_ANSWER = "The documents do not answer this question."
DEFAULT_TOP_K = 5
MODEL_VERSION = "file-search-emulator"
"""The model of every answer, whichever was asked for: none wrote it, its sentences are the documents' own."""
_MOST_READ = 20
"""Whoever asks for more chunks than this wants to see the ranking, and gets it whether or not it is an answer."""
_BETWEEN_QUOTES = "\n"


@dataclass(frozen=True)
class Answer:
    """What is said, in pieces that make the whole when they are joined, and what it rests on."""

    texts: Sequence[str]
    quotes: Sequence[Quote]
    """The sentences, of which each of `texts` is one; none where the documents do not answer."""
    chunks: Sequence[Found]
    """The chunks to show as grounding, best first."""
    tokens_read: int

    def disturbed(self, fault: str | None) -> Answer:
        """The answer with a fault of the service that was asked for: `no_grounding` or `empty_text`."""
        if fault == "no_grounding":
            return replace(self, quotes=(), chunks=())
        if fault == "empty_text":
            return replace(self, texts=(), quotes=(), chunks=())
        return self

    def segments(self) -> list[tuple[int, int, Quote]]:
        """Each quote with where it begins and ends in the whole, in bytes of UTF-8."""
        found = []
        start = 0
        for quote, text in zip(self.quotes, self.texts, strict=False):
            found.append((start, start + len(quote.text.encode()), quote))
            start += len(text.encode())
        return found


@dataclass(frozen=True)
class Usage:
    """Tokens by the emulator's own count: of the order of what a language model would bill, no more."""

    prompt: int
    tools: int
    answer: int

    @property
    def total(self) -> int:
        return self.prompt + self.tools + self.answer


class Generator:
    """Answers questions from the stores of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache = SnapshotCache()

    def answer(self, question: str, tool: FileSearch | None) -> Answer:
        """What the stores say to a question; nothing where there is no tool to look with. Raises ApiError."""
        quotes, found = self._look(question, tool) if tool else ([], [])
        shown = found if quotes or (tool and tool.top_k > _MOST_READ) else []
        return Answer(_texts(quotes), quotes, shown, sum(chunk.tokens for chunk in found))

    def _look(self, question: str, tool: FileSearch) -> tuple[list[Quote], list[Found]]:
        accepts = compile_filter(tool.metadata_filter) if tool.metadata_filter.strip() else None
        names = [store_id(name) for name in tool.file_search_store_names]
        with self._database.read() as connection:
            stores = {store_number(connection, name) for name in names}
            search = Search(connection, self._cache.get(connection), stores=stores, accepts=accepts)
            found = search.best(question, tool.top_k or DEFAULT_TOP_K)
            read = [passage_of(chunk) for chunk in found[:_MOST_READ]]
            return answer(question, read, search.document_frequency), found


def usage_of(prompts: Sequence[str], given: Answer) -> Usage:
    """The tokens of a request and its answer."""
    return Usage(sum(map(count_tokens, prompts)), given.tokens_read, count_tokens("".join(given.texts)))


def passage_of(chunk: Found) -> Passage:
    """A chunk as the answer reads it."""
    return Passage(chunk.text, "\n".join(filter(None, (chunk.title, chunk.heading))), chunk.score)


def _texts(quotes: Sequence[Quote]) -> list[str]:
    if not quotes:
        return [NO_ANSWER]
    return [quote.text + _BETWEEN_QUOTES for quote in quotes[:-1]] + [quotes[-1].text]
