"""The emulator's parts, put together over one data folder."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

from file_search_emulator.aside import set_aside, set_aside_if_unreadable
from file_search_emulator.blobs import Blobs
from file_search_emulator.database import FILE, Database
from file_search_emulator.faults import Faults, Rules
from file_search_emulator.files import forget_expired
from file_search_emulator.generation import Generator
from file_search_emulator.indexing import Indexer
from file_search_emulator.reanalysis import announce, outdated
from file_search_emulator.seed import SeedError, Start
from file_search_emulator.uploads import Uploads

_INDEXED_WITHIN = 600.0  # seconds, for a seed


class Emulator:
    """Stores, documents and answers in one folder, which other processes may use at the same time.

    Making one opens nothing. `indexing_delay` is how many seconds a document stays PENDING at least; `storage_limit` is
    how many bytes all documents may have together; `seed` is a file with what it starts from.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        indexing_delay: float = 0.0,
        storage_limit: int | None = None,
        seed: Path | None = None,
    ) -> None:
        self.indexing_delay = indexing_delay
        self.storage_limit = storage_limit
        self.faults = Faults()
        self._data_dir = data_dir
        self.database = database_of(data_dir)
        self.blobs = Blobs(data_dir / "blobs")
        self.uploads = Uploads(self.database, self.blobs)
        self.indexer = Indexer(self.database, self.blobs)
        self.generator = Generator(self.database)
        self.is_open = False
        self._start = Start(self.database, self.blobs, seed)
        self._seed = seed
        self._lock = threading.Lock()

    def open(self) -> None:
        """Before the first request: remove what stopped processes left, and go on with what they had begun."""
        with self._lock:
            if not self.is_open:
                self.uploads.sweep()
                with self.database.write() as connection:
                    forget_expired(connection)
                    announce(connection)
                self._remove_useless_blobs()
                self.indexer.kick()
                self.is_open = True

    def set_aside_if_unreadable(self) -> None:
        """Move an index of a newer schema aside, before anything is opened, and so start empty.

        Only for those who keep the documents elsewhere. Raises OtherVersion while another process uses that index.
        """
        set_aside_if_unreadable(self._data_dir)

    def notice(self) -> str | None:
        """What an operator should know of the index after an upgrade, in a sentence; None where there is nothing."""
        try:
            with self.database.read() as connection:
                count = outdated(connection)
        except sqlite3.Error:
            return None  # every request says so
        if count:
            return f"{count} documents were indexed by another version. They answer, and are being analysed again."
        if folders := set_aside(self._data_dir):
            return (
                f"An index of another version was moved to {folders[-1]}. Delete that folder if you will not run that"
                " version again."
            )
        return None

    def start_from_seed(self) -> None:
        """Put the seed in the place of what is in the folder, and wait until it is searchable.

        Raises SeedError, also where the folder holds an index that was not made from a seed: nobody's documents shall
        be lost by starting a test.
        """
        if not self._start.is_seeded():
            raise SeedError("The data folder holds an index that was not made from a seed: choose another folder.")
        self.reset()

    def reset(self) -> None:
        """Back to the seed, or to nothing where there is none; returns when all is indexed. Raises SeedError."""
        self.faults.set(Rules())
        self._start.restore()
        self._remove_useless_blobs()
        self.indexer.kick()
        deadline = time.monotonic() + _INDEXED_WITHIN
        while self._is_anything_pending():
            if time.monotonic() > deadline:
                raise SeedError(f"The seed's documents are not all indexed within {_INDEXED_WITHIN:.0f} seconds.")
            time.sleep(0.02)

    async def close(self) -> None:
        """Stop its thread and its child process, and close its connections; another request opens it again."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.indexer.close()
        self.database.close()
        self.is_open = False

    def _is_anything_pending(self) -> bool:
        with self.database.read() as connection:
            return connection.execute("SELECT 1 FROM documents WHERE state = 'PENDING'").fetchone() is not None

    def _remove_useless_blobs(self) -> None:
        present = set(self.blobs.present())  # before the rest is looked up: what comes later is wanted
        with self.database.write() as connection:
            rows = connection.execute(
                """SELECT id AS blob FROM uploads UNION SELECT blob FROM files
                UNION SELECT blob FROM documents WHERE state = 'PENDING' OR mime_type LIKE 'image/%'"""
            ).fetchall()
        self.blobs.remove(*present - {row["blob"] for row in rows})


def database_of(data_dir: Path) -> Database:
    """The database in a data folder, not opened yet."""
    return Database(data_dir / FILE)
