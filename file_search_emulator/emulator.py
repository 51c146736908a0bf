"""The emulator's parts, put together over one data folder."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from file_search_emulator.database import Database
from file_search_emulator.generation import Generator
from file_search_emulator.indexing import Indexer
from file_search_emulator.uploads import Uploads


class Emulator:
    """Stores, documents and answers in one folder, which other processes may use at the same time.

    Making one opens nothing. `always_ground` sends what was retrieved also with questions that it does not answer, to
    measure retrieval.
    """

    def __init__(self, data_dir: Path, *, always_ground: bool = False) -> None:
        self.database = database_of(data_dir)
        self.uploads = Uploads(self.database, data_dir / "uploads")
        self.indexer = Indexer(self.database, self.uploads)
        self.generator = Generator(self.database, always_ground=always_ground)
        self.is_open = False
        self._lock = threading.Lock()

    def open(self) -> None:
        """Before the first request: remove what stopped processes left, and go on with what they had begun."""
        with self._lock:
            if not self.is_open:
                self.uploads.sweep()
                self.indexer.kick()
                self.is_open = True

    async def close(self) -> None:
        """Stop its thread and its child process, and close its connections; another request opens it again."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.indexer.close()
        self.database.close()
        self.is_open = False


def database_of(data_dir: Path) -> Database:
    """The database in a data folder, not opened yet."""
    return Database(data_dir / "index.sqlite3")
