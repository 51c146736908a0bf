"""Moving an index that this version cannot read into a folder of its own, where its documents can be indexed again."""

from __future__ import annotations

import fcntl
import logging
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import count
from pathlib import Path

from file_search_emulator.database import FILE, OtherVersion, is_readable, version

_FOLDER = "set-aside-schema-"

logger = logging.getLogger(__name__)


def set_aside_if_unreadable(data_dir: Path) -> None:
    """Move an index of a newer or unknown schema aside, with its blobs; of several processes, one does.

    Only for those who keep the documents elsewhere: the emulator then starts empty. Raises OtherVersion while
    another process uses that index.
    """
    path = data_dir / FILE
    if not path.exists():
        return
    with (data_dir / ".upgrade.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            return
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            schema = version(connection)
            if is_readable(schema):
                return
            # So that the one file holds everything: what is in the write-ahead log would stay behind.
            try:
                connection.execute("PRAGMA journal_mode = DELETE")
            except sqlite3.OperationalError as error:
                raise OtherVersion(f"Another version of this program uses the index {path}: stop it first.") from error
        # The index moves last: if this is interrupted before, the next start does the rest.
        parts = [part for part in (data_dir / "blobs", path) if part.exists()]
        folder = _folder(data_dir, schema, parts)
        folder.mkdir(exist_ok=True)
        for part in parts:
            part.rename(folder / part.name)
    logger.warning(
        "The index was made by another version (schema %d) and is now in %s. The documents are indexed again.",
        schema,
        folder,
    )


def set_aside(data_dir: Path) -> list[Path]:
    """The folders with indexes that were moved aside and not deleted yet."""
    return sorted(data_dir.glob(f"{_FOLDER}*"))


def _folder(data_dir: Path, schema: int, parts: Iterable[Path]) -> Path:
    """A folder that has none of the parts; one that was begun is used again."""
    names = (f"{_FOLDER}{schema}{f'-{number}' if number > 1 else ''}" for number in count(1))
    folders = (data_dir / name for name in names)
    return next(folder for folder in folders if not any((folder / part.name).exists() for part in parts))
