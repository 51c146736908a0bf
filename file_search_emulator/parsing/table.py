"""CSV and TSV files."""

from __future__ import annotations

import csv
import io
from typing import BinaryIO

from file_search_emulator.parsing.decoding import decode
from file_search_emulator.parsing.rows import lines
from file_search_emulator.parsing.section import Section

_DELIMITERS = ",;\t|"


def read(file: BinaryIO) -> list[Section]:
    """All rows as one section, each with the names of its columns."""
    text = decode(file.read())
    csv.field_size_limit(len(text) + 1)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    return [Section("\n".join(lines(rows)))]


def _delimiter(text: str) -> str:
    """The candidate that is most frequent in the first line; a comma when there is none."""
    first = text.lstrip().partition("\n")[0][:10_000]
    return max(_DELIMITERS, key=first.count)
