"""Which chunks of some stores fit a question best: by their words and by their meaning.

The weights were measured on public test collections, where a weighted sum of scaled scores beat a fusion of ranks.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from file_search_emulator.catalog import IMAGES, essence
from file_search_emulator.embedding import embed
from file_search_emulator.metadata_filter import Predicate
from file_search_emulator.names import media_id
from file_search_emulator.segment import bm25
from file_search_emulator.snapshot import Snapshot
from file_search_emulator.terms import asked_for, keys_of

DENSE_WEIGHT = 0.2
DENSE_CANDIDATES = 100


@dataclass(frozen=True)
class Found:
    """A chunk that was retrieved, with what its document says of it; `score` is from 0 to 1."""

    text: str
    page: int | None
    heading: str | None
    tokens: int
    store: str
    document: str
    title: str
    mime_type: str
    metadata: list[dict[str, Any]]
    score: float

    @property
    def media_id(self) -> str:
        """The name under which a picture can be downloaded, "" for text."""
        return media_id(self.store, self.document) if essence(self.mime_type) in IMAGES else ""


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
        self._segments = snapshot.segments
        self._scopes = snapshot.scopes(stores, accepts)
        self._size = sum(int(np.count_nonzero(scope)) for scope in self._scopes)

    def best(self, question: str, limit: int) -> list[Found]:
        """The chunks that fit a question, best first; in an empty scope there are none."""
        if not self._size:
            return []
        vector = embed([question])[0]
        lexical = self._within(bm25(self._segments, self._scopes, asked_for(question)))
        scores = fuse(lexical, self._within([segment.similarity(vector) for segment in self._segments]))
        order = _greatest(scores, limit)
        numbers = self._within([segment.number for segment in self._segments])[order]
        return list(filter(None, map(self._found, numbers.tolist(), scores[order].tolist())))

    def document_frequency(self, word: str) -> float:
        """The share, from 0 to 1, of the chunks that hold a word."""
        term = next(iter(keys_of(word)), None)
        if term is None or not self._size:
            return 0.0
        both = zip(self._segments, self._scopes, strict=True)
        holding = sum(int(np.count_nonzero(scope[segment.place[segment.holding(term)]])) for segment, scope in both)
        return holding / self._size

    def _within(self, arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One array of what each segment's array says of the chunks in its scope."""
        return np.concatenate([array[scope] for array, scope in zip(arrays, self._scopes, strict=True)])

    def _found(self, chunk: int, score: float) -> Found | None:
        row = self._connection.execute(
            """SELECT c.text, c.page, c.heading, c.tokens, s.id AS store, d.id AS document, d.display_name AS title,
                d.mime_type, d.metadata
            FROM chunks c JOIN documents d ON d.number = c.document JOIN stores s ON s.number = d.store
            WHERE c.number = ?""",
            (chunk,),
        ).fetchone()
        return Found(**{**dict(row), "metadata": json.loads(row["metadata"])}, score=score) if row else None


def fuse(lexical: NDArray[np.float32], cosine: NDArray[np.float32]) -> NDArray[np.float64]:
    """One score for each chunk, from 0 to 1: BM25 as a share of the best, and the cosine within the nearest hundred."""
    scores = np.zeros(len(lexical))
    if not len(lexical):
        return scores
    if lexical.max() > 0:
        scores += (1 - DENSE_WEIGHT) * (lexical / lexical.max())
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
