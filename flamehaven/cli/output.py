"""Printing: results on standard output, everything else on standard error; colours and tables on terminals only."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_OF_LINES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
"""Control characters, which may be in names and documents, as text: a terminal would obey them."""
_OF_TEXT = {code: escape for code, escape in _OF_LINES.items() if chr(code) not in "\t\n"}


def print_json(document: Any) -> None:
    """Print a JSON document, in UTF-8 whatever the terminal's encoding."""
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    sys.stdout.buffer.write(text.encode(errors="backslashreplace"))  # as JSON too writes what is no text
    sys.stdout.flush()


def say(text: str, *, indent: int = 0, style: str = "") -> None:
    """Print a text: on a terminal wrapped between words, else each of its lines as it is."""
    text = printable(text)
    if on_terminal():
        from rich.padding import Padding
        from rich.text import Text

        console().print(Padding(Text(text, style), (0, 0, 0, indent), expand=False))
    else:
        print("\n".join(" " * indent + line for line in text.split("\n")), flush=True)


def say_marked(before: str, marked: str, after: str, *, indent: int = 0) -> None:
    """Print a text of which a part is marked: bold on a terminal, between ** else."""
    if on_terminal():
        from rich.padding import Padding
        from rich.text import Text

        text = Text.assemble(printable(before), (printable(marked), "bold"), printable(after))
        console().print(Padding(text, (0, 0, 0, indent), expand=False))
    else:
        say(f"{before}**{marked}**{after}" if marked else before + after, indent=indent)


def printable(text: str) -> str:
    """A text without what a terminal would obey."""
    return text.translate(_OF_TEXT)


def complain(text: str) -> None:
    """Print one line about a failure on standard error."""
    print(f"flamehaven: {text.translate(_OF_LINES)}", file=sys.stderr, flush=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows: on a terminal as a table with a head, else as lines of cells between tabs."""
    cells = [["" if cell is None else str(cell).translate(_OF_LINES) for cell in row] for row in rows]
    if not on_terminal():
        print("".join("\t".join(row) + "\n" for row in cells), end="", flush=True)
        return
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[position], int) for row in rows)
        shown.add_column(column, overflow="fold", justify="right" if numeric else "left")
    for row in cells:
        shown.add_row(*(Text(cell) for cell in row))
    console().print(shown)


def on_terminal() -> bool:
    """Whether standard output is a terminal that can be written over."""
    return sys.stdout.isatty() and not console().is_dumb_terminal


def console() -> Console:
    """Standard output as rich writes to it."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show on standard error, where that is a terminal, that something is going on."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield
