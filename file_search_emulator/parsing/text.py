"""Plain text, logs and source code."""

from __future__ import annotations

from typing import BinaryIO

from file_search_emulator.parsing.decoding import decode
from file_search_emulator.parsing.section import Section


def read(file: BinaryIO) -> list[Section]:
    """The whole text as one section."""
    return [Section(decode(file.read()))]
