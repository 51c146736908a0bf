"""The index in memory: the terms and vectors of chunks, in segments that come, are merged and go."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from file_search_emulator.embedding import DIMENSIONS, embed, pack
from file_search_emulator.emulator import database_of
from file_search_emulator.segment import Segment, bm25, build, merge
from file_search_emulator.snapshot import SnapshotCache
from file_search_emulator.terms import asked_for, postings

WORDS = ("leave", "travel", "budget", "printer", "badge", "audit", "lunch")
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), max_size=12)


def segment(texts: list[str], first: int = 1) -> Segment:
    """A chunk of each text, each of a document of its own in store 1."""
    found = [postings("", text) for text in texts]
    return build(
        [(first + place, first + place, 1, terms) for place, (_, terms) in enumerate(found)],
        [bytes(DIMENSIONS)] * len(texts),
        [held.tobytes() for held, _ in found],
    )


def scores(segments: list[Segment], question: str) -> dict[int, float]:
    scopes = [np.ones(len(one), np.bool_) for one in segments]
    found = bm25(segments, scopes, asked_for(question))
    return {
        int(number): float(score)
        for one, of_one in zip(segments, found, strict=True)
        for number, score in zip(one.number, of_one, strict=True)
    }


def expected(texts: list[str], question: str) -> dict[int, float]:
    """BM25 written down as in the books, k1 = 1.2 and b = 0.75."""
    split = [text.split() for text in texts]
    average = max(sum(map(len, split)) / len(split), 1) if split else 1
    found = {}
    for number, words in enumerate(split, 1):
        total = 0.0
        for word in question.split():
            holding = sum(word in other for other in split)
            rarity = max(math.log((len(split) - holding + 0.5) / (holding + 0.5)), 1e-6)
            count = words.count(word)
            total += rarity * count / (count + 1.2 * (0.25 + 0.75 * len(words) / average))
        found[number] = total
    return found


@given(TEXTS, st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join))
def test_scores_are_those_of_bm25(texts: list[str], question: str) -> None:
    assert scores([segment(texts)], question) == pytest.approx(expected(texts, question), abs=1e-4)


@given(TEXTS, st.integers(0, 12), st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join))
def test_it_does_not_matter_how_chunks_are_cut_into_segments(texts: list[str], cut: int, question: str) -> None:
    whole = scores([segment(texts)], question)
    parts = [segment(texts[:cut]), segment(texts[cut:], first=len(texts[:cut]) + 1)]
    assert scores(parts, question) == pytest.approx(whole, abs=1e-6)
    merged = merge(parts, [np.ones(len(part), np.bool_) for part in parts])
    assert scores([merged], question) == pytest.approx(whole, abs=1e-6)


@given(TEXTS, st.data())
def test_merging_leaves_out_what_is_not_wanted(texts: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    kept = [text for text, stays in zip(texts, wanted, strict=True) if stays]
    merged = merge([segment(texts)], [np.array(wanted, np.bool_)])
    assert list(scores([merged], "leave travel").values()) == pytest.approx(
        list(scores([segment(kept)], "leave travel").values()), abs=1e-6
    )


def test_a_byte_for_each_dimension_keeps_the_cosine() -> None:
    vectors = embed(["paid vacation days", "annual leave", "hydraulic pump pressure", ""])
    held = postings("", "")[0].tobytes()
    chunks = [(number, number, 1, 0) for number in range(4)]
    built = build(chunks, list(pack(vectors)), [held] * 4)
    assert built.similarity(vectors[0]) == pytest.approx(vectors @ vectors[0], abs=0.01)


class Index(RuleBasedStateMachine):
    """Documents come and go in the database; the cache's snapshot holds those that are there, each once."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = database_of(Path(self.folder.name))
        with self.database.write(durable=False) as connection:
            connection.execute("INSERT INTO stores VALUES (1, 's', '', '', '')")
        self.cache = SnapshotCache()
        self.texts: dict[int, list[str]] = {}

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    @rule(texts=st.lists(st.sampled_from(WORDS), min_size=1, max_size=30))
    def add(self, texts: list[str]) -> None:
        with self.database.write(durable=False) as connection:
            document = connection.execute(
                """INSERT INTO documents (store, id, origin, blob, file_name, mime_type, display_name, metadata,
                    max_tokens, overlap, size, created, updated)
                SELECT 1, hex(randomblob(8)), 'upload', '', '', '', '', '[]', 1, 1, 1, '', ''"""
            ).lastrowid
            assert document is not None
            for text in texts:
                held, terms = postings("", text)
                connection.execute(
                    """INSERT INTO chunks (document, text, tokens, vector, term_count, postings)
                    VALUES (?, ?, 1, ?, ?, ?)""",
                    (document, text, bytes(DIMENSIONS), terms, held.tobytes()),
                )
            connection.execute("UPDATE documents SET state = 'ACTIVE' WHERE number = ?", (document,))
        self.texts[document] = texts

    @rule(place=st.integers(0, 100))
    def remove(self, place: int) -> None:
        if self.texts:
            document = sorted(self.texts)[place % len(self.texts)]
            with self.database.write(durable=False) as connection:
                connection.execute("DELETE FROM documents WHERE number = ?", (document,))
            del self.texts[document]

    @invariant()
    def holds_what_is_there(self) -> None:
        with self.database.read() as connection:
            snapshot = self.cache.get(connection)
        scopes = snapshot.scopes({1})
        found = bm25(snapshot.segments, scopes, asked_for("leave"))
        documents: dict[int, int] = {}
        matching = 0
        for one, scope, of_one in zip(snapshot.segments, scopes, found, strict=True):
            assert not of_one[~scope].any()
            matching += int(np.count_nonzero(of_one))
            for document in one.document[scope].tolist():
                documents[document] = documents.get(document, 0) + 1
        assert documents == {document: len(texts) for document, texts in self.texts.items()}
        assert matching == sum(text == "leave" for texts in self.texts.values() for text in texts)
        assert len(snapshot.segments) <= 1 + math.log2(sum(map(len, snapshot.segments)) + 1)


Index.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestIndex = Index.TestCase
