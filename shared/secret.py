"""Secrets that may be given as a value or as the path of a file that holds it."""

from __future__ import annotations

import re
import time
from pathlib import Path

REREAD_AFTER = 30.0
"""Seconds for which a secret file's contents are trusted: mounted secrets change without a new modification time."""
OUTLASTS = 60.0
"""Seconds for which a secret outlasts its file: while one is replaced, it may be missing or empty for a moment."""

_KEY = re.compile(r"(sk_live_\w{12}|sk_admin_)\w+")


def without_keys(text: str) -> str:
    """A text for the log; of each API key in it only the part stays by which its owner recognises it."""
    return _KEY.sub(r"\1", text)


def file_of(given: str) -> Path | None:
    """The file that a secret was given as; None where it was given as its value."""
    return Path(given) if given.startswith("/") else None


class SecretSource:
    """A secret that may be rotated while the process runs."""

    def __init__(self, given: str) -> None:
        self._file = file_of(given)
        self._value = "" if self._file else given.strip()
        self._read_at = self._found_at = float("-inf")

    def value(self) -> str:
        """The secret as it is now; empty where there is none. Raises OSError where its file cannot be read."""
        if self._file and time.monotonic() - self._read_at >= REREAD_AFTER:
            self.reread()
        return self._value

    def reread(self) -> str:
        """The secret after its file was read again now: what to do when it has just been refused. Raises OSError."""
        if self._file is None:
            return self._value
        now = time.monotonic()
        outlasts = now - self._found_at < OUTLASTS
        try:
            found = self._file.read_text().strip()
        except OSError:
            if not outlasts:
                raise
            found = ""
        if found or not outlasts:
            self._value = found
        self._found_at = now if found else self._found_at
        self._read_at = now
        return self._value
