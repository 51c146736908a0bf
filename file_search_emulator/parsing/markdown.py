"""Markdown files, by heading."""

from __future__ import annotations

import re
from typing import BinaryIO

from file_search_emulator.parsing.decoding import decode
from file_search_emulator.parsing.outline import Outline
from file_search_emulator.parsing.rows import lines
from file_search_emulator.parsing.section import Section

_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_CLOSING = re.compile(r"(?:^|\s)#+$")
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_ROW = re.compile(r"^\s*\|(.*)\|\s*$")
_RULE = re.compile(r"^\s*\|(?:\s*:?-+:?\s*\|)+\s*$")
_CELL_END = re.compile(r"(?<!\\)\|")


def read(file: BinaryIO) -> list[Section]:
    """One section for each heading; tables as rows that name their columns, all else as it was written."""
    outline = Outline()
    table: list[list[str]] = []
    fenced = False
    for line in decode(file.read()).split("\n"):
        fenced ^= _FENCE.match(line) is not None
        if not fenced and (row := _ROW.match(line)):
            if not _RULE.match(line):
                table.append(_CELL_END.split(row.group(1)))
            continue
        if table:
            outline.add("\n".join(lines(table, header=True)))
            table = []
        if not fenced and (heading := _HEADING.match(line)):
            outline.head(_CLOSING.sub("", heading.group(2).rstrip()), len(heading.group(1)))
        else:
            outline.add(line)
    if table:
        outline.add("\n".join(lines(table, header=True)))
    return outline.sections()
