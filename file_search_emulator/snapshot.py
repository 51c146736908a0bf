"""Everything that is searchable, in memory, as of one state of the database."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from file_search_emulator.metadata_filter import Predicate, Value
from file_search_emulator.segment import Mask, Segment, build, merge
from file_search_emulator.wire import plain_value

_CHUNKS_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Document:
    """What a search wants to know of a document before it has found it."""

    store: int
    metadata: Mapping[str, Value]
    analysis: int
    """By which version its chunks were analysed."""


@dataclass(frozen=True)
class Snapshot:
    """Every searchable document by its number, and their chunks in segments that get smaller by half or more."""

    count: int = -1
    """The database's count of changes that this is the state of."""
    documents: Mapping[int, Document] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()
    alive: tuple[Mask, ...] = ()
    """Of each segment: the chunks of documents that still exist."""

    def scopes(self, stores: Set[int], accepts: Predicate | None = None) -> list[Mask]:
        """Of each segment: the chunks of these stores, of the documents whose metadata a filter accepts."""
        found = [
            alive & np.isin(segment.store, list(stores))
            for segment, alive in zip(self.segments, self.alive, strict=True)
        ]
        if accepts is not None:
            wanted = [
                number
                for number, document in self.documents.items()
                if document.store in stores and accepts(document.metadata)
            ]
            found = [
                mask & np.isin(segment.document, wanted) for segment, mask in zip(self.segments, found, strict=True)
            ]
        return found


class SnapshotCache:
    """The snapshot that fits the database's state, brought up to date by what has changed since the last."""

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._lock = threading.Lock()

    def get(self, connection: sqlite3.Connection) -> Snapshot:
        """The state that this transaction sees, or a newer one that another has seen in the meantime."""
        count = connection.execute("SELECT count FROM changes").fetchone()[0]
        with self._lock:
            if self._snapshot.count < count:
                self._snapshot = _updated(self._snapshot, connection, count)
            return self._snapshot


def _updated(old: Snapshot, connection: sqlite3.Connection, count: int) -> Snapshot:
    active = dict(
        tuple(row) for row in connection.execute("SELECT number, analysis FROM documents WHERE state = 'ACTIVE'")
    )
    documents = {number: known for number, known in old.documents.items() if active.get(number) == known.analysis}
    removed = old.documents.keys() - documents.keys()
    added = _documents(connection, active.keys() - documents.keys())
    segments, alive = list(old.segments), list(old.alive)
    if removed:
        alive = [
            mask & ~np.isin(segment.document, list(removed)) for segment, mask in zip(segments, alive, strict=True)
        ]
    for segment in _segments(connection, added):
        segments.append(segment)
        alive.append(np.ones(len(segment), np.bool_))
    return Snapshot(count, {**documents, **added}, *_compact(segments, alive))


def _compact(segments: list[Segment], alive: list[Mask]) -> tuple[tuple[Segment, ...], tuple[Mask, ...]]:
    """Merge the last segments until each is at most half of the one before it, or is half dead."""
    sizes = [int(np.count_nonzero(mask)) for mask in alive]
    first, size = len(segments), 0
    for place in range(len(segments) - 1, -1, -1):
        if sizes[place] < 2 * size or sizes[place] * 2 < len(segments[place]):
            first = place
        size += sizes[place]
    if first >= len(segments) - 1 and not (first < len(segments) and sizes[first] * 2 < len(segments[first])):
        return tuple(segments), tuple(alive)
    merged = merge(segments[first:], alive[first:])
    return (*segments[:first], merged), (*alive[:first], np.ones(len(merged), np.bool_))


def _documents(connection: sqlite3.Connection, numbers: Iterable[int]) -> dict[int, Document]:
    rows = connection.execute(
        "SELECT number, store, metadata, analysis FROM documents WHERE number IN (SELECT value FROM json_each(?))",
        (json.dumps(list(numbers)),),
    )
    return {row["number"]: Document(row["store"], _metadata(row["metadata"]), row["analysis"]) for row in rows}


def _segments(connection: sqlite3.Connection, documents: Mapping[int, Document]) -> Iterator[Segment]:
    cursor = connection.execute(
        """SELECT number, document, term_count, vector, postings FROM chunks
        WHERE document IN (SELECT value FROM json_each(?)) ORDER BY document, number""",
        (json.dumps(list(documents)),),
    )
    while rows := cursor.fetchmany(_CHUNKS_AT_ONCE):
        yield build(
            [(row["number"], row["document"], documents[row["document"]].store, row["term_count"]) for row in rows],
            [row["vector"] for row in rows],
            [row["postings"] for row in rows],
        )


def _metadata(text: str) -> dict[str, Value]:
    return {entry["key"]: _value(entry) for entry in json.loads(text)}


def _value(entry: dict[str, Any]) -> Value:
    value = plain_value(entry)
    if isinstance(value, list):
        return tuple(value)
    return float(value) if "numericValue" in entry else str(value)
