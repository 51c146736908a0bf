"""Which chunks of some stores fit a question best: by their words and by their meaning.

The weights were measured on public test collections, where a weighted sum of scaled scores beat a fusion of ranks.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from file_search_emulator.embedding import embed
from file_search_emulator.metadata_filter import Predicate
from file_search_emulator.terms import match_any, match_word
from file_search_emulator.vectors import Snapshot

DENSE_WEIGHT = 0.2
DENSE_CANDIDATES = 100
_HIT = np.dtype([("chunk", np.int64), ("score", np.float64)])


@dataclass(frozen=True)
class Found:
    """A chunk that was retrieved, with what its document says of it; `score` is from 0 to 1."""

    text: str
    page: int | None
    heading: str | None
    tokens: int
    store: str
    title: str
    metadata: list[dict[str, Any]]
    score: float


class Search:
    """The chunks of some stores (by number), of the documents that a filter accepts, in one transaction."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        snapshot: Snapshot,
        *,
        stores: Set[int],
        accepts: Predicate | None = None,
    ) -> None:
        self._connection = connection
        self._snapshot = snapshot
        self._scope = np.isin(snapshot.chunks["store"], list(stores))
        if accepts is not None:
            wanted = [number for number, document in snapshot.documents.items() if accepts(document.metadata)]
            self._scope &= np.isin(snapshot.chunks["document"], wanted)

    def best(self, question: str, limit: int) -> list[Found]:
        """The chunks that fit a question, best first; in an empty scope there are none."""
        places = np.flatnonzero(self._scope)
        cosine = self._snapshot.similarity(embed([question])[0])[places]
        scores = fuse(self._bm25(question)[places], cosine)
        order = _greatest(scores, limit)
        chunks = self._snapshot.chunks["number"][places[order]]
        return list(filter(None, map(self._found, chunks.tolist(), scores[order].tolist())))

    def document_frequency(self, word: str) -> float:
        """The share, from 0 to 1, of the chunks that hold a word."""
        size = int(np.count_nonzero(self._scope))
        hits = self._hits("rowid, 1", match_word(word))
        places = self._snapshot.places(hits["chunk"])
        return int(np.count_nonzero(self._scope[places[places >= 0]])) / size if size else 0.0

    def _bm25(self, question: str) -> NDArray[np.float64]:
        """How well each chunk fits by its words, 0 where none fits. SQLite's own numbers are better the lower."""
        scores = np.zeros(len(self._snapshot.chunks))
        query = match_any(question)
        if query:
            hits = self._hits("rowid, -bm25(chunk_terms, 2.0, 1.0)", query)  # a word in the title counts twice
            places = self._snapshot.places(hits["chunk"])
            scores[places[places >= 0]] = hits["score"][places >= 0]
        return scores

    def _hits(self, columns: str, query: str) -> NDArray[Any]:
        """The chunks, in any scope, that match an FTS5 query."""
        cursor = self._connection.cursor()
        cursor.row_factory = None  # plain tuples: there may be thousands
        return np.fromiter(
            cursor.execute(f"SELECT {columns} FROM chunk_terms WHERE chunk_terms MATCH ?", (query,)),  # noqa: S608 (ours)
            _HIT,
        )

    def _found(self, chunk: int, score: float) -> Found | None:
        row = self._connection.execute(
            """SELECT c.text, c.page, c.heading, c.tokens, s.id AS store, d.display_name AS title, d.metadata
            FROM chunks c JOIN documents d ON d.number = c.document JOIN stores s ON s.number = d.store
            WHERE c.number = ?""",
            (chunk,),
        ).fetchone()
        return Found(**{**dict(row), "metadata": json.loads(row["metadata"])}, score=score) if row else None


def fuse(bm25: NDArray[np.float64], cosine: NDArray[np.float32]) -> NDArray[np.float64]:
    """One score for each chunk, from 0 to 1: BM25 as a share of the best, and the cosine within the nearest hundred."""
    scores = np.zeros(len(bm25))
    if not len(bm25):
        return scores
    if bm25.max() > 0:
        scores += (1 - DENSE_WEIGHT) * (bm25 / bm25.max())
    nearest = _greatest(cosine, DENSE_CANDIDATES)
    low, high = cosine[nearest].min(), cosine[nearest].max()
    scores[nearest] += DENSE_WEIGHT * ((cosine[nearest] - low) / (high - low) if high > low else 1.0)
    return scores


def _greatest(values: NDArray[Any], count: int) -> NDArray[np.intp]:
    """The positions of the greatest values, greatest first; among equals the first comes first."""
    if count >= len(values):
        return np.argsort(-values, kind="stable")
    candidates = np.sort(np.argpartition(-values, count)[:count])
    return candidates[np.argsort(-values[candidates], kind="stable")]
