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
from file_search_emulator.errors import ApiError, invalid_argument
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
        with self._database.write() as connection:
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

    async def receive(self, upload: str, offset: int, body: AsyncIterator[bytes]) -> None:
        """Take the part that begins at `offset`; it is on disk when this returns. Raises ApiError (400)."""
        session = await asyncio.to_thread(self._session, upload)
        if offset != session["received"]:
            raise invalid_argument(f"The upload goes on at byte {session['received']}, not at {offset}.")
        received = await self._write(upload, session, body)
        await asyncio.to_thread(self._advance, upload, offset, received)

    def finish(self, upload: str) -> dict[str, Any]:
        """End an upload; its document exists, PENDING, when this returns the operation. Raises ApiError (400)."""
        with self._database.write() as connection:
            session = _find(connection, upload)
            if session["received"] != session["expected"]:
                raise invalid_argument(f"The upload has {session['received']} of its {session['expected']} bytes.")
            document = new_id(session["display_name"])
            moment = now()
            connection.execute(
                """INSERT INTO documents (store, id, upload, file_name, mime_type, display_name, metadata, max_tokens,
                    overlap, size, created, updated)
                SELECT store, ?, id, file_name, mime_type, display_name, metadata, max_tokens, overlap, received, ?, ?
                FROM uploads WHERE id = ?""",
                (document, moment, moment, upload),
            )
            connection.execute("DELETE FROM uploads WHERE id = ?", (upload,))
        return accepted_operation(session["store_id"], document, session["mime_type"], session["received"])

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

    def _session(self, upload: str) -> sqlite3.Row:
        with self._database.read() as connection:
            return _find(connection, upload)

    async def _write(self, upload: str, session: sqlite3.Row, body: AsyncIterator[bytes]) -> int:
        """Append the body to the bytes so far; returns how many there are now."""
        received: int = session["received"]
        file = await asyncio.to_thread(self._open, upload, received)
        try:
            waiting = bytearray()
            async for data in body:
                received += len(data)
                if received > session["expected"]:
                    raise invalid_argument(f"The upload has more than the {session['expected']} bytes it began with.")
                waiting += data
                if len(waiting) >= _WRITE_AT_ONCE:
                    await asyncio.to_thread(file.write, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(_write_durably, file, bytes(waiting))
        finally:
            file.close()
        return received

    def _open(self, upload: str, size: int) -> BinaryIO:
        """The upload's file, cut to the bytes that are known to be there: a part that was broken off begins again."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path(upload), os.O_WRONLY | os.O_CREAT, 0o600)
        file = os.fdopen(descriptor, "wb")
        file.truncate(size)
        file.seek(size)
        return file

    def _advance(self, upload: str, offset: int, received: int) -> None:
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE uploads SET received = ? WHERE id = ? AND received = ?", (received, upload, offset)
            ).rowcount
        if not changed:
            raise invalid_argument("Another request has sent this part of the upload.")


def _find(connection: sqlite3.Connection, upload: str) -> sqlite3.Row:
    row = connection.execute(
        "SELECT u.*, s.id AS store_id FROM uploads u JOIN stores s ON s.number = u.store WHERE u.id = ?", (upload,)
    ).fetchone()
    if row is None:
        raise ApiError(400, "INVALID_ARGUMENT", "Upload has already been terminated.")
    assert isinstance(row, sqlite3.Row)
    return row


def _write_durably(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
