"""Sections into chunks of bounded size, broken where a reader would break them."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from file_search_emulator.parsing import Section
from file_search_emulator.sentences import UNSPACED, sentences

_TOKEN = re.compile(rf"[^\s{UNSPACED}]{{1,40}}|[{UNSPACED}]{{1,2}}")


@dataclass(frozen=True)
class Chunk:
    """A piece of a document that is indexed and retrieved as one."""

    text: str
    page: int | None
    heading: str | None


def split(sections: Iterable[Section], max_tokens: int = 200, overlap: int = 20) -> Iterator[Chunk]:
    """Cut sections into chunks that never cross a section, preferably between sentences.

    `max_tokens` and `overlap` count tokens: words between white space (a long one as one for each 40 characters), and
    in scripts without spaces each pair of characters. Neighbours share at most `overlap` tokens, and never more than a
    quarter of a chunk, in whole sentences where they fit. Each text is a verbatim slice of its section.
    Raises ValueError for a size below 1 or a negative overlap.
    """
    if max_tokens < 1 or overlap < 0:
        raise ValueError("max_tokens must be at least 1 and overlap at least 0")
    return (
        Chunk(text, section.page, section.heading)
        for section in sections
        for text in _slices(section.text, max_tokens, min(overlap, max_tokens // 4))
    )


def _slices(text: str, max_tokens: int, overlap: int) -> Iterator[str]:
    position = 0
    while True:
        tokens = [match.span() for match in islice(_TOKEN.finditer(text, position), max_tokens + 1)]
        if len(tokens) <= max_tokens:
            if tokens:
                yield text[tokens[0][0] : tokens[-1][1]]
            return
        smallest = max_tokens // 2 + 1
        starts = _sentence_starts(text, tokens, smallest - overlap)
        size = _break_before(starts, smallest, max_tokens) or max_tokens
        yield text[tokens[0][0] : tokens[size - 1][1]]
        again = _break_after(starts, size - overlap, size)
        position = tokens[again][0]


def _sentence_starts(text: str, tokens: list[tuple[int, int]], low: int) -> list[int]:
    """The indices of the tokens after `low` that begin a sentence."""
    base = tokens[low][0]
    token_starts = [start - base for start, _ in tokens]
    spans = sentences(text[base : tokens[-1][1]])[1:]
    return [bisect_left(token_starts, start) for start, _ in spans]


def _break_before(starts: list[int], low: int, high: int) -> int | None:
    return next((index for index in reversed(starts) if low <= index <= high), None)


def _break_after(starts: list[int], low: int, high: int) -> int:
    return next((index for index in starts if low <= index <= high), low)
