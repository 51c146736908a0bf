"""Fits the two models by which the emulator answers and refuses, and writes them.

    python -m benchmarks.fit_answers DOCUMENTS

From the development halves of `answers/` and `handbooks/`, whose documents are in the folder DOCUMENTS (see
benchmarks.answers); the held-out halves are not looked at. Both are linear: one is a softmax over the sentences of the
retrieved passages, of which those with the evidence are right; the other a logistic regression on the sentence that
the first one puts first, of which those of unanswerable questions are wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np
from google import genai
from google.genai.types import HttpOptions
from numpy.typing import NDArray

from benchmarks.answers import HERE, Question, read_questions, upload
from file_search_emulator import answering
from file_search_emulator.app import create_app
from file_search_emulator.emulator import database_of
from file_search_emulator.generation import DEFAULT_TOP_K, passage_of
from file_search_emulator.retrieval import Search
from file_search_emulator.snapshot import SnapshotCache
from shared.gemini.mime import register

QUOTED = "own near passage literal kind cosine passage_cosine passage_score heading missing".split()  # noqa: SIM905
ANSWERS = (
    "missing absent missing_exact missing_name near_kind passage terms words near_cosine lead".split()  # noqa: SIM905
)
RIDGE = 0.02
STEPS = 2000
RATE = 0.25
FILE = Path(answering.__file__).with_name("answer_weights.toml")


@dataclass(frozen=True)
class Asked:
    """A question's sentences: the features of each, and which hold the evidence."""

    answerable: bool
    features: Sequence[Mapping[str, float]]
    right: NDArray[np.float64]

    def matrix(self, names: Sequence[str]) -> NDArray[np.float64]:
        return np.array([[features[name] for name in names] for features in self.features])


async def look(questions: Sequence[Question], documents: Path) -> list[Asked]:
    """What the answerer sees of each question that the emulator finds anything for."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Path(folder))
        transport = {"transport": httpx2.ASGITransport(app=app)}
        options = HttpOptions(base_url="http://emulator", async_client_args=transport)
        await upload(genai.Client(api_key="none", http_options=options), documents)
        await app.state.emulator.close()
        database = database_of(Path(folder))
        with database.read() as connection:
            search = Search(connection, SnapshotCache().get(connection), stores={1})
            seen = [_asked(search, question) for question in questions]
        database.close()
    return [asked for asked in seen if asked.features]


def _asked(search: Search, question: Question) -> Asked:
    found = search.best(question.question, DEFAULT_TOP_K)
    ranked = answering.rank(question.question, [passage_of(chunk) for chunk in found], search.document_frequency)
    evidence = " ".join((question.evidence or "").split())
    right = [bool(evidence) and found[one.passage].title == question.topic and evidence in one.text for one in ranked]
    return Asked(bool(evidence), [one.features for one in ranked], np.array(right, float))


def fit_quoted(asked: Sequence[Asked]) -> NDArray[np.float64]:
    """Weights, one for each of QUOTED, under which the right sentences come first."""
    known = [one for one in asked if one.right.any()]
    spread = np.vstack([one.matrix(QUOTED) for one in asked]).std(axis=0) + 1e-9
    pairs = [(one.matrix(QUOTED) / spread, one.right) for one in known]
    weights = np.zeros(len(QUOTED))
    for _ in range(STEPS):
        gradient = np.zeros_like(weights)
        for matrix, right in pairs:
            chance = np.exp(matrix @ weights - (matrix @ weights).max())
            chance /= chance.sum()
            gradient += matrix.T @ (chance * right / (chance * right).sum() - chance)
        weights += RATE * (gradient / len(pairs) - RIDGE * weights)
    return weights / spread


def fit_answers(asked: Sequence[Asked], quoted: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Weights, one for each of ANSWERS, and what is added to their sum: above zero for what answers."""
    matrix = np.array([_first(one, quoted) for one in asked])
    target = np.array([float(one.answerable) for one in asked])
    middle, spread = matrix.mean(axis=0), matrix.std(axis=0) + 1e-9
    scaled = (matrix - middle) / spread
    weights, bias = np.zeros(len(ANSWERS)), 0.0
    for _ in range(STEPS):
        wrong = target - 1 / (1 + np.exp(-(scaled @ weights + bias)))
        weights += RATE * (scaled.T @ wrong / len(wrong) - RIDGE * weights)
        bias += RATE * wrong.mean()
    weights /= spread
    return weights, float(bias - middle @ weights)


def _first(one: Asked, quoted: NDArray[np.float64]) -> list[float]:
    """The features of the sentence that is quoted first."""
    scores = one.matrix(QUOTED) @ quoted
    first, *others = np.argsort(-scores, kind="stable")
    lead = scores[first] - scores[others[0]] if others else answering.LARGEST_LEAD
    features = {**one.features[first], "lead": min(lead, answering.LARGEST_LEAD)}
    return [features[name] for name in ANSWERS]


async def main(handbooks: Path) -> None:
    register()
    sets = {HERE / "answers": HERE / "answers" / "documents", HERE / "handbooks": handbooks}
    asked: list[Asked] = []
    for folder, documents in sets.items():
        questions = read_questions(folder / "questions.jsonl")
        asked += await look([one for one in questions if one.half == "development"], documents)
    quoted = fit_quoted(asked)
    answers, bias = fit_answers(asked, quoted)
    lines = [
        "# The two models of answering.py, as `python -m benchmarks.fit_answers` wrote them.",
        "",
        "[quoted]",
        *(f"{name} = {weight:.3f}" for name, weight in zip(QUOTED, quoted, strict=True)),
        "",
        "[answers]",
        *(f"{name} = {weight:.3f}" for name, weight in zip(ANSWERS, answers, strict=True)),
        f"bias = {bias:.3f}",
        "",
    ]
    FILE.write_text("\n".join(lines))
    print(f"{len(asked)} questions: {FILE.name} written")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path)
    asyncio.run(main(parser.parse_args().documents))
