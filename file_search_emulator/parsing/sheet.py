"""Workbooks (XLSX): the values of every sheet, row by row."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import openpyxl
from openpyxl.cell.read_only import ReadOnlyCell
from openpyxl.worksheet._reader import WorkSheetParser

from file_search_emulator.parsing import office
from file_search_emulator.parsing.rows import lines
from file_search_emulator.parsing.section import ParseError, Section

_MOST_ROWS = 1 << 20  # of a sheet in Excel
_CURRENCY = re.compile(r"[€$£¥]|\b(?:EUR|USD|GBP|CHF|JPY)\b")


def read(file: BinaryIO) -> list[Section]:
    """One section for each sheet, under its name; formulas as the values they had when the file was saved."""
    office.check(file)
    workbook = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    try:
        return [
            Section("\n".join(lines(_rows(sheet))), heading=sheet.title)
            for sheet in workbook.worksheets
            if sheet.sheet_state == "visible"
        ]
    finally:
        workbook.close()


def _rows(sheet: Any) -> Iterator[dict[int, str]]:
    """The texts of each row by their columns.

    openpyxl's own walk over the rows fills them up from the first column to the last that is used, of which a sheet may
    have 16,384, and makes a row of each number that is left out.
    """
    book = sheet.parent
    with sheet._get_source() as source:
        parser = WorkSheetParser(
            source,
            sheet._shared_strings,
            data_only=True,
            epoch=book.epoch,
            date_formats=book._date_formats,
            timedelta_formats=book._timedelta_formats,
        )
        for number, cells in parser.parse():
            if number > _MOST_ROWS:
                raise ParseError("A sheet claims to have more rows than any program makes: save the file anew.")
            yield {cell["column"] - 1: _text(ReadOnlyCell(sheet, **cell)) for cell in cells}


def _text(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, int | float):
        return _number(value, cell.number_format)
    return str(value)


def _number(value: float, number_format: str) -> str:
    if "%" in number_format:
        return f"{round(value * 100, 4):.10g}%"
    currency = _CURRENCY.search(number_format)
    text = str(int(value)) if float(value).is_integer() else f"{value:.10g}"
    return f"{text} {currency.group()}" if currency else text
