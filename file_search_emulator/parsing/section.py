"""What every parser gives back, and the one error it raises."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A stretch of a document's text that lies on one page (or slide, from 1) and under one heading (or sheet)."""

    text: str
    page: int | None = None
    heading: str | None = None


class ParseError(Exception):
    """The file cannot become text; the message says to its owner why, and what to do."""
