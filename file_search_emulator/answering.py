"""Answers made of the documents' own sentences, or none.

Two linear models decide: one which sentence is quoted, the other whether that one answers at all. They weigh how much
of the question is spoken of in the sentence, around it and in its passage, each word weighing more the rarer it is in
the searched documents; whether the kind of thing is there that is asked for (an amount, a time, a price); and how near
the sentence is in meaning. Their weights are in answer_weights.toml.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from file_search_emulator.embedding import embed, normalised, sums
from file_search_emulator.questions import Question, Term, understand
from file_search_emulator.remembering import LONGEST
from file_search_emulator.sentences import fold, sentences, terms, terms_of_word, words

_WEIGHTS: Mapping[str, Mapping[str, float]] = tomllib.loads(
    resources.files("file_search_emulator").joinpath("answer_weights.toml").read_text("utf-8")
)
_MOST_QUOTES = 3
_ALSO_QUOTED = 1.0
"""A further sentence is quoted when its chance to be the one is at least exp(-1) of the best one's."""
LARGEST_LEAD = 3.0
"""By which the best sentence can be ahead of the next."""
_SAME = 0.75
"""Two sentences are one when they share this much of the smaller one's terms."""
_SPOKEN_OF, _NOT_SPOKEN_OF = 0.9, 0.2
"""From 0 to 1: from where on a text speaks of a term for sure, and below which it does not."""
_SIMILAR = (0.42, 0.68)
"""Cosines of two words' embeddings from which on they are alike at all, and as good as the same."""
_RAREST = 1 / 64
_NAME = 1.3
"""The importance of names, and of what narrows a question down."""
_MOST_KNOWN = 10_000
_known: dict[str, NDArray[np.float32]] = {}  # embeddings of short words; at most about _MOST_KNOWN
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
class Sentence:
    """A sentence that could be quoted, and what speaks for it by name; the passages' sentences make a `Reading`."""

    text: str
    passage: int
    place: int
    terms: frozenset[str]
    features: Mapping[str, float]

    def weigh(self, model: str) -> float:
        """What a model makes of the features: the higher, the better."""
        return sum(weight * self.features.get(name, 1.0) for name, weight in _WEIGHTS[model].items())


def answer(question: str, passages: Sequence[Passage], document_frequency: Callable[[str], float]) -> list[Quote]:
    """The one to three sentences that answer a question, or none where the passages do not answer it.

    `passages` come best first. `document_frequency` gives the share (0 to 1) of the searched chunks that hold a word;
    it is asked for words with folded case and without accents, not stemmed, and for pairs of characters in scripts
    without spaces. Quotes come in the order of their passages and of the text. Deterministic.
    """
    ranked = rank(question, passages, document_frequency)
    if not ranked or ranked[0].weigh("answers") < 0:
        return []
    return [Quote(one.text, one.passage) for one in sorted(_choose(ranked), key=lambda one: (one.passage, one.place))]


def rank(question: str, passages: Sequence[Passage], document_frequency: Callable[[str], float]) -> list[Sentence]:
    """Every sentence of the passages, the likeliest answer first; none where nothing is asked."""
    asked = understand(question)
    if not asked.terms or not passages:
        return []
    found = list(_Reading(asked, document_frequency).sentences(passages))
    weights = {id(one): one.weigh("quoted") for one in found}
    ranked = sorted(found, key=lambda one: (-weights[id(one)], one.passage, one.place))
    if ranked:
        lead = weights[id(ranked[0])] - weights[id(ranked[1])] if len(ranked) > 1 else LARGEST_LEAD
        ranked[0] = replace(ranked[0], features={**ranked[0].features, "lead": min(lead, LARGEST_LEAD)})
    return ranked


def _choose(ranked: Sequence[Sentence]) -> list[Sentence]:
    chosen: list[Sentence] = []
    least = ranked[0].weigh("quoted") - _ALSO_QUOTED
    for found in ranked:
        if len(chosen) == _MOST_QUOTES or found.weigh("quoted") < least:
            break
        if not any(_is_same(found, other) for other in chosen):
            chosen.append(found)
    return chosen


def _is_same(one: Sentence, other: Sentence) -> bool:
    return len(one.terms & other.terms) >= _SAME * min(len(one.terms), len(other.terms))


class _Reading:
    """The passages as one question sees them."""

    def __init__(self, question: Question, document_frequency: Callable[[str], float]) -> None:
        self._question = question
        shares = [_share(term, document_frequency) for term in question.terms]
        weights = np.array(
            [term.importance * _rarity(share) for term, share in zip(question.terms, shares, strict=True)]
        )
        self._weights = weights / weights.sum()
        self._absent = self._weigh(np.array(shares) == 0)
        self._exact = np.array([term.exact for term in question.terms])
        self._names = np.array([term.importance == _NAME for term in question.terms])
        self._likeness: dict[str, list[float]] = {}
        self._read: dict[str, NDArray[np.float64]] = {}

    def sentences(self, passages: Sequence[Passage]) -> Iterator[Sentence]:
        """Every sentence that has, or has beside it, the kind of thing that is asked for, with what speaks for it."""
        self._compare(passages)
        asked = embed([self._question.text])[0]
        for index, passage in enumerate(passages):
            if not (lines := _lines(passage)):
                continue
            own = [self._spoken_of(line.text) for line in lines]
            near = [np.max([own[other] for other in (place, *line.near)], axis=0) for place, line in enumerate(lines)]
            whole = np.max(own, axis=0)
            meant = _cosines(asked, passage.title, lines)
            in_passage = {
                "passage": self._weigh(whole),
                "passage_cosine": meant[-1],
                "passage_score": passage.score,
                "terms": math.log(len(self._weights)),
            }
            for place, line in enumerate(lines):
                if not self._is_kind_in([line.text, *(lines[other].text for other in line.near)]):
                    continue
                features = in_passage | self._features(line, lines, own[place], near[place], whole)
                features["cosine"] = meant[place]
                features["near_cosine"] = meant[len(lines) + place]
                text = " ".join(line.text.split())
                yield Sentence(text, index, place, frozenset(terms(line.text)), features)

    def _features(
        self,
        line: _Line,
        lines: Sequence[_Line],
        own: NDArray[np.float64],
        near: NDArray[np.float64],
        whole: NDArray[np.float64],
    ) -> dict[str, float]:
        """What a sentence says of the question, alone and with what it is read together with."""
        heard = np.maximum(near, self._spoken_of(line.frame))
        if not line.is_row:
            heard = np.maximum(heard, whole)
        unheard = heard < _NOT_SPOKEN_OF
        return {
            "own": self._weigh(own),
            "near": self._weigh(near),
            "literal": self._weigh(heard >= _SPOKEN_OF),
            "missing": float(self._weights[unheard].max(initial=0.0)),
            "absent": self._absent,
            "missing_exact": float(np.any(unheard & self._exact)),
            "missing_name": float(np.any(unheard & self._names)),
            "kind": self._kind([line.text]),
            "near_kind": self._kind([lines[other].text for other in line.near]),
            "heading": float(line.is_heading),
            "words": math.log(1 + len(line.text.split())),
        }

    def _kind(self, texts: Sequence[str]) -> float:
        """Whether one of some texts holds the kind of thing that is asked for; a half where nothing particular is."""
        return 0.5 if self._question.kind is None else float(self._is_kind_in(texts))

    def _is_kind_in(self, texts: Sequence[str]) -> bool:
        return any(map(self._question.is_kind_in, texts))

    def _weigh(self, spoken_of: NDArray[Any]) -> float:
        """How much of the question is spoken of, as a share of its weight."""
        return float(self._weights @ spoken_of)

    def _spoken_of(self, text: str) -> NDArray[np.float64]:
        """For each term of the question, from 0 to 1, whether a text speaks of it."""
        if text not in self._read:
            spoken = words(text)
            present = {term for word in spoken for term in terms_of_word(word)}
            likeness = _highest([self._likeness[word] for word in spoken if word in self._likeness], len(self._weights))
            self._read[text] = np.array(
                [
                    _literal(term, present) or (0.0 if term.exact else like)
                    for term, like in zip(self._question.terms, likeness, strict=True)
                ]
            )
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
    near: tuple[int, ...]
    is_heading: bool
    is_row: bool


def _cosines(asked: NDArray[np.float32], title: str, lines: Sequence[_Line]) -> list[float]:
    """How near a question is in meaning to each line, to each with what it is read together with, and to all of it."""
    vectors, _ = sums([*(line.text for line in lines), title])
    near = [vectors[[place, *line.near]].sum(axis=0) for place, line in enumerate(lines)]
    found: list[float] = (normalised(np.vstack([vectors[:-1], near, vectors.sum(axis=0)])) @ asked).tolist()
    return found


def _share(term: Term, document_frequency: Callable[[str], float]) -> float:
    """Of the searched chunks those that hold a term; of a run of characters the mean of its pairs."""
    asked = term.keys if term.unspaced else (fold(term.word),)
    return sum(map(document_frequency, asked)) / len(asked)


def _rarity(share: float) -> float:
    """From 0.4 for a word that every chunk holds to 1 for one that none does."""
    return 0.4 + 0.6 * math.log(max(share, _RAREST)) / math.log(_RAREST)


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
        _known.update((key, known[key]) for key in missing if len(key) <= LONGEST)
    return np.array([known[key] for key in keys], dtype=np.float32).reshape(len(keys), -1)


def _highest(rows: Sequence[Sequence[float]], length: int = 0) -> list[float]:
    return [max(column) for column in zip(*rows, strict=True)] if rows else [0.0] * length
