"""Texts and questions as FTS5 indexes and finds them.

FTS5 splits at spaces. Scripts that have none between words are indexed as overlapping pairs of characters, as Lucene's
CJK analyser does, and each run's last character, so that a single character is found by the beginning of a term.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.resources import files

from file_search_emulator.sentences import UNSPACED

_HANGUL = "\uac00-\ud7a3"
"""Korean has spaces, but joins its particles to the words."""
_RUN = re.compile(f"[{UNSPACED}{_HANGUL}]+")
_MOST_TERMS = 256
"""Of a question: what is longer is a text, and costs time."""


def indexed_text(text: str) -> str:
    """A text as FTS5 shall read it: in Unicode's normal form KC, with pairs for words where there are no spaces."""
    return _RUN.sub(lambda run: f" {' '.join(_pairs(run.group()))} ", unicodedata.normalize("NFKC", text))


def match_any(question: str) -> str:
    """An FTS5 query for chunks with any word of a question, or "" where it has none.

    A word counts as often as it is repeated. What is joined by punctuation (`retry_policy`, `E-12.4`) is looked for
    whole and in its parts. Stop words are left out, unless there is nothing else.
    """
    words = _words(question)
    telling = [word for word in words if word not in _stop_words()] or words
    return " OR ".join(map(match_word, telling[:_MOST_TERMS]))


def match_word(word: str) -> str:
    """An FTS5 query for a word, for the parts of one in this order, or for a character of a script without spaces."""
    begins = "*" if len(word) == 1 and _RUN.match(word) else ""
    return f'"{" ".join(_parts(word))}"{begins}'


def _words(question: str) -> list[str]:
    found = []
    for spaced in unicodedata.normalize("NFKC", question).casefold().split():
        for run in _RUN.findall(spaced):
            found += _pairs(run)[:-1] or [run]
        parts = _parts(_RUN.sub(" ", spaced))
        if len(parts) > 1 and not _RUN.search(spaced):
            found.append(" ".join(parts))
        found += parts
    return found


def _parts(text: str) -> list[str]:
    """The runs of letters, marks and digits: what FTS5's tokenizer finds in a text."""
    return "".join(letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in text).split()


def _pairs(run: str) -> list[str]:
    return [run[index : index + 2] for index in range(len(run))]


@cache
def _stop_words() -> frozenset[str]:
    text = files("file_search_emulator").joinpath("stop_words.txt").read_text()
    return frozenset(part for word in text.split() for part in (word, *_parts(word)))
