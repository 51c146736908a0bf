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
from functools import lru_cache

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
_NEIGHBOUR, _FRAME, _PASSAGE = 0.7, 0.9, 0.4
"""What a word counts that is not in the sentence but beside it, above it, or elsewhere in its passage."""
_SIMILAR = (0.42, 0.68)
"""Cosines of two words' embeddings from which on they are alike at all, and as good as the same."""
_RAREST = 1 / 64
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
        self._vectors = [_vector(term.word) for term in question.terms]
        self._likeness: dict[str, list[float]] = {}

    def sentences(self, passages: Sequence[Passage]) -> Iterator[_Sentence]:
        """Every sentence that could be quoted, with how much of the question it covers."""
        best = max(passage.score for passage in passages) or 1.0
        for index, passage in enumerate(passages):
            lines = _lines(passage)
            own = [self._spoken_of(line.text) for line in lines]
            whole = _highest(own)
            for place, line in enumerate(lines):
                around = _highest([own[place], *(own[other] for other in line.neighbours)])
                frame = self._spoken_of(line.frame)
                heard = [
                    max(said, _NEIGHBOUR * near, _FRAME * framed, (0 if line.is_record else _PASSAGE) * somewhere)
                    for said, near, framed, somewhere in zip(own[place], around, frame, whole, strict=True)
                ]
                kind = self._kind(line, lines)
                coverage = self._share(heard) * kind
                score = coverage + 0.5 * self._share(own[place]) * kind + 0.05 * passage.score / best
                if line.is_heading:
                    score *= 0.7
                score += 0.1 * bool(self._question.kind_terms.intersection(terms(line.text)))
                text = " ".join(line.text.split())
                yield _Sentence(text, index, place, frozenset(terms(line.text)), coverage, score)

    def _share(self, spoken_of: Sequence[float]) -> float:
        """How much of the question's weight is spoken of; nothing when an identifier is missing."""
        pairs = zip(self._question.terms, spoken_of, strict=True)
        if any(term.exact and value < _PASSAGE / 2 for term, value in pairs):
            return 0.0
        return sum(weight * value for weight, value in zip(self._weights, spoken_of, strict=True)) / sum(self._weights)

    def _kind(self, line: _Line, lines: Sequence[_Line]) -> float:
        """How far a sentence holds the kind of thing that is asked for: itself, beside it, or not at all."""
        if self._question.is_kind_in(line.text):
            return 1.0
        if any(self._question.is_kind_in(lines[other].text) for other in line.neighbours):
            return 0.85
        return 0.6

    def _spoken_of(self, text: str) -> list[float]:
        """For each term of the question, from 0 to 1, whether a text speaks of it."""
        spoken = words(text)
        present = {term for word in spoken for term in terms_of_word(word)}
        likeness = _highest([self._likeness_of(word) for word in spoken], len(self._weights))
        return [
            _literal(term, present, text) or (0.0 if term.exact else like)
            for term, like in zip(self._question.terms, likeness, strict=True)
        ]

    def _likeness_of(self, word: str) -> list[float]:
        """For each term of the question, from 0 to 0.9, how much a word that is not the same is like it."""
        if word not in self._likeness:
            self._likeness[word] = [
                0.0 if term.unspaced else max(_related(term.keys[0], word), _similar(term, vector, word))
                for term, vector in zip(self._question.terms, self._vectors, strict=True)
            ]
        return self._likeness[word]


@dataclass(frozen=True)
class _Line:
    """A sentence of a passage, the headings it stands under, and the places of those it can be read together with."""

    text: str
    frame: str
    neighbours: tuple[int, ...]
    is_heading: bool
    is_record: bool


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
        is_record = " | " in text or _FIELD.match(text) is not None
        near = (place - 1, place + 1) if not (is_record or is_heading or is_item) else ()
        neighbours = tuple(other for other in near if 0 <= other < len(texts) and not _apart(texts[other]))
        lines.append(_Line(text, f"{passage.title}\n{heading}\n{lead}", neighbours, is_heading, is_record))
        if text.endswith(":"):
            lead = text
    return lines


def _apart(text: str) -> bool:
    return " | " in text or _HEADING.match(text) is not None


def _literal(term: Term, present: set[str], text: str) -> float:
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
    short, long = sorted((key, other), key=len)
    if len(short) < 5 or not short.isalpha():
        return 0.0
    if long.startswith(short):
        return 0.85
    return 0.7 if other.endswith(key) else 0.0  # what was asked may be the more general word, not the other way round


def _similar(term: Term, vector: NDArray[np.float32], word: str) -> float:
    if term.exact or not term.word.isalpha() or not word.isalpha() or len(word) < 3:
        return 0.0
    if term.word[-4:].lower() == word[-4:].lower():  # other compounds of the same head, alike by that alone
        return 0.0
    low, high = _SIMILAR
    return max(0.0, min(0.9, 0.9 * (float(vector @ _vector(word)) - low) / (high - low)))


@lru_cache(maxsize=10_000)
def _vector(word: str) -> NDArray[np.float32]:
    vector: NDArray[np.float32] = embed([word.lower()])[0]
    return vector


def _highest(rows: Sequence[Sequence[float]], length: int = 0) -> list[float]:
    return [max(column) for column in zip(*rows, strict=True)] if rows else [0.0] * length
