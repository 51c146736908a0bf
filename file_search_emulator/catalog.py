"""Stores and documents: what there is, in which state, page by page."""

from __future__ import annotations

import base64
import binascii
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from file_search_emulator.errors import ApiError, failed_precondition, invalid_argument, not_found, store_denied
from file_search_emulator.names import new_id
from file_search_emulator.wire import CreateStore, IndexRequest, document_resource, store_resource, timestamp

_STORES = """
    SELECT s.*,
        count(*) FILTER (WHERE d.state = 'ACTIVE') AS active,
        count(*) FILTER (WHERE d.state = 'PENDING') AS pending,
        count(*) FILTER (WHERE d.state = 'FAILED') AS failed,
        coalesce(sum(d.size), 0) AS size
    FROM stores s LEFT JOIN documents d ON d.store = s.number
"""
_DOCUMENTS = "SELECT d.*, s.id AS store_id FROM documents d JOIN stores s ON s.number = d.store"
DEFAULT_PAGE, LARGEST_PAGE = 10, 20
IMAGES = ("image/png", "image/jpeg")


@dataclass(frozen=True, kw_only=True)
class NewDocument:
    """What becomes a document: bytes, how they are to be read, and what is said of them."""

    blob: str
    size: int
    mime_type: str
    file_name: str = ""
    display_name: str = ""
    origin: str = "upload"
    ready_at: float = 0.0
    """When it may be indexed (Unix time)."""
    fault: str | None = None
    """The failure that its indexing shall end with, if one was asked for."""
    recovers_in: float | None = None
    """Seconds from that failure until it is searchable after all."""


def now() -> str:
    """This moment, as the API writes times (RFC 3339)."""
    return timestamp(time.time())


def create_store(connection: sqlite3.Connection, asked: CreateStore) -> dict[str, Any]:
    """Make a store, and return it."""
    store = new_id(asked.display_name)
    add_store(connection, asked, store)
    return get_store(connection, store)


def add_store(connection: sqlite3.Connection, asked: CreateStore, store: str) -> int:
    """Make a store with this id; returns its number."""
    made = connection.execute(
        "INSERT INTO stores (id, display_name, embedding_model, created) VALUES (?, ?, ?, ?)",
        (store, asked.display_name, asked.embedding_model, now()),
    )
    assert made.lastrowid is not None
    return made.lastrowid


def get_store(connection: sqlite3.Connection, store: str) -> dict[str, Any]:
    """A store with its counters. Raises ApiError (403)."""
    row = connection.execute(f"{_STORES} WHERE s.id = ? GROUP BY s.number", (store,)).fetchone()
    if row is None:
        raise store_denied(f"fileSearchStores/{store}")
    return store_resource(row)


def store_number(connection: sqlite3.Connection, store: str) -> int:
    """The number of a store in the database. Raises ApiError (403)."""
    row = connection.execute("SELECT number FROM stores WHERE id = ?", (store,)).fetchone()
    if row is None:
        raise store_denied(f"fileSearchStores/{store}")
    return int(row["number"])


def list_stores(connection: sqlite3.Connection, page_size: str, page_token: str) -> dict[str, Any]:
    """A page of the stores, oldest first."""
    size, after = page(page_size, page_token)
    rows = connection.execute(
        f"{_STORES} WHERE s.number > ? GROUP BY s.number ORDER BY s.number LIMIT ?", (after, size + 1)
    ).fetchall()
    return listing("fileSearchStores", rows, size, store_resource)


def delete_store(connection: sqlite3.Connection, store: str, force: bool) -> list[str]:
    """Delete a store; returns the blobs that are of no use any more. Raises ApiError (400, 403)."""
    number = store_number(connection, store)
    if not force and connection.execute("SELECT 1 FROM documents WHERE store = ?", (number,)).fetchone():
        raise failed_precondition("Cannot delete non-empty FileSearchStore.")
    rows = connection.execute(
        "SELECT id FROM uploads WHERE store = :store UNION SELECT blob FROM documents WHERE store = :store",
        {"store": number},
    ).fetchall()
    connection.execute("DELETE FROM stores WHERE number = ?", (number,))
    return [row["id"] for row in rows]


def get_document(connection: sqlite3.Connection, store: str, document: str) -> sqlite3.Row:
    """A document's row, with its store's id. Raises ApiError (403, 404)."""
    number = store_number(connection, store)
    row = connection.execute(f"{_DOCUMENTS} WHERE d.store = ? AND d.id = ?", (number, document)).fetchone()
    if row is None:
        raise not_found("Documents does not exist.")
    assert isinstance(row, sqlite3.Row)
    return row


def list_documents(connection: sqlite3.Connection, store: str, page_size: str, page_token: str) -> dict[str, Any]:
    """A page of a store's documents, oldest first. Raises ApiError (403)."""
    number = store_number(connection, store)
    size, after = page(page_size, page_token)
    rows = connection.execute(
        f"{_DOCUMENTS} WHERE d.store = ? AND d.number > ? ORDER BY d.number LIMIT ?", (number, after, size + 1)
    ).fetchall()
    return listing("documents", rows, size, document_resource)


def delete_document(connection: sqlite3.Connection, store: str, document: str, force: bool) -> str:
    """Delete a document with its chunks; returns the blob that is of no use any more. Raises ApiError."""
    row = get_document(connection, store, document)
    if not force and connection.execute("SELECT 1 FROM chunks WHERE document = ?", (row["number"],)).fetchone():
        raise failed_precondition("Cannot delete non-empty Document.")
    connection.execute("DELETE FROM documents WHERE number = ?", (row["number"],))
    return str(row["blob"])


def all_stores(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every store, oldest first."""
    return [store_resource(row) for row in connection.execute(f"{_STORES} GROUP BY s.number ORDER BY s.number")]


def shown_documents(connection: sqlite3.Connection, store: str, most: int) -> dict[str, Any]:
    """The first documents of a store, each with its `chunks`, and how many there are besides."""
    rows = connection.execute(
        f"""SELECT listed.*, (SELECT count(*) FROM chunks WHERE document = listed.number) AS chunks
        FROM ({_DOCUMENTS} WHERE s.id = ? ORDER BY d.number LIMIT ?) listed""",  # noqa: S608 (ours)
        (store, most),
    ).fetchall()
    number = store_number(connection, store)
    total = connection.execute("SELECT count(*) FROM documents WHERE store = ?", (number,)).fetchone()[0]
    shown = [document_resource(row) | {"chunks": row["chunks"]} for row in rows]
    return {"documents": shown, "documentsNotShown": total - len(shown)}


def add_document(
    connection: sqlite3.Connection, store: int, new: NewDocument, asked: IndexRequest, document: str = ""
) -> str:
    """Make a document, PENDING, with the id `document` or a new one; returns its id."""
    document = document or new_id(new.display_name)
    chunking = asked.chunking_config.white_space_config
    moment = now()
    connection.execute(
        """INSERT INTO documents (store, id, origin, blob, file_name, mime_type, display_name, metadata, max_tokens,
            overlap, size, fault, recovers_in, lease_until, created, updated)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            store,
            document,
            new.origin,
            new.blob,
            new.file_name,
            new.mime_type,
            new.display_name,
            asked.metadata_json(),
            chunking.max_tokens_per_chunk,
            chunking.max_overlap_tokens,
            new.size,
            new.fault,
            new.recovers_in,
            new.ready_at,
            moment,
            moment,
        ),
    )
    return document


def check_room(connection: sqlite3.Connection, size: int, limit: int | None) -> None:
    """Raises ApiError (429) where all stores together would hold more than `limit` bytes."""
    if limit is not None:
        used = connection.execute("SELECT coalesce(sum(size), 0) FROM documents").fetchone()[0]
        if used + size > limit:
            raise ApiError(429, "RESOURCE_EXHAUSTED", f"Corpus has reached the storage limit of {limit} bytes.")


def check_type(connection: sqlite3.Connection, store: int, mime_type: str) -> None:
    """Raises ApiError (400) for a picture in a store whose embedding model reads text only."""
    kind = essence(mime_type)
    if not kind.startswith("image/"):
        return
    model = connection.execute("SELECT embedding_model FROM stores WHERE number = ?", (store,)).fetchone()[0]
    if kind not in IMAGES or not model.startswith("models/gemini-embedding-2"):
        raise invalid_argument(
            f"Unsupported MIME type: {kind}. Pictures are taken by stores of models/gemini-embedding-2, as PNG or JPEG."
        )


def essence(mime_type: str) -> str:
    """A MIME type without its parameters."""
    return mime_type.partition(";")[0].strip().lower()


def page(page_size: str, page_token: str, largest: int = LARGEST_PAGE) -> tuple[int, int]:
    """How many to list, and after which number; the API does not say what it does with more than its limit."""
    try:
        size = int(page_size or DEFAULT_PAGE)
        after = int(base64.urlsafe_b64decode(page_token)) if page_token else 0
    except (ValueError, binascii.Error):
        raise invalid_argument("page_size must be a number, and page_token one that a listing returned.") from None
    if size < 0:
        raise invalid_argument("page_size must not be negative.")
    return min(size or DEFAULT_PAGE, largest), after


def listing(
    kind: str, rows: list[sqlite3.Row], size: int, resource: Callable[[sqlite3.Row], dict[str, Any]]
) -> dict[str, Any]:
    """A page, with a token only where another follows: the SDK fails on a page with nothing in it."""
    found: dict[str, Any] = {kind: [resource(row) for row in rows[:size]]} if rows else {}
    if len(rows) > size:
        found["nextPageToken"] = base64.urlsafe_b64encode(str(rows[size - 1]["number"]).encode()).decode()
    return found
