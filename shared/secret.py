"""Secrets that may be given as a value or as the path of a file that holds it."""

from __future__ import annotations

import time
from pathlib import Path

REREAD_AFTER = 30.0
"""Seconds for which a secret file's contents are trusted: mounted secrets change without a new modification time."""


class SecretSource:
    """A secret that may be rotated while the process runs."""

    def __init__(self, given: str) -> None:
        self._file = Path(given) if given.startswith("/") else None
        self._value = "" if self._file else given.strip()
        self._read_at = float("-inf")

    def value(self) -> str:
        """The secret as it is now; empty where there is none. Raises OSError where its file cannot be read."""
        if self._file and time.monotonic() - self._read_at >= REREAD_AFTER:
            self.reread()
        return self._value

    def reread(self) -> None:
        """Read the file again now: what to do when the secret has just been refused."""
        if self._file:
            self._value = self._file.read_text().strip()
            self._read_at = time.monotonic()
