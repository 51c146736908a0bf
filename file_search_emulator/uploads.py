"""Resumable uploads: sessions live in the database and bytes in blobs, so any process can take the next part."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from file_search_emulator.blobs import Blobs, new_blob
from file_search_emulator.database import Database
from file_search_emulator.errors import invalid_argument

_ABANDONED_AFTER = 24 * 3600.0  # seconds without an end
_WRITE_AT_ONCE = 1 << 20  # bytes

Finish = Callable[[sqlite3.Connection, sqlite3.Row], dict[str, Any]]
"""Makes, in the transaction that ends an upload, what was uploaded; returns the answer."""


class Uploads:
    """Uploads that have begun and not ended."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def start(
        self, store: int | None, request: str, *, mime_type: str, file_name: str, expected: int, limit: int
    ) -> str:
        """Begin an upload of `expected` bytes; returns its id. Raises ApiError (400) where they are above the limit.

        `request` is kept for the end of it.
        """
        if expected > limit:
            raise invalid_argument(f"The file has {expected} bytes; at most {limit} are taken.")
        upload = new_blob()
        with self._database.write(durable=False) as connection:
            connection.execute(
                """INSERT INTO uploads (id, store, request, file_name, mime_type, expected, started)
                VALUES (?, ?, ?, ?, ?, ?, ?)""",
                (upload, store, request, file_name, mime_type, expected, time.time()),
            )
        return upload

    def received(self, upload: str) -> int:
        """How many bytes of an upload are here: where it goes on. Raises ApiError (400)."""
        with self._database.read() as connection:
            return int(_find(connection, upload)["received"])

    async def receive(self, upload: str, offset: int, body: AsyncIterator[bytes]) -> int:
        """Take the part of an upload that begins at `offset`; returns where it ends. Raises ApiError (400).

        A part may repeat what is here already, but leave no gap.
        """
        expected = await asyncio.to_thread(self._expected, upload, offset)
        end = offset
        async for data in _gathered(body):
            if end + len(data) > expected:
                raise invalid_argument(f"The upload has more than the {expected} bytes it began with.")
            await asyncio.to_thread(self._blobs.write, upload, end, data)
            end += len(data)
        await asyncio.to_thread(self._advance, upload, offset, end)
        return end

    def finish(self, upload: str, finish: Finish) -> dict[str, Any]:
        """End an upload all of whose bytes are here. What `finish` makes of it is there, whatever comes after.

        Raises ApiError (400).
        """
        expected = self._complete(upload)
        self._blobs.end(upload, expected)
        with self._database.write() as connection:
            answer = finish(connection, _find(connection, upload))
            connection.execute("DELETE FROM uploads WHERE id = ?", (upload,))
        return answer

    def cancel(self, upload: str) -> None:
        """Give an upload up. Raises ApiError (400)."""
        with self._database.write(durable=False) as connection:
            _find(connection, upload)
            connection.execute("DELETE FROM uploads WHERE id = ?", (upload,))
        self._blobs.remove(upload)

    def sweep(self) -> None:
        """Remove uploads that never ended."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM uploads WHERE started < ?", (time.time() - _ABANDONED_AFTER,))

    def _expected(self, upload: str, offset: int) -> int:
        """How many bytes the whole upload has, if it goes on at `offset`."""
        with self._database.read() as connection:
            return int(_find(connection, upload, offset)["expected"])

    def _complete(self, upload: str) -> int:
        with self._database.read() as connection:
            session = _find(connection, upload)
        if session["received"] != session["expected"]:
            raise invalid_argument(f"The upload has {session['received']} of its {session['expected']} bytes.")
        return int(session["expected"])

    def _advance(self, upload: str, offset: int, end: int) -> None:
        with self._database.write(durable=False) as connection:
            _find(connection, upload, offset)
            connection.execute("UPDATE uploads SET received = max(received, ?) WHERE id = ?", (end, upload))


async def _gathered(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in few pieces: the server hands them over in many."""
    waiting = bytearray()
    async for data in body:
        waiting += data
        if len(waiting) >= _WRITE_AT_ONCE:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _find(connection: sqlite3.Connection, upload: str, offset: int = 0) -> sqlite3.Row:
    """The session of an upload that may go on at `offset`."""
    row = connection.execute(
        "SELECT u.*, s.id AS store_id FROM uploads u LEFT JOIN stores s ON s.number = u.store WHERE u.id = ?", (upload,)
    ).fetchone()
    if row is None:
        raise invalid_argument("Upload has already been terminated.")
    if offset > row["received"]:
        raise invalid_argument(f"The upload goes on at byte {row['received']}, not at {offset}.")
    assert isinstance(row, sqlite3.Row)
    return row
