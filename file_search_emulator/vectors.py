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


@dataclass(frozen=True)
class Snapshot:
    """Every searchable chunk by ascending number, with its document and its vector."""

    count: int = -1
    """The database's count of changes that this is the state of."""
    documents: Mapping[int, Document] = field(default_factory=dict)
    chunks: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """The chunks' numbers; a position in this array is a position in the others."""
    document_of: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    vectors: NDArray[np.int8] = field(default_factory=lambda: np.empty((0, DIMENSIONS), np.int8))
    lengths: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def similarity(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """The cosine between a vector of length 1 and each chunk's."""
        found = np.empty(len(self.chunks), np.float32)
        for start in range(0, len(found), _BLOCK):
            block = slice(start, start + _BLOCK)
            found[block] = self.vectors[block].astype(np.float32) @ vector
        return found / self.lengths

    def places(self, chunks: NDArray[np.int64]) -> NDArray[np.intp]:
        """The positions of chunks by their numbers, -1 for those that are not here."""
        if not len(self.chunks):
            return np.full(len(chunks), -1, np.intp)
        places = np.minimum(np.searchsorted(self.chunks, chunks), len(self.chunks) - 1)
        return np.where(self.chunks[places] == chunks, places, -1)


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
    active = {row[0] for row in connection.execute("SELECT number FROM documents WHERE state = 'ACTIVE'")}
    new = sorted(active - old.documents.keys())
    documents = {number: document for number, document in old.documents.items() if number in active}
    numbers, owners, packed = [], [], []
    for document in new:
        row = connection.execute("SELECT store, metadata FROM documents WHERE number = ?", (document,)).fetchone()
        documents[document] = Document(row["store"], _metadata(row["metadata"]))
        for chunk in connection.execute("SELECT number, vector FROM chunks WHERE document = ?", (document,)):
            numbers.append(chunk["number"])
            owners.append(document)
            packed.append(chunk["vector"])
    vectors = np.frombuffer(b"".join(packed), np.int8).reshape(-1, DIMENSIONS)
    kept = np.isin(old.document_of, list(active)) if len(documents) - len(new) < len(old.documents) else slice(None)
    chunks = np.concatenate([old.chunks[kept], np.array(numbers, np.int64)])
    order = np.argsort(chunks, kind="stable")
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32))
    return Snapshot(
        count=count,
        documents=documents,
        chunks=chunks[order],
        document_of=np.concatenate([old.document_of[kept], np.array(owners, np.int64)])[order],
        vectors=np.concatenate([old.vectors[kept], vectors])[order],
        lengths=np.concatenate([old.lengths[kept], np.maximum(lengths, 1)])[order],
    )


def _metadata(text: str) -> dict[str, Value]:
    return {entry["key"]: _value(entry) for entry in json.loads(text)}


def _value(entry: Mapping[str, Any]) -> Value:
    if "stringListValue" in entry:
        return tuple(entry["stringListValue"]["values"])
    return float(entry["numericValue"]) if "numericValue" in entry else str(entry["stringValue"])
