"""The vectors of everything that is searchable, in memory, as of one state of the database."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from file_search_emulator.embedding import DIMENSIONS
from file_search_emulator.metadata_filter import Value

_BLOCK = 4096  # rows: int8 becomes float in the processor's cache


@dataclass(frozen=True)
class Document:
    """What a search wants to know of a document before it has found it."""

    store: int
    metadata: Mapping[str, Value]


_CHUNK = np.dtype(
    [
        ("number", np.int64),
        ("document", np.int64),
        ("store", np.int64),
        ("length", np.float32),  # of the vector
        ("vector", np.int8, (DIMENSIONS,)),
    ]
)


@dataclass(frozen=True)
class Snapshot:
    """Every searchable document by its number, and every chunk of theirs, by ascending number."""

    count: int = -1
    """The database's count of changes that this is the state of."""
    documents: Mapping[int, Document] = field(default_factory=dict)
    chunks: NDArray[Any] = field(default_factory=lambda: np.empty(0, _CHUNK))

    def similarity(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """The cosine between a vector of length 1 and each chunk's."""
        found = np.empty(len(self.chunks), np.float32)
        for start in range(0, len(found), _BLOCK):
            block = self.chunks[start : start + _BLOCK]
            found[start : start + _BLOCK] = block["vector"].astype(np.float32) @ vector / block["length"]
        return found

    def places(self, numbers: NDArray[np.int64]) -> NDArray[np.intp]:
        """The positions of chunks by their numbers, -1 for those that are not here."""
        if not len(self.chunks):
            return np.full(len(numbers), -1, np.intp)
        here = self.chunks["number"]
        places = np.minimum(np.searchsorted(here, numbers), len(here) - 1)
        return np.where(here[places] == numbers, places, -1)


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


def pack(vectors: NDArray[np.float32]) -> Iterable[bytes]:
    """Vectors as they are kept: one byte for each dimension, scaled to the greatest."""
    greatest = np.abs(vectors).max(axis=1, keepdims=True)
    scaled = np.rint(vectors * (127 / np.where(greatest > 0, greatest, 1))).astype(np.int8)
    return (row.tobytes() for row in scaled)


def _updated(old: Snapshot, connection: sqlite3.Connection, count: int) -> Snapshot:
    active = {row["number"] for row in connection.execute("SELECT number FROM documents WHERE state = 'ACTIVE'")}
    removed = old.documents.keys() - active
    added = _documents(connection, active - old.documents.keys())
    documents = {number: document for number, document in old.documents.items() if number not in removed}
    kept = old.chunks[~np.isin(old.chunks["document"], list(removed))] if removed else old.chunks
    chunks = np.concatenate([kept, _chunks(connection, added)])
    if np.any(np.diff(chunks["number"]) < 0):  # two processes wrote at once
        chunks = chunks[np.argsort(chunks["number"])]
    return Snapshot(count, {**documents, **added}, chunks)


def _documents(connection: sqlite3.Connection, numbers: Iterable[int]) -> dict[int, Document]:
    rows = connection.execute(
        "SELECT number, store, metadata FROM documents WHERE number IN (SELECT value FROM json_each(?))",
        (json.dumps(list(numbers)),),
    )
    return {row["number"]: Document(row["store"], _metadata(row["metadata"])) for row in rows}


def _chunks(connection: sqlite3.Connection, documents: Mapping[int, Document]) -> NDArray[Any]:
    rows = connection.execute(
        """SELECT number, document, vector FROM chunks
        WHERE document IN (SELECT value FROM json_each(?)) ORDER BY number""",
        (json.dumps(list(documents)),),
    ).fetchall()
    chunks = np.empty(len(rows), _CHUNK)
    chunks["number"] = [row["number"] for row in rows]
    chunks["document"] = [row["document"] for row in rows]
    chunks["store"] = [documents[row["document"]].store for row in rows]
    vectors = np.frombuffer(b"".join(row["vector"] for row in rows), np.int8).reshape(-1, DIMENSIONS)
    chunks["vector"] = vectors
    chunks["length"] = np.maximum(np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32)), 1)
    return chunks


def _metadata(text: str) -> dict[str, Value]:
    return {entry["key"]: _value(entry) for entry in json.loads(text)}


def _value(entry: Mapping[str, Any]) -> Value:
    if "stringListValue" in entry:
        return tuple(entry["stringListValue"]["values"])
    return float(entry["numericValue"]) if "numericValue" in entry else str(entry["stringValue"])
