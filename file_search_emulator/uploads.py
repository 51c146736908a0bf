"""Resumable uploads: sessions live in the database and bytes in a folder, so any process can take the next part."""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

from file_search_emulator.catalog import now, store_number
from file_search_emulator.database import Database
from file_search_emulator.errors import invalid_argument
from file_search_emulator.names import new_id
from file_search_emulator.wire import UploadToStore, accepted_operation

LARGEST = 100 * 1000 * 1000
"""Bytes: the API's limit of a document, 100 MB."""
_ABANDONED_AFTER = 24 * 3600.0  # seconds without an end
_WRITE_AT_ONCE = 1 << 20  # bytes


class Uploads:
    """Uploads that have begun and not ended."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def start(self, store: str, asked: UploadToStore, *, mime_type: str, file_name: str, expected: int) -> str:
        """Begin an upload of `expected` bytes; returns its id. Raises ApiError (400, 403)."""
        if expected > LARGEST:
            raise invalid_argument(f"The file has {expected} bytes; a document has at most {LARGEST}.")
        upload = secrets.token_urlsafe(32)
        chunking = asked.chunking_config.white_space_config
        with self._database.write(durable=False) as connection:
            connection.execute(
                """INSERT INTO uploads (id, store, file_name, mime_type, display_name, metadata, max_tokens, overlap,
                    expected, started) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                (
                    upload,
                    store_number(connection, store),
                    file_name,
                    asked.mime_type or mime_type,
                    asked.display_name,
                    asked.metadata_json(),
                    chunking.max_tokens_per_chunk,
                    chunking.max_overlap_tokens,
                    expected,
                    time.time(),
                ),
            )
        return upload

    async def receive(self, upload: str, offset: int, body: AsyncIterator[bytes], *, final: bool) -> dict[str, Any]:
        """Take the part of an upload that begins at `offset`; returns the operation if it was the `final` one.

        A part that is not final is answered with {}. After a final one, the document exists, PENDING, whatever happens
        to this process. Raises ApiError (400).
        """
        received = offset
        expected = await asyncio.to_thread(self._expected, upload, offset)
        async for data in _gathered(body):
            if received + len(data) > expected:
                raise invalid_argument(f"The upload has more than the {expected} bytes it began with.")
            await asyncio.to_thread(self._put, upload, received, data)
            received += len(data)
        if final:
            return await asyncio.to_thread(self._finish, upload, offset, received)
        await asyncio.to_thread(self._advance, upload, offset, received)
        return {}

    def path(self, upload: str) -> Path:
        """Where the bytes of an upload are."""
        return self._folder / upload

    def forget(self, *uploads: str) -> None:
        """Remove the bytes of uploads that are indexed or deleted."""
        for upload in uploads:
            self.path(upload).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what was abandoned: uploads that never ended, and bytes that a stopped process left behind."""
        present = [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []
        with self._database.write() as connection:
            connection.execute("DELETE FROM uploads WHERE started < ?", (time.time() - _ABANDONED_AFTER,))
            rows = connection.execute(
                "SELECT id FROM uploads UNION SELECT upload FROM documents WHERE state = 'PENDING'"
            ).fetchall()
        self.forget(*set(present) - {row["id"] for row in rows})

    def _expected(self, upload: str, offset: int) -> int:
        """How many bytes the whole upload has, if it goes on at `offset`."""
        with self._database.read() as connection:
            return int(_find(connection, upload, offset)["expected"])

    def _put(self, upload: str, offset: int, data: bytes) -> None:
        """Write bytes to their place: a part that broke off and is sent again overwrites itself."""
        with self._open(upload) as file:
            file.seek(offset)
            file.write(data)

    def _advance(self, upload: str, offset: int, received: int) -> None:
        with self._database.write(durable=False) as connection:
            _find(connection, upload, offset)
            connection.execute("UPDATE uploads SET received = ? WHERE id = ?", (received, upload))

    def _finish(self, upload: str, offset: int, size: int) -> dict[str, Any]:
        with self._open(upload) as file:
            os.fsync(file.fileno())
        with self._database.write() as connection:
            session = _find(connection, upload, offset)
            if size != session["expected"]:
                raise invalid_argument(f"The upload has {size} of its {session['expected']} bytes.")
            document = new_id(session["display_name"])
            moment = now()
            connection.execute(
                """INSERT INTO documents (store, id, upload, file_name, mime_type, display_name, metadata, max_tokens,
                    overlap, size, created, updated)
                SELECT store, ?, id, file_name, mime_type, display_name, metadata, max_tokens, overlap, expected, ?, ?
                FROM uploads WHERE id = ?""",
                (document, moment, moment, upload),
            )
            connection.execute("DELETE FROM uploads WHERE id = ?", (upload,))
        return accepted_operation(session["store_id"], document, session["mime_type"], size)

    def _open(self, upload: str) -> BinaryIO:
        """The file of an upload as it is, or a new one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return os.fdopen(os.open(self.path(upload), os.O_WRONLY | os.O_CREAT, 0o600), "wb")


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


def _find(connection: sqlite3.Connection, upload: str, offset: int) -> sqlite3.Row:
    """The session of an upload that goes on at `offset`."""
    row = connection.execute(
        "SELECT u.*, s.id AS store_id FROM uploads u JOIN stores s ON s.number = u.store WHERE u.id = ?", (upload,)
    ).fetchone()
    if row is None:
        raise invalid_argument("Upload has already been terminated.")
    if row["received"] != offset:
        raise invalid_argument(f"The upload goes on at byte {row['received']}, not at {offset}.")
    assert isinstance(row, sqlite3.Row)
    return row
