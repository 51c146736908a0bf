"""Jupyter notebooks: the source of their cells."""

from __future__ import annotations

import json
from typing import BinaryIO

from file_search_emulator.parsing.decoding import decode
from file_search_emulator.parsing.section import ParseError, Section


def read(file: BinaryIO) -> list[Section]:
    """One section of all cells, text and code, without their outputs."""
    try:
        cells = json.loads(decode(file.read()))["cells"]
        sources = ["".join(cell["source"]) for cell in cells]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ParseError("The notebook is damaged: open it in Jupyter, save it again, and upload the copy.") from None
    return [Section("\n\n".join(sources))]
