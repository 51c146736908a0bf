"""Plain text, logs and source code."""

from __future__ import annotations

from pathlib import Path

from file_search_emulator.parsing.decoding import decode
from file_search_emulator.parsing.section import Section


def read(path: Path) -> list[Section]:
    """The whole text as one section."""
    return [Section(decode(path.read_bytes()))]
