"""A part of the index in memory: chunks by number, their vectors, and which of them hold which terms."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from file_search_emulator.embedding import DIMENSIONS
from file_search_emulator.terms import POSTING

_BLOCK = 4096
"""Rows of vectors at once: int8 becomes float in the processor's cache."""
_MOST_CHUNKS = 1 << 24
"""Of a segment: a place fits in 24 bits."""
_K1, _B = 1.2, 0.75
"""BM25's usual constants: how soon repetition stops to count, and how much a chunk's length does."""

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Segment:
    """Chunks in no particular order; a chunk's place is its row in each of the arrays. Never changed, but replaced."""

    number: Ints
    document: Ints
    store: Ints
    tokens: NDArray[np.int32]
    """How many terms each chunk has, repeated ones and those of its title with them."""
    vector: NDArray[np.int8]
    terms: NDArray[np.uint32]
    """Every term that occurs, ascending; those of `terms[i]` are postings from `starts[i]` up to `starts[i + 1]`."""
    starts: Ints
    place: NDArray[np.int32]
    """Of each posting: the chunk."""
    count: NDArray[np.uint8]
    """Of each posting: how often."""

    def __len__(self) -> int:
        return len(self.number)

    def holding(self, term: int) -> slice:
        """The postings of a term; an empty slice where it does not occur."""
        at = int(np.searchsorted(self.terms, term))
        if at == len(self.terms) or self.terms[at] != term:
            return slice(0, 0)
        return slice(int(self.starts[at]), int(self.starts[at + 1]))

    def similarity(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """The cosine between a vector of length 1 and each chunk's, 0 where a chunk has none."""
        found = np.empty(len(self), np.float32)
        for start in range(0, len(found), _BLOCK):
            block = self.vector[start : start + _BLOCK].astype(np.float32)
            lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
            found[start : start + _BLOCK] = block @ vector / np.maximum(lengths, 1)
        return found


def build(chunks: Sequence[tuple[int, int, int, int]], vectors: Sequence[bytes], postings: Sequence[bytes]) -> Segment:
    """A segment of chunks: (number, document, store, tokens) of each, its packed vector and its postings."""
    columns = np.array(chunks, np.int64).reshape(-1, 4)
    found = np.frombuffer(b"".join(postings), POSTING)
    lengths = [len(of_chunk) // POSTING.itemsize for of_chunk in postings]
    return _inverted(
        columns[:, 0],
        columns[:, 1],
        columns[:, 2],
        columns[:, 3].astype(np.int32),
        np.frombuffer(b"".join(vectors), np.int8).reshape(-1, DIMENSIONS),
        _packed(found["term"], np.repeat(np.arange(len(chunks), dtype=np.int32), lengths), found["count"]),
    )


def merge(segments: Sequence[Segment], wanted: Sequence[Mask]) -> Segment:
    """The wanted chunks of some segments in one."""
    kept = [mask[segment.place] for segment, mask in zip(segments, wanted, strict=True)]
    packed = np.empty(sum(map(np.count_nonzero, kept)), np.uint64)
    base = end = 0
    for segment, mask, stays in zip(segments, wanted, kept, strict=True):
        new_place = np.cumsum(mask, dtype=np.int32) + np.int32(base - 1)
        terms = np.repeat(segment.terms, np.diff(segment.starts))[stays]
        start, end = end, end + len(terms)
        packed[start:end] = _packed(terms, new_place[segment.place[stays]], segment.count[stays])
        base += int(np.count_nonzero(mask))
    both = list(zip(segments, wanted, strict=True))
    return _inverted(
        np.concatenate([segment.number[mask] for segment, mask in both]),
        np.concatenate([segment.document[mask] for segment, mask in both]),
        np.concatenate([segment.store[mask] for segment, mask in both]),
        np.concatenate([segment.tokens[mask] for segment, mask in both]),
        np.concatenate([segment.vector[mask] for segment, mask in both]),
        packed,
    )


def bm25(segments: Sequence[Segment], scopes: Sequence[Mask], terms: Iterable[int]) -> list[NDArray[np.float32]]:
    """How well the chunks of each segment fit by their terms: 0 for those that hold none, or are not in its scope.

    The statistics are those of the scope: what others keep in other stores does not matter.
    """
    size = sum(int(np.count_nonzero(scope)) for scope in scopes)
    total = sum(float(segment.tokens[scope].sum()) for segment, scope in zip(segments, scopes, strict=True))
    average = max(total / size, 1.0) if size else 1.0
    norms = [_K1 * (1 - _B + _B * (segment.tokens / np.float32(average))) for segment in segments]
    scores = [np.zeros(len(segment), np.float32) for segment in segments]
    for term, times in Counter(terms).items():
        found = []
        for segment, scope in zip(segments, scopes, strict=True):
            held = segment.holding(term)
            within = scope[segment.place[held]]
            found.append((segment.place[held][within], segment.count[held][within].astype(np.float32)))
        holding = sum(len(places) for places, _ in found)
        weight = np.float32(times * _rarity(holding, size))
        for (places, counts), norm, score in zip(found, norms, scores, strict=True):
            score[places] += weight * counts / (counts + norm[places])
    return scores


def _rarity(holding: int, size: int) -> float:
    """BM25's inverse document frequency; next to nothing for what more than half of the chunks hold."""
    return max(math.log((size - holding + 0.5) / (holding + 0.5)), 1e-6)


def _inverted(
    number: Ints,
    document: Ints,
    store: Ints,
    tokens: NDArray[np.int32],
    vector: NDArray[np.int8],
    packed: NDArray[np.uint64],
) -> Segment:
    """A segment of chunks and their packed postings, which are used up."""
    assert len(number) < _MOST_CHUNKS
    packed.sort()
    counts = packed.astype(np.uint8)
    packed >>= np.uint64(8)
    places = packed.astype(np.int32)
    places &= np.int32(_MOST_CHUNKS - 1)
    packed >>= np.uint64(24)
    terms = packed.astype(np.uint32)
    firsts = np.flatnonzero(np.diff(terms, prepend=terms[:1] ^ np.uint32(1))) if len(terms) else np.empty(0, np.int64)
    starts = np.append(firsts, len(terms)).astype(np.int64)
    return Segment(number, document, store, tokens, vector, terms[firsts], starts, places, counts)


def _packed(terms: NDArray[Any], places: NDArray[np.int32], counts: NDArray[Any]) -> NDArray[np.uint64]:
    """Postings as one number each: several times as fast to sort as one array by the order of another."""
    packed = terms.astype(np.uint64)
    packed <<= np.uint64(24)
    packed |= places.astype(np.uint64)
    packed <<= np.uint64(8)
    packed |= counts
    return packed
