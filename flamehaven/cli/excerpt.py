"""Which part of a source's passage to show: the sentence that answers, and what stands around it."""

from __future__ import annotations

import re
from typing import NamedTuple

ROOM = 300
"""How many characters of a passage are shown, the sentence that answers included."""
LONGEST = 600
"""How many characters of that sentence are shown at most: some passages are one long line."""
_WORD = re.compile(r"\w+")


class Excerpt(NamedTuple):
    """A part of a passage in three pieces.

    `answers` is empty where no sentence has a word of the answer, and where the passage is nothing but that sentence.
    """

    before: str
    answers: str
    after: str


def excerpt(passage: str, answer: str) -> Excerpt:
    """The part of `passage` around the sentence that has most in common with `answer`, the text that cites it."""
    start, end = _best(passage, answer)
    answers = _joined(passage[start:end])
    if answers == _joined(passage):
        return Excerpt(_cut_end(answers, LONGEST), "", "")
    if len(answers) > LONGEST:
        answers = _cut_end(answers, LONGEST)
    before, after = _joined(passage[:start]), _joined(passage[end:])
    room = max(0, ROOM - len(answers))
    ahead = min(len(before), max(room // 2, room - len(after)))
    before, after = _cut_start(before, ahead), _cut_end(after, room - ahead)
    return Excerpt(f"{before} " if before and answers else before, answers, f" {after}" if after and answers else after)


def _best(passage: str, answer: str) -> tuple[int, int]:
    """Where the sentence is that shares most words with the answer; the empty start where none shares any."""
    from file_search_emulator.sentences import sentences

    wanted = _words(answer)

    def likeness(span: tuple[int, int]) -> float:
        words = _words(passage[span[0] : span[1]])
        return 2 * len(words & wanted) / max(1, len(words) + len(wanted))

    best = max(sentences(passage), key=likeness, default=(0, 0))
    return best if likeness(best) else (0, 0)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _joined(text: str) -> str:
    return " ".join(text.split())


def _cut_end(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    return f"{text[:room].rpartition(' ')[0] or text[:room]}…"


def _cut_start(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    kept = text[len(text) - room :]
    return f"…{kept.partition(' ')[2] or kept}"
