"""The Files API's files: what a store imports from, gone after two days."""

from __future__ import annotations

import re
import sqlite3
import time
from typing import Any

from file_search_emulator.catalog import essence, listing, page
from file_search_emulator.errors import ApiError, invalid_argument
from file_search_emulator.names import random_id
from file_search_emulator.wire import NewFile, file_resource

LARGEST = 2 * 1000**3
"""Bytes: the API's limit of a file."""
EXPIRES_AFTER = 48 * 3600.0
"""Seconds from the upload."""
_LARGEST_PAGE = 100
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_TAKEN = ("text/", "image/", "audio/", "video/", "application/")
_NOT_TAKEN = ("application/octet-stream", "application/x-www-form-urlencoded")


def check_type(mime_type: str) -> str:
    """The MIME type, if files of it are taken. Raises ApiError (400)."""
    kind = essence(mime_type)
    if not kind.startswith(_TAKEN) or kind in _NOT_TAKEN:
        raise invalid_argument(f"Unsupported MIME type: {kind or 'none'}.")
    return mime_type


def file_id(name: str) -> str:
    """The id in a file's resource name, `files/ID`. Raises ApiError (400)."""
    found = name.removeprefix("files/")
    if not _ID.fullmatch(found):
        raise invalid_argument(
            f"* File.name: '{name[:60]}' is not of the form files/ID, where an ID has at most 40 lowercase letters,"
            " digits and dashes, and no dash at its beginning or end."
        )
    return found


def add_file(
    connection: sqlite3.Connection, new: NewFile, *, blob: str, mime_type: str, size: int, sha256: str
) -> sqlite3.Row:
    """Make a file of the name that was asked for, or a new one. Raises ApiError (409) where there is one already."""
    name = file_id(new.name) if new.name else random_id()
    try:
        connection.execute(
            """INSERT INTO files (id, blob, display_name, mime_type, size, sha256, created)
            VALUES (?, ?, ?, ?, ?, ?, ?)""",
            (name, blob, new.display_name, mime_type, size, sha256, time.time()),
        )
    except sqlite3.IntegrityError:
        raise ApiError(409, "ALREADY_EXISTS", "Requested entity already exists.") from None
    return get_file(connection, name)


def get_file(connection: sqlite3.Connection, name: str) -> sqlite3.Row:
    """A file's row. Raises ApiError (403)."""
    row = connection.execute("SELECT * FROM files WHERE id = ? AND created > ?", (name, _oldest())).fetchone()
    if row is None:
        raise ApiError(
            403, "PERMISSION_DENIED", f"You do not have permission to access the File {name} or it may not exist."
        )
    assert isinstance(row, sqlite3.Row)
    return row


def list_files(connection: sqlite3.Connection, page_size: str, page_token: str, base_url: str) -> dict[str, Any]:
    """A page of the files, oldest first."""
    size, after = page(page_size, page_token, _LARGEST_PAGE)
    rows = connection.execute(
        "SELECT * FROM files WHERE number > ? AND created > ? ORDER BY number LIMIT ?", (after, _oldest(), size + 1)
    ).fetchall()
    return listing("files", rows, size, lambda row: file_resource(row, base_url, EXPIRES_AFTER))


def all_files(connection: sqlite3.Connection, base_url: str) -> list[dict[str, Any]]:
    """Every file, oldest first."""
    rows = connection.execute("SELECT * FROM files WHERE created > ? ORDER BY number", (_oldest(),))
    return [file_resource(row, base_url, EXPIRES_AFTER) for row in rows]


def delete_file(connection: sqlite3.Connection, name: str) -> str:
    """Delete a file; returns the blob that is of no use any more. Raises ApiError (403)."""
    row = get_file(connection, name)
    connection.execute("DELETE FROM files WHERE number = ?", (row["number"],))
    return str(row["blob"])


def forget_expired(connection: sqlite3.Connection) -> None:
    """Delete what is older than two days."""
    connection.execute("DELETE FROM files WHERE created <= ?", (_oldest(),))


def _oldest() -> float:
    return time.time() - EXPIRES_AFTER
