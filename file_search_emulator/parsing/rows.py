"""Tables as lines of text in which every fact names its column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_NUMERIC = re.compile(r"^[^\w]*\d[\d.,: %/-]*\D{0,4}$")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class _Row:
    """The texts of a row by their columns, without those that are empty, and how many columns it has."""

    width: int
    cells: Mapping[int, str]


def lines(rows: Iterable[Sequence[str] | Mapping[int, str]], header: bool | None = None) -> Iterator[str]:
    """A table's rows as `Plan: Basic | Price: 10 EUR`, one line for each row that is not empty.

    A row is all of its cells, or those that there are by their columns. The first row that is not empty names the
    columns. Whether it really does is decided by its look, unless `header` says so; without names the cells stand side
    by side.
    """
    filled = (row for row in map(_row, rows) if row.cells)
    first = next(filled, None)
    if first is None:
        return
    second = next(filled, None)
    if second is None:
        yield " | ".join(_texts(first))
        return
    named = _names_columns(first, second) if header is None else header
    if not named:
        yield _line(first, {})
    names = first.cells if named else {}
    yield _line(second, names)
    for row in filled:
        yield _line(row, names)


def _row(row: Sequence[str] | Mapping[int, str]) -> _Row:
    cells = row if isinstance(row, Mapping) else dict(enumerate(row))
    cleaned = ((column, _SPACE.sub(" ", cells[column]).strip()) for column in sorted(cells))
    return _Row(max(cells, default=-1) + 1, {column: text for column, text in cleaned if text})


def _texts(row: _Row) -> Iterable[str]:
    return row.cells.values()


def _names_columns(first: _Row, second: _Row) -> bool:
    if any(map(_NUMERIC.match, _texts(first))) or len(set(_texts(first))) < len(first.cells):
        return False
    if first.width > 2:
        return len(first.cells) > 1
    return any(map(_NUMERIC.match, _texts(second)))


def _line(row: _Row, names: Mapping[int, str]) -> str:
    if names:
        named = ((names.get(column, "").rstrip(":"), text) for column, text in row.cells.items())
        return " | ".join(f"{name}: {text}" if name else text for name, text in named)
    label = row.cells.get(0, "")
    return (": " if row.width == 2 and label and not label.endswith(":") else " | ").join(_texts(row))
