"""Stores and documents: what there is, in which state, page by page."""

from __future__ import annotations

import base64
import binascii
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from file_search_emulator.errors import failed_precondition, invalid_argument, not_found, store_denied
from file_search_emulator.names import new_id
from file_search_emulator.wire import CreateStore, document_resource, store_resource

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


def now() -> str:
    """This moment, as the API writes times (RFC 3339)."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def create_store(connection: sqlite3.Connection, asked: CreateStore) -> dict[str, Any]:
    """Make a store, and return it."""
    store = new_id(asked.display_name)
    connection.execute(
        "INSERT INTO stores (id, display_name, embedding_model, created) VALUES (?, ?, ?, ?)",
        (store, asked.display_name, asked.embedding_model, now()),
    )
    return get_store(connection, store)


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
    size, after = _page(page_size, page_token)
    rows = connection.execute(
        f"{_STORES} WHERE s.number > ? GROUP BY s.number ORDER BY s.number LIMIT ?", (after, size + 1)
    ).fetchall()
    return _listing("fileSearchStores", rows, size, store_resource)


def delete_store(connection: sqlite3.Connection, store: str, force: bool) -> list[str]:
    """Delete a store; returns the uploads whose files are of no use any more. Raises ApiError (400, 403)."""
    number = store_number(connection, store)
    if not force and connection.execute("SELECT 1 FROM documents WHERE store = ?", (number,)).fetchone():
        raise failed_precondition("Cannot delete non-empty FileSearchStore.")
    rows = connection.execute(
        "SELECT id FROM uploads WHERE store = :store UNION SELECT upload FROM documents WHERE store = :store",
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
    size, after = _page(page_size, page_token)
    rows = connection.execute(
        f"{_DOCUMENTS} WHERE d.store = ? AND d.number > ? ORDER BY d.number LIMIT ?", (number, after, size + 1)
    ).fetchall()
    return _listing("documents", rows, size, document_resource)


def delete_document(connection: sqlite3.Connection, store: str, document: str, force: bool) -> str:
    """Delete a document with its chunks; returns the upload whose file is of no use any more. Raises ApiError."""
    row = get_document(connection, store, document)
    if not force and connection.execute("SELECT 1 FROM chunks WHERE document = ?", (row["number"],)).fetchone():
        raise failed_precondition("Cannot delete non-empty Document.")
    connection.execute("DELETE FROM documents WHERE number = ?", (row["number"],))
    return str(row["upload"])


def _page(page_size: str, page_token: str) -> tuple[int, int]:
    """How many to list, and after which number; the API does not say what it does with more than its limit."""
    try:
        size = int(page_size or DEFAULT_PAGE)
        after = int(base64.urlsafe_b64decode(page_token)) if page_token else 0
    except (ValueError, binascii.Error):
        raise invalid_argument("page_size must be a number, and page_token one that a listing returned.") from None
    if size < 0:
        raise invalid_argument("page_size must not be negative.")
    return min(size or DEFAULT_PAGE, LARGEST_PAGE), after


def _listing(
    kind: str, rows: list[sqlite3.Row], size: int, resource: Callable[[sqlite3.Row], dict[str, Any]]
) -> dict[str, Any]:
    """A page, with a token only where another follows: the SDK fails on a page with nothing in it."""
    listing: dict[str, Any] = {kind: [resource(row) for row in rows[:size]]} if rows else {}
    if len(rows) > size:
        listing["nextPageToken"] = base64.urlsafe_b64encode(str(rows[size - 1]["number"]).encode()).decode()
    return listing
