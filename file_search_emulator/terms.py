"""Texts and questions as the terms by which a search finds one for the other.

Scripts without spaces between words are indexed as overlapping pairs of characters, as Lucene's CJK analyser does, and
each character for itself, so that a word of one character is found. Korean has spaces, but joins its particles to the
words: it is indexed in pairs as well.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from importlib.resources import files
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from file_search_emulator.remembering import remembering
from file_search_emulator.sentences import UNSPACED, fold, terms_of_word, words

POSTING = np.dtype([("term", "<u4"), ("count", "u1")])
"""A term of a chunk: its key, and how often it stands there."""
_TITLE_WEIGHT = 2
_IN_PAIRS = re.compile(f"[{UNSPACED}\uac00-\ud7a3]+")
_MOST_TERMS = 256
"""Of a question: what is longer is a text, and costs time."""


def postings(title: str, text: str) -> tuple[NDArray[np.void], int]:
    """Each term of a chunk with its count, where one in the title counts twice, and the number of all its terms."""
    above = [key for word in words(title) for key in _held(word)]
    below = [key for word in words(text) for key in _held(word)]
    counts = Counter(below + _TITLE_WEIGHT * above)
    found = np.empty(len(counts), POSTING)
    found["term"] = list(counts.keys())
    found["count"] = np.minimum(list(counts.values()), 255) if counts else []
    return found, len(above) + len(below)


def asked_for(question: str) -> list[int]:
    """The keys of the terms to look for; one that is repeated counts as often.

    Stop words are left out, unless there is nothing else.
    """
    asked = words(question)
    telling = [word for word in asked if fold(word) not in _stop_words()] or asked
    return [key for word in telling for key in _wanted(word)][:_MOST_TERMS]


def keys_of(word: str) -> list[int]:
    """The keys of the terms that a chunk which holds this word has; of an identifier the whole of it first."""
    return [key for found in words(word) for key in _wanted(found)]


@remembering
def _held(word: str) -> tuple[int, ...]:
    """The keys of the terms that a chunk with this word has."""
    if _IN_PAIRS.fullmatch(word):
        return tuple(map(_key, (*_pairs(word), *word)))
    return tuple(map(_key, terms_of_word(word)))


def _wanted(word: str) -> tuple[int, ...]:
    """The keys of the terms that a question with this word asks for."""
    return tuple(map(_key, _pairs(word) or word)) if _IN_PAIRS.fullmatch(word) else _held(word)


def _key(term: str) -> int:
    """A term's number in the index. Two terms in a hundred thousand share theirs, which does no harm."""
    return crc32(term.encode())


def _pairs(run: str) -> list[str]:
    return [run[index : index + 2] for index in range(len(run) - 1)]


@cache
def _stop_words() -> frozenset[str]:
    text = files("file_search_emulator").joinpath("stop_words.txt").read_text()
    return frozenset(part for word in text.split() for part in (word, *words(word)))
