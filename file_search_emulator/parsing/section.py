"""What every parser gives back, and the one error it raises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Section:
    """A stretch of a document's text that lies on one page (or slide, from 1) and under one heading (or sheet)."""

    text: str
    page: int | None = None
    heading: str | None = None


def pieces(section: Section, longest: int) -> Iterator[Section]:
    """A section as sections of at most `longest` characters, which together are the same text.

    It is cut after a paragraph where there is one to cut after, else after a line, else after a word.
    """
    start = 0
    while len(section.text) - start > longest:
        cuts = (_after(section.text, mark, start, start + longest) for mark in _CUTS)
        end = next(filter(None, cuts), start + longest)
        yield replace(section, text=section.text[start:end])
        start = end
    yield replace(section, text=section.text[start:]) if start else section


_CUTS = ("\n\n", "\n", " ")


def _after(text: str, mark: str, start: int, end: int) -> int | None:
    """The place behind the last `mark` in the second half of a range."""
    found = text.rfind(mark, (start + end) // 2, end)
    return found + len(mark) if found >= 0 else None


class ParseError(Exception):
    """The file cannot become text; the message says to its owner why, and what to do."""


class TookTooLong(ParseError):
    """The file was not read within the time that it was given."""
