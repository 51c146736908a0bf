"""The SQLite file that holds everything but the bytes of uploads in progress."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

logger = logging.getLogger(__name__)

FILE = "index.sqlite3"
SCHEMA_VERSION = 4
_UPGRADES = {
    2: "ALTER TABLE documents ADD COLUMN takes_long INTEGER NOT NULL DEFAULT 0;",
    3: """
        ALTER TABLE documents ADD COLUMN analysis INTEGER NOT NULL DEFAULT 0;
        UPDATE documents SET analysis = 1 WHERE state <> 'PENDING';
        CREATE INDEX documents_analysis ON documents (analysis);
        DROP TRIGGER document_settled;
        CREATE TRIGGER document_settled AFTER UPDATE OF state, analysis ON documents BEGIN
            UPDATE changes SET count = count + 1;
        END;
    """,
}
"""For each older schema, what makes the next one of it."""
_BUSY_TIMEOUT = 30.0
"""Seconds that a writer waits for another, in this process or any."""
_IDLE_CONNECTIONS = 8


class OtherVersion(Exception):
    """The index is of a schema that this version of the program can neither read nor upgrade."""


class Database:
    """Short transactions on one SQLite file, from any thread, beside other processes that do the same."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        """To write: threads of one process wait here, as SQLite's own waiting sleeps too long."""
        self._idle: list[sqlite3.Connection] = []

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state of the file throughout, and blocks no one."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction that is committed whole, or rolled back where the block raises.

        Whatever becomes of the process, what is committed stays; if `durable`, also if the machine loses its power.
        """
        with self._turn, self._transaction("BEGIN IMMEDIATE", durable=durable) as connection:
            yield connection

    def close(self) -> None:
        """Close the connections that no transaction uses; the next transaction opens one again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _transaction(self, begin: str, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        connection = self._take()
        try:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute(begin)
            yield connection
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._give_back(connection)

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._open()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if len(self._idle) < _IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        _enter_wal(connection)
        if version(connection) != SCHEMA_VERSION:
            _create_or_upgrade(connection, self._path)
        return connection


def instance_id(connection: sqlite3.Connection) -> str:
    """The id of this index, made with its file and never changed."""
    return str(connection.execute("SELECT value FROM about WHERE key = 'instance'").fetchone()[0])


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Write-ahead logging; SQLite itself does not wait where two processes switch to it at once."""
    deadline = time.monotonic() + _BUSY_TIMEOUT
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _create_or_upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the schema to this version, in one transaction: of several processes one does, and the others wait."""
    connection.execute("BEGIN IMMEDIATE")
    found = version(connection)  # another process may have been faster
    if not is_readable(found):
        connection.close()
        raise OtherVersion(
            f"The index {path} was made by another version of this program (schema {found}; this version reads"
            f" {min(_UPGRADES)} to {SCHEMA_VERSION}). Run that version, or choose another folder."
        )
    if found == 0:
        _execute(connection, files("file_search_emulator").joinpath("schema.sql").read_text())
        connection.execute("INSERT INTO about VALUES ('instance', ?)", (str(uuid.uuid4()),))
    for older in range(found or SCHEMA_VERSION, SCHEMA_VERSION):
        _execute(connection, _UPGRADES[older])
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
    if 0 < found < SCHEMA_VERSION:
        logger.warning("The index %s was upgraded from schema %d to %d.", path, found, SCHEMA_VERSION)


def is_readable(schema: int) -> bool:
    """Whether an index of this schema can be used, as it is or after an upgrade; a new file has 0."""
    return schema in (0, *_UPGRADES, SCHEMA_VERSION)


def _execute(connection: sqlite3.Connection, script: str) -> None:
    """Execute statements one by one: `executescript` would end the transaction around them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def version(connection: sqlite3.Connection) -> int:
    """The schema of an index; 0 for a new file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
