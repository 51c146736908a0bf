"""The fusion of words and meaning, and the vectors it rests on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_search_emulator.embedding import DIMENSIONS, embed
from file_search_emulator.retrieval import DENSE_CANDIDATES, DENSE_WEIGHT, fuse

SCORES = st.lists(st.tuples(st.floats(0, 50), st.floats(-1, 1)), min_size=1, max_size=300)


def fused(pairs: list[tuple[float, float]]) -> np.ndarray:
    lexical, cosine = zip(*pairs, strict=True)
    return fuse(np.array(lexical, np.float32), np.array(cosine, np.float32))


@given(SCORES)
def test_scores_are_shares(pairs: list[tuple[float, float]]) -> None:
    scores = fused(pairs)
    assert scores.min() >= 0
    assert scores.max() <= 1 + 1e-6


def test_words_weigh_more_than_meaning_which_decides_among_equals() -> None:
    scores = fused([(10, 0.1), (5, 0.9), (5, 0.5), (0, 0.8)])
    assert np.argsort(-scores).tolist() == [0, 1, 2, 3]
    assert scores[0] == pytest.approx(1 - DENSE_WEIGHT)
    assert scores[1] == pytest.approx((1 - DENSE_WEIGHT) / 2 + DENSE_WEIGHT)


def test_where_no_word_is_found_meaning_decides() -> None:
    assert np.argsort(-fused([(0, 0.2), (0, 0.9), (0, 0.5)])).tolist() == [1, 2, 0]


def test_only_the_nearest_hundred_gain_by_meaning() -> None:
    scores = fused([(0, place / 1000) for place in range(300)])
    assert np.count_nonzero(scores) == DENSE_CANDIDATES - 1  # the last of them is the zero of the scale
    assert scores.argmax() == 299


def test_nothing_gives_nothing() -> None:
    assert len(fuse(np.empty(0, np.float32), np.empty(0, np.float32))) == 0


def test_vectors_have_length_one_and_similar_texts_are_near() -> None:
    vectors = embed(["paid vacation days", "annual leave", "hydraulic pump pressure", ""])
    assert vectors.shape == (4, DIMENSIONS)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1, 0], abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
