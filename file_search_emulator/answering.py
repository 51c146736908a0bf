"""Answers made of the documents' own sentences, or none.

A sentence answers a question when it, with what stands around it, speaks of nearly all that the question asks about,
each word weighing more the rarer it is in the searched documents, and when it holds the kind of thing that is asked
for: an amount, a time, a price. What is merely on the same topic lacks a rare word, and is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from file_search_emulator.embedding import embed
from file_search_emulator.questions import Question, Term, understand
from file_search_emulator.sentences import fold, sentences, terms, terms_of_word, words

_ANSWERS = 0.62
"""The share of a question's weight that must be spoken of; found on the development half of benchmarks/answers."""
_MOST_QUOTES = 4
_ALSO_ANSWERS = 0.85
"""A further sentence is quoted when it is this good, compared with the best."""
_SAME = 0.75
"""Two sentences are one when they share this much of the smaller one's terms."""
_NEIGHBOUR, _FRAME, _PASSAGE = 0.7, 0.9, 0.3
"""What a word counts that is not in the sentence but beside it, above it, or elsewhere in its passage."""
_ONLY_COLUMNS = 0.7
"""What a table's row is worth when only the names of its columns are spoken of."""
_MISSING = 0.85
"""What anything is worth that does not speak of a name in the question, or of what narrows it down."""
_SIMILAR = (0.42, 0.68)
"""Cosines of two words' embeddings from which on they are alike at all, and as good as the same."""
_RAREST = 1 / 64
_MOST_KNOWN = 10_000
_known: dict[str, NDArray[np.float32]] = {}  # embeddings of words; at most about _MOST_KNOWN
_ITEM = re.compile(r"(?:[-*•‣◦▪–—]|\(?\d{1,3}[.)]|[a-z][.)])\s")  # noqa: RUF001 (dashes that begin list items)
_FIELD = re.compile(r"[^.!?。]{1,40}[:：]\s?\S")  # noqa: RUF001 (full-width colon)
_HEADING = re.compile(r"#{1,6}\s.*|(?![-*•|])[^\d\n:|。]{2,60}(?<![.!?,;:。！？])$")  # noqa: RUF001


@dataclass(frozen=True)
class Passage:
    """A retrieved chunk, its document's title, and how well it was found (higher is better)."""

    text: str
    title: str
    score: float


@dataclass(frozen=True)
class Quote:
    """A sentence of the answer, and the index of the passage it stands in."""

    text: str
    """Verbatim but for white space: every run of it is one space."""
    passage: int


@dataclass(frozen=True)
class _Sentence:
    text: str
    passage: int
    place: int
    terms: frozenset[str]
    coverage: float
    score: float


def answer(question: str, passages: Sequence[Passage], document_frequency: Callable[[str], float]) -> list[Quote]:
    """The one to four sentences that answer a question, or none where the passages do not answer it.

    `passages` come best first. `document_frequency` gives the share (0 to 1) of the searched chunks that hold a word;
    it is asked for words with folded case and without accents, not stemmed, and for pairs of characters in scripts
    without spaces. Quotes come in the order of their passages and of the text. Deterministic.
    """
    asked = understand(question)
    if not asked.terms or not passages:
        return []
    weights = [term.importance * _rarity(term, document_frequency) for term in asked.terms]
    found = [one for one in _Reading(asked, weights).sentences(passages) if one.coverage >= _ANSWERS]
    chosen = _choose(sorted(found, key=lambda one: (-one.score, one.passage, one.place)))
    return [Quote(one.text, one.passage) for one in sorted(chosen, key=lambda one: (one.passage, one.place))]


def _rarity(term: Term, document_frequency: Callable[[str], float]) -> float:
    """From 0.4 for a word that every chunk holds to 1 for one that none does."""
    asked = term.keys if term.unspaced else (fold(term.word),)
    share = sum(map(document_frequency, asked)) / len(asked)
    return 0.4 + 0.6 * math.log(max(share, _RAREST)) / math.log(_RAREST)


def _choose(ranked: Iterable[_Sentence]) -> list[_Sentence]:
    chosen: list[_Sentence] = []
    for found in ranked:
        if len(chosen) == _MOST_QUOTES or (chosen and found.score < chosen[0].score * _ALSO_ANSWERS):
            break
        if not any(_is_same(found, other) for other in chosen):
            chosen.append(found)
    return chosen


def _is_same(one: _Sentence, other: _Sentence) -> bool:
    return len(one.terms & other.terms) >= _SAME * min(len(one.terms), len(other.terms))


class _Reading:
    """The passages as one question sees them."""

    def __init__(self, question: Question, weights: Sequence[float]) -> None:
        self._question = question
        self._weights = weights
        self._likeness: dict[str, list[float]] = {}
        self._read: dict[str, list[float]] = {}

    def sentences(self, passages: Sequence[Passage]) -> Iterator[_Sentence]:
        """Every sentence that could be quoted, with how much of the question it covers."""
        self._compare(passages)
        best = max(passage.score for passage in passages) or 1.0
        for index, passage in enumerate(passages):
            lines = _lines(passage)
            own = [self._spoken_of(line.text) for line in lines]
            whole = _highest(own)
            for place, line in enumerate(lines):
                around = _highest([own[place], *(own[other] for other in line.neighbours)])
                frame = self._spoken_of(line.frame)
                heard = [
                    max(said, _NEIGHBOUR * near, _FRAME * framed, (0 if line.is_row else _PASSAGE) * somewhere)
                    for said, near, framed, somewhere in zip(own[place], around, frame, whole, strict=True)
                ]
                kind = self._kind(line, lines)
                coverage = self._share(heard) * kind
                if line.is_row and not any(self._spoken_of(_values(line.text))):
                    coverage *= _ONLY_COLUMNS
                score = coverage + 0.5 * self._share(own[place]) * kind + 0.05 * passage.score / best
                if line.is_heading:
                    score *= 0.7
                score += 0.1 * bool(self._question.kind_terms.intersection(terms(line.text)))
                text = " ".join(line.text.split())
                yield _Sentence(text, index, place, frozenset(terms(line.text)), coverage, score)

    def _share(self, spoken_of: Sequence[float]) -> float:
        """How much of the question's weight is spoken of; nothing when an identifier is missing."""
        pairs = zip(self._question.terms, spoken_of, strict=True)
        if any(term.exact and value < 0.2 for term, value in pairs):
            return 0.0
        share = sum(weight * value for weight, value in zip(self._weights, spoken_of, strict=True)) / sum(self._weights)
        pairs = zip(self._question.terms, spoken_of, strict=True)
        return share * _MISSING if any(term.importance == 1.3 and value < 0.2 for term, value in pairs) else share

    def _kind(self, line: _Line, lines: Sequence[_Line]) -> float:
        """How far a sentence holds the kind of thing that is asked for: itself, beside it, or not at all."""
        if self._question.is_kind_in(line.text):
            return 1.0
        if any(self._question.is_kind_in(lines[other].text) for other in line.neighbours):
            return 0.85
        return 0.6

    def _spoken_of(self, text: str) -> list[float]:
        """For each term of the question, from 0 to 1, whether a text speaks of it."""
        if text not in self._read:
            spoken = words(text)
            present = {term for word in spoken for term in terms_of_word(word)}
            likeness = _highest([self._likeness[word] for word in spoken if word in self._likeness], len(self._weights))
            self._read[text] = [
                _literal(term, present) or (0.0 if term.exact else like)
                for term, like in zip(self._question.terms, likeness, strict=True)
            ]
        return self._read[text]

    def _compare(self, passages: Sequence[Passage]) -> None:
        """Learn of every word in the passages how much it is like each term of the question: from 0 to 0.9."""
        spoken = sorted(
            {word for passage in passages for text in (passage.text, passage.title) for word in words(text)}
        )
        cosines = _vectors(spoken) @ _vectors([term.word for term in self._question.terms]).T
        low, high = _SIMILAR
        alike = np.clip(0.9 * (cosines - low) / (high - low), 0.0, 0.9).tolist()
        for word, row in zip(spoken, alike, strict=True):
            self._likeness[word] = [
                0.0
                if term.unspaced
                else max(_related(term.keys[0], word), like if like and _may_be_alike(term, word) else 0.0)
                for term, like in zip(self._question.terms, row, strict=True)
            ]


@dataclass(frozen=True)
class _Line:
    """A sentence of a passage, the headings it stands under, and the places of those it can be read together with."""

    text: str
    frame: str
    neighbours: tuple[int, ...]
    is_heading: bool
    is_row: bool


def _lines(passage: Passage) -> list[_Line]:
    texts = [passage.text[start:end] for start, end in sentences(passage.text)]
    lines = []
    heading = lead = ""
    for place, text in enumerate(texts):
        is_item = _ITEM.match(text) is not None
        is_heading = _HEADING.match(text) is not None
        if is_heading:
            heading, lead = text, ""
        elif not is_item:
            lead = ""
        is_row = " | " in text
        is_record = is_row or _FIELD.match(text) is not None
        near = (place - 1, place + 1) if not (is_record or is_heading or is_item) else ()
        neighbours = tuple(other for other in near if 0 <= other < len(texts) and not _apart(texts[other]))
        lines.append(_Line(text, f"{passage.title}\n{heading}\n{lead}", neighbours, is_heading, is_row))
        if text.endswith(":"):
            lead = text
    return lines


def _values(row: str) -> str:
    """A table's row without the names of its columns."""
    return " | ".join(cell.partition(": ")[2] or cell for cell in row.split(" | "))


def _apart(text: str) -> bool:
    return " | " in text or _HEADING.match(text) is not None


def _literal(term: Term, present: set[str]) -> float:
    """1 when a term is there as it is; an identifier's parts are nearly as good, pairs of characters by their share."""
    if term.unspaced:
        return _covered(term.word, present)
    whole, *parts = term.keys
    if whole in present:
        return 1.0
    found = sum(part in present for part in parts)
    if term.exact and found < len(parts):
        return 0.0
    return 0.9 * found / len(parts) if parts else 0.0


def _covered(run: str, present: set[str]) -> float:
    """The share of a run's characters that are in pairs which are present."""
    if len(run) == 1:
        return float(any(run in term for term in present))
    covered = [False] * len(run)
    for index in range(len(run) - 1):
        if run[index : index + 2] in present:
            covered[index] = covered[index + 1] = True
    return (sum(covered) / len(run)) ** 2  # half of a compound is less than half of its meaning


def _related(key: str, word: str) -> float:
    """Whether one word is the beginning or the end of the other, as in derived words and German compounds."""
    other = terms_of_word(word)[0]
    if min(len(key), len(other)) < 5:
        return 0.0
    if (other.startswith(key) or key.startswith(other)) and key.isalpha() and other.isalpha():
        return 0.85
    return 0.7 if other.endswith(key) else 0.0  # what was asked may be the more general word, not the other way round


def _may_be_alike(term: Term, word: str) -> bool:
    """Whether the embeddings of two words can be trusted: not for identifiers, nor for compounds of the same head."""
    if term.exact or not term.word.isalpha() or not word.isalpha() or len(word) < 3:
        return False
    return term.word[-4:].lower() != word[-4:].lower()


def _vectors(spoken: Sequence[str]) -> NDArray[np.float32]:
    """The embeddings of words, remembered between questions."""
    keys = [word.lower() for word in spoken]
    known = {key: _known[key] for key in keys if key in _known}
    missing = sorted(set(keys) - known.keys())
    if missing:
        known.update(zip(missing, embed(missing), strict=True))
        if len(_known) > _MOST_KNOWN:
            _known.clear()
        _known.update(known)
    return np.array([known[key] for key in keys], dtype=np.float32).reshape(len(keys), -1)


def _highest(rows: Sequence[Sequence[float]], length: int = 0) -> list[float]:
    return [max(column) for column in zip(*rows, strict=True)] if rows else [0.0] * length
