"""Bytes that were uploaded, in a folder beside the database: one file for each, by an id that is never used again."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path


class Blobs:
    """The files of one folder, which is made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, blob: str) -> Path:
        """Where the bytes of a blob are."""
        return self._folder / blob

    def write(self, blob: str, offset: int, data: bytes) -> None:
        """Put bytes into their place: what is sent again overwrites itself."""
        with os.fdopen(self._open(blob), "wb") as file:
            file.seek(offset)
            file.write(data)

    def end(self, blob: str, size: int) -> None:
        """Cut a blob to its size, and keep it even if the machine loses its power."""
        descriptor = self._open(blob)
        try:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def put(self, data: bytes) -> str:
        """Keep bytes as a new blob; returns its id."""
        blob = new_blob()
        self.write(blob, 0, data)
        self.end(blob, len(data))
        return blob

    def copy(self, blob: str) -> str:
        """A second blob of the same bytes, which takes no room where the file system can share them."""
        copied = new_blob()
        try:
            os.link(self.path(blob), self.path(copied))
        except OSError:
            shutil.copyfile(self.path(blob), self.path(copied))
        return copied

    def remove(self, *blobs: str) -> None:
        """Remove blobs that nothing refers to any more."""
        for blob in blobs:
            self.path(blob).unlink(missing_ok=True)

    def present(self) -> Iterable[str]:
        """The ids of all blobs."""
        return [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []

    def _open(self, blob: str) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        return os.open(self.path(blob), os.O_WRONLY | os.O_CREAT, 0o600)


def new_blob() -> str:
    """An id that nobody can guess: whoever knows that of an upload may go on with it."""
    return secrets.token_urlsafe(32)
