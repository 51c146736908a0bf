"""Tables as lines of text in which every fact names its column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_NUMERIC = re.compile(r"^[^\w]*\d[\d.,: %/-]*\D{0,4}$")
_SPACE = re.compile(r"\s+")


def lines(rows: Iterable[Sequence[str]], header: bool | None = None) -> Iterator[str]:
    """A table's rows as `Plan: Basic | Price: 10 EUR`, one line for each row that is not empty.

    The first row that is not empty names the columns. Whether it really does is decided by its look, unless `header`
    says so; without names the cells stand side by side.
    """
    cleaned = ([_SPACE.sub(" ", cell).strip() for cell in row] for row in rows)
    filled = (row for row in cleaned if any(row))
    first = next(filled, None)
    if first is None:
        return
    second = next(filled, None)
    if second is None:
        yield " | ".join(filter(None, first))
        return
    named = _names_columns(first, second) if header is None else header
    if not named:
        yield _line(first, [])
    names = first if named else []
    yield _line(second, names)
    for row in filled:
        yield _line(row, names)


def _names_columns(first: Sequence[str], second: Sequence[str]) -> bool:
    if any(_NUMERIC.match(cell) for cell in first) or len(set(filter(None, first))) < len(list(filter(None, first))):
        return False
    if len(first) > 2:
        return sum(map(bool, first)) > 1
    return any(_NUMERIC.match(cell) for cell in second)


def _line(row: Sequence[str], names: Sequence[str]) -> str:
    if not names:
        return (": " if len(row) == 2 and row[0] and not row[0].endswith(":") else " | ").join(filter(None, row))
    cells = []
    for index, cell in enumerate(row):
        if cell:
            name = names[index].rstrip(":") if index < len(names) else ""
            cells.append(f"{name}: {cell}" if name else cell)
    return " | ".join(cells)
