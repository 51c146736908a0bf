"""After an upgrade: documents that another version analysed are analysed again, and go on answering meanwhile.

The texts of their chunks stay; what is made of these is written over, a batch in each transaction. A process that dies
leaves a document half old and half new, which harms no search, and another process takes it up when its lease ends.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from file_search_emulator.analysis import ANALYSIS, analyse
from file_search_emulator.chunking import Chunk
from file_search_emulator.database import Database

_BATCH = 500  # chunks in one transaction
_LEASE = 60.0  # seconds for one batch
_OUTDATED = f"FROM documents WHERE state = 'ACTIVE' AND (analysis < {ANALYSIS} OR analysis > {ANALYSIS})"
_COUNT = f"SELECT count(*) {_OUTDATED}"
_FREE = f"SELECT min(lease_until) {_OUTDATED}"
_CLAIM = f"""
    UPDATE documents SET lease_holder = :holder, lease_until = :until
    WHERE number = (SELECT number {_OUTDATED} AND lease_until <= :now ORDER BY number LIMIT 1)
    RETURNING number, display_name
"""  # noqa: S608 (ours)

logger = logging.getLogger(__name__)


def outdated(connection: sqlite3.Connection) -> int:
    """How many searchable documents another version analysed."""
    return int(connection.execute(_COUNT).fetchone()[0])


def announce(connection: sqlite3.Connection) -> None:
    """Log how many documents will be analysed again; of several processes, the first one does."""
    count = outdated(connection)
    if not count:
        return
    said = connection.execute(
        """INSERT INTO about VALUES ('analysis', :analysis)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value""",
        {"analysis": str(ANALYSIS)},
    )
    if said.rowcount:
        logger.warning("%d documents were indexed by another version. They answer, and are analysed again.", count)


class Reanalysis:
    """Analyses outdated documents again, one at a time."""

    def __init__(self, database: Database, stopping: threading.Event) -> None:
        self._database = database
        self._stopping = stopping
        self._holder = uuid.uuid4().hex

    def update_one(self) -> float:
        """Analyse a document again; returns the seconds until another may be free, infinity if none is outdated."""
        now = time.time()
        with self._database.read() as connection:
            free = connection.execute(_FREE).fetchone()[0]
        if free is None or free > now:
            return math.inf if free is None else float(free - now)
        with self._database.write(durable=False) as connection:
            claim = {"holder": self._holder, "until": now + _LEASE, "now": now}
            row = connection.execute(_CLAIM, claim).fetchone()
        if row is not None:
            with suppress(_Interrupted):
                self._update(row["number"], row["display_name"])
        return 0

    def _update(self, document: int, display_name: str) -> None:
        last = 0
        while chunks := self._chunks(document, last):
            analysed = analyse(
                display_name, [Chunk(chunk["text"], chunk["page"], chunk["heading"]) for chunk in chunks]
            )
            with self._writing(document) as connection:
                connection.executemany(
                    "UPDATE chunks SET tokens = ?, vector = ?, term_count = ?, postings = ? WHERE number = ?",
                    [(*values, chunk["number"]) for values, chunk in zip(analysed, chunks, strict=True)],
                )
            last = chunks[-1]["number"]
        with self._writing(document) as connection:
            connection.execute("UPDATE documents SET analysis = ? WHERE number = ?", (ANALYSIS, document))
            left = outdated(connection)
        if not left:
            logger.warning("The index is rebuilt: this version has analysed all documents.")

    def _chunks(self, document: int, last: int) -> list[sqlite3.Row]:
        """The next chunks of a document after the one with the number `last`."""
        with self._database.read() as connection:
            return connection.execute(
                """SELECT number, text, page, heading FROM chunks
                WHERE document = ? AND number > ? ORDER BY number LIMIT ?""",
                (document, last, _BATCH),
            ).fetchall()

    @contextmanager
    def _writing(self, document: int) -> Iterator[sqlite3.Connection]:
        """A transaction that renews the lease. Raises _Interrupted if the lease is lost, or the process is stopping."""
        with self._database.write(durable=False) as connection:
            renewed = connection.execute(
                "UPDATE documents SET lease_until = ? WHERE number = ? AND lease_holder = ?",
                (time.time() + _LEASE, document, self._holder),
            ).rowcount
            if not renewed or self._stopping.is_set():
                raise _Interrupted
            yield connection


class _Interrupted(Exception):
    """The work on a document ends here."""
