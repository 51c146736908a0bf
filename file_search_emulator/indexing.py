"""From PENDING to ACTIVE or FAILED: uploaded documents are parsed, chunked, embedded and made searchable.

Whichever process finds a pending document takes it by a lease in the database, renews that while it works, and writes
nothing once it has lost it. So a process may die at any moment: another takes over when the lease has run out.

The stores take turns. A document that is not done within a few seconds is begun anew in a second lane, which gives it
as much time as any file may take: so nobody waits for the large or hostile files of another store.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice

from file_search_emulator import chunking, parsing
from file_search_emulator.analysis import ANALYSIS, analyse
from file_search_emulator.blobs import Blobs
from file_search_emulator.catalog import IMAGES, essence, now
from file_search_emulator.database import Database
from file_search_emulator.reanalysis import Reanalysis
from file_search_emulator.turns import Turns
from file_search_emulator.wire import plain_value

_LEASE = 4.0  # seconds without a sign of life
_RENEW_EVERY = 1.0  # seconds
_POLL = 0.5  # seconds, while another process works on what is pending
_CLOSE_WITHIN = 10.0  # seconds
_BRIEFLY = 2  # seconds of CPU, in the parser's process and again in this one, that the first lane gives a document
_BRIEF_WAIT = 20.0  # seconds that the first lane waits for the parser's process
_NICENESS = 10  # of the parser's process in the second lane: questions come first
_BATCH = 500  # chunks in one transaction
_MOST_ATTEMPTS = 6
_INVALID_ARGUMENT, _INTERNAL = 3, 13  # google.rpc.Code
_NEVER = 1e9
"""Seconds: what is due then never is."""
_NEXT_DUE = """SELECT min(lease_until) FROM documents
    WHERE state = 'PENDING' AND takes_long = :takes_long OR recovers_in IS NOT NULL AND NOT :takes_long"""

logger = logging.getLogger(__name__)


class _Lane:
    """A thread's share of the work: documents that are done soon, or those that take long; one at a time."""

    def __init__(self, *, takes_long: bool) -> None:
        self.takes_long = takes_long
        self.wake = threading.Event()
        self.thread: threading.Thread | None = None
        self.current: _Pending | None = None
        if takes_long:
            self.parser = parsing.LimitedParser(niceness=_NICENESS)
        else:
            self.parser = parsing.LimitedParser(cpu_seconds=_BRIEFLY, wall_seconds=_BRIEF_WAIT)
        self.turns = Turns()


class Indexer:
    """Indexes pending documents in two threads, each one at a time; they start with the first `kick`."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs
        self._holder = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._reanalysis = Reanalysis(database, self._stopping)
        self._lanes = [_Lane(takes_long=False), _Lane(takes_long=True)]

    def kick(self) -> None:
        """See to it soon that nothing stays pending; returns at once."""
        with self._lock:
            for lane in self._lanes:
                if lane.thread is None or not lane.thread.is_alive():
                    self._stopping.clear()
                    name = "file-search-long" if lane.takes_long else "file-search-indexer"
                    lane.thread = threading.Thread(target=self._run, args=(lane,), name=name, daemon=True)
                    lane.thread.start()
        for lane in self._lanes:
            lane.wake.set()

    def close(self) -> None:
        """Stop after the step at hand, unless it is a long one; what is pending waits for the next `kick` anywhere."""
        with self._lock:
            threads = [lane.thread for lane in self._lanes if lane.thread is not None]
            self._stopping.set()
            for lane in self._lanes:
                lane.thread = None
                lane.wake.set()
        deadline = time.monotonic() + _CLOSE_WITHIN
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self, lane: _Lane) -> None:
        keeper = threading.Thread(target=self._keep_lease, args=(lane,), name="file-search-lease", daemon=True)
        keeper.start()
        try:
            while not self._stopping.is_set():
                lane.wake.clear()
                try:
                    lane.wake.wait(self._work(lane))
                except Exception:
                    logger.exception("Indexing failed; it is tried again")
                    lane.wake.wait(_POLL)
        finally:
            lane.parser.close()
            keeper.join()

    def _keep_lease(self, lane: _Lane) -> None:
        """Renew the lease of the document at hand, as long as there is a thread that works on it."""
        while not self._stopping.wait(_RENEW_EVERY):
            if (document := lane.current) is not None:
                try:
                    with self._database.write(durable=False) as connection:
                        self._set_lease(connection, document, self._holder, _LEASE)
                except sqlite3.Error:
                    logger.warning("A lease could not be renewed", exc_info=True)

    def _work(self, lane: _Lane) -> float | None:
        """Index one document; returns the seconds until there may be another, None where a kick will tell."""
        with self._database.read() as connection:
            next_due = connection.execute(_NEXT_DUE, {"takes_long": lane.takes_long}).fetchone()[0]
        wait = _NEVER if next_due is None else next_due - time.time()
        if wait > 0:
            if lane.takes_long:
                if next_due is None:
                    lane.parser.close()
                wait = min(wait, self._reanalysis.update_one())
            return min(wait, _POLL) if wait < _NEVER else None
        if not lane.takes_long:
            self._recover()
        document = self._claim(lane)
        if document is not None:
            lane.current = document
            try:
                self._index(document, lane)
            finally:
                lane.current = None
        return 0

    def _recover(self) -> None:
        """Make those documents ACTIVE that failed for a while only."""
        with self._database.write(durable=False) as connection:
            connection.execute(
                """UPDATE documents
                SET state = 'ACTIVE', recovers_in = NULL, error_code = NULL, error = NULL, updated = ?
                WHERE state = 'FAILED' AND recovers_in IS NOT NULL AND lease_until <= ?""",
                (now(), time.time()),
            )

    def _claim(self, lane: _Lane) -> _Pending | None:
        moment = time.time()
        with self._database.write(durable=False) as connection:
            pending = connection.execute(
                """SELECT store, min(number) FROM documents
                WHERE state = 'PENDING' AND takes_long = ? AND lease_until <= ? GROUP BY store""",
                (lane.takes_long, moment),
            )
            number = lane.turns.next(dict(map(tuple, pending)))
            if number is None:
                return None
            row = connection.execute(
                """UPDATE documents SET lease_holder = ?, lease_until = ?, attempts = attempts + 1 WHERE number = ?
                RETURNING number, blob, mime_type, file_name, display_name, metadata, max_tokens, overlap, attempts,
                    fault, recovers_in""",
                (self._holder, moment + _LEASE, number),
            ).fetchone()
            connection.execute("DELETE FROM chunks WHERE document = ?", (number,))  # of an attempt that ended early
        return _Pending(**dict(row))

    def _index(self, document: _Pending, lane: _Lane) -> None:
        try:
            if document.attempts > _MOST_ATTEMPTS:
                self._fail(document, _INTERNAL, f"Indexing was tried {_MOST_ATTEMPTS} times and never came to an end.")
            elif document.fault is not None and document.recovers_in is None:
                self._fail(document, _INTERNAL, document.fault)
            else:
                name = document.file_name or document.display_name
                path = self._blobs.path(document.blob)
                with closing(lane.parser.sections(path, document.mime_type, name)) as sections:
                    read = _pictured(document, sections) if essence(document.mime_type) in IMAGES else sections
                    chunks = chunking.split(read, document.max_tokens, document.overlap)
                    self._add(document, chunks, None if lane.takes_long else _BRIEFLY)
        except parsing.TookTooLong as error:
            if not lane.takes_long:
                self._hand_over(document)
                return
            self._fail(document, _INVALID_ARGUMENT, str(error))
        except parsing.ParseError as error:
            self._fail(document, _INVALID_ARGUMENT, str(error))
        except _Interrupted:
            self._release(document, 0)
            return
        except Exception:
            if not self._release(document, 2**document.attempts):
                return  # deleted, which took its file away
            raise
        if essence(document.mime_type) not in IMAGES:
            self._blobs.remove(document.blob)

    def _add(self, document: _Pending, chunks: Iterable[chunking.Chunk], seconds: float | None) -> None:
        """Write the chunks in short transactions as they come, the last of which makes them searchable.

        Raises TookTooLong where that needs more than `seconds` of CPU.
        """
        started = time.thread_time()
        batches = _batches(chunks)
        batch = next(batches, None)
        if batch is None:
            raise parsing.ParseError("No text found in the file.")
        while batch is not None:
            if self._stopping.is_set():
                raise _Interrupted
            if seconds is not None and time.thread_time() - started > seconds:
                raise parsing.TookTooLong
            rows, following = _rows(document, batch), next(batches, None)
            with self._writing(document) as connection:
                connection.executemany(
                    """INSERT INTO chunks (document, text, page, heading, tokens, vector, term_count, postings)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
                    rows,
                )
                if following is None:
                    self._settle(connection, document)
            batch = following

    def _hand_over(self, document: _Pending) -> None:
        """Have the second lane begin a document anew; what this one tried does not count."""
        with suppress(_Interrupted), self._writing(document) as connection:
            connection.execute(
                """UPDATE documents SET takes_long = 1, attempts = attempts - 1, lease_holder = NULL, lease_until = 0
                WHERE number = ?""",
                (document.number,),
            )
        self.kick()

    def _settle(self, connection: sqlite3.Connection, document: _Pending) -> None:
        """ACTIVE at last; or FAILED for a while, where that was asked for."""
        if document.recovers_in is None:
            connection.execute(
                "UPDATE documents SET state = 'ACTIVE', analysis = ?, updated = ? WHERE number = ?",
                (ANALYSIS, now(), document.number),
            )
        else:
            connection.execute(
                """UPDATE documents
                SET state = 'FAILED', error_code = ?, error = ?, lease_until = ?, analysis = ?, updated = ?
                WHERE number = ?""",
                (_INTERNAL, document.fault, time.time() + document.recovers_in, ANALYSIS, now(), document.number),
            )

    def _fail(self, document: _Pending, code: int, message: str) -> None:
        with self._writing(document) as connection:
            connection.execute("DELETE FROM chunks WHERE document = ?", (document.number,))
            connection.execute(
                """UPDATE documents SET state = 'FAILED', error_code = ?, error = ?, recovers_in = NULL, updated = ?
                WHERE number = ?""",
                (code, message, now(), document.number),
            )

    @contextmanager
    def _writing(self, document: _Pending) -> Iterator[sqlite3.Connection]:
        """A transaction on a document that is still ours. Raises _Interrupted where it is not, or not there."""
        with self._database.write() as connection:
            if not connection.execute(
                "SELECT 1 FROM documents WHERE number = ? AND lease_holder = ? AND state = 'PENDING'",
                (document.number, self._holder),
            ).fetchone():
                raise _Interrupted
            yield connection

    def _release(self, document: _Pending, delay: float) -> bool:
        """Let any process take the document up again, after some seconds; false where it was not ours any more."""
        with self._database.write(durable=False) as connection:
            return self._set_lease(connection, document, None, delay)

    def _set_lease(
        self, connection: sqlite3.Connection, document: _Pending, holder: str | None, seconds: float
    ) -> bool:
        changed = connection.execute(
            """UPDATE documents SET lease_holder = ?, lease_until = ?
            WHERE number = ? AND lease_holder = ? AND state = 'PENDING'""",
            (holder, time.time() + seconds, document.number, self._holder),
        ).rowcount
        return changed > 0


@dataclass(frozen=True, slots=True)
class _Pending:
    """A document that this process holds the lease of."""

    number: int
    blob: str
    mime_type: str
    file_name: str
    display_name: str
    metadata: str
    max_tokens: int
    overlap: int
    attempts: int
    fault: str | None
    recovers_in: float | None


class _Interrupted(Exception):
    """The work on a document ends here: the process is stopping, or the document is not its own any more."""


def _pictured(document: _Pending, sections: Iterable[parsing.Section]) -> Iterator[parsing.Section]:
    """What is known of a picture: its name and its metadata, as nobody looks at it."""
    name = document.display_name or document.file_name or "No name"
    entries = json.loads(document.metadata)
    said = ", ".join(f"{entry['key']} {plain_value(entry)}" for entry in entries)
    for section in sections:
        yield replace(section, text=f"{name}{f' ({said})' if said else ''}: {section.text}")


def _batches(chunks: Iterable[chunking.Chunk]) -> Iterator[list[chunking.Chunk]]:
    chunks = iter(chunks)
    while batch := list(islice(chunks, _BATCH)):
        yield batch


def _rows(document: _Pending, chunks: Sequence[chunking.Chunk]) -> list[tuple[object, ...]]:
    return [
        (document.number, chunk.text, chunk.page, chunk.heading, *analysed)
        for chunk, analysed in zip(chunks, analyse(document.display_name, chunks), strict=True)
    ]
