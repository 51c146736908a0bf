"""How well the emulator answers and refuses, through its public API.

    python -m benchmarks.answers [--handbooks DOCUMENTS] [--show]

Uploads `answers/documents/`, asks `answers/questions.jsonl`, and prints for each half: of the questions that the
documents answer, how many got an answer that cites the right document, and the sentence with the fact; of the others,
how many were refused. The models were fitted on the development half; `--show` prints what goes wrong there, never in
the other.

With `--handbooks` it asks `handbooks/questions.jsonl` instead: questions by another author over handbooks and manuals
that real organisations wrote. Those are not part of this project: `handbooks/sources.csv` says where each is from, and
DOCUMENTS is the folder that they were put into.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import httpx2
from google import genai
from google.genai.types import (
    FileSearch,
    GenerateContentConfig,
    GenerateContentResponse,
    HttpOptions,
    Tool,
    UploadToFileSearchStoreConfig,
)

from file_search_emulator.app import create_app
from shared.gemini.mime import register

HERE = Path(__file__).parent
MODEL = "gemini-3.8-flash"


@dataclass(frozen=True)
class Question:
    """One line of the data: `evidence` is in the sentence to cite, and None when the documents do not answer."""

    half: str
    topic: str
    question: str
    evidence: str | None


@dataclass(frozen=True)
class Outcome:
    """What came of a question: the titles and texts of the cited sentences, and the seconds it took."""

    asked: Question
    cited: list[tuple[str, str]]
    seconds: float

    @property
    def right_document(self) -> bool:
        return any(title == self.asked.topic for title, _ in self.cited)

    @property
    def right_sentence(self) -> bool:
        evidence = self.asked.evidence
        return any(
            title == self.asked.topic and evidence is not None and " ".join(evidence.split()) in text
            for title, text in self.cited
        )


async def main(handbooks: Path | None, *, show_wrong: bool) -> None:
    questions = read_questions(HERE / ("handbooks" if handbooks else "answers") / "questions.jsonl")
    documents = handbooks or HERE / "answers" / "documents"
    register()
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Path(folder))
        transport = {"transport": httpx2.ASGITransport(app=app)}
        options = HttpOptions(base_url="http://emulator", async_client_args=transport)
        client = genai.Client(api_key="none", http_options=options)
        try:
            store = await upload(client, documents)
            outcomes = [await ask(client, store, question) for question in questions]
        finally:
            await app.state.emulator.close()
    for half in ("development", "held_out"):
        report(half, [outcome for outcome in outcomes if outcome.asked.half == half])
    if show_wrong:
        show([outcome for outcome in outcomes if outcome.asked.half == "development"])


def read_questions(path: Path) -> list[Question]:
    return [Question(**json.loads(line)) for line in path.read_text().splitlines()]


async def upload(client: genai.Client, documents: Path) -> str:
    """Upload all documents into a new store and wait until they are searchable; its name."""
    stores = client.aio.file_search_stores
    paths = sorted(documents.iterdir())  # noqa: ASYNC240 (a benchmark has nothing else to do)
    store = (await stores.create()).name
    assert store is not None
    for path in paths:
        config = UploadToFileSearchStoreConfig(display_name=path.name)
        operation = await stores.upload_to_file_search_store(file_search_store_name=store, file=path, config=config)
        while not operation.done:
            await asyncio.sleep(0.02)
            operation = await client.aio.operations.get(operation)
        assert operation.error is None, f"{path.name}: {operation.error}"
    return store


async def ask(client: genai.Client, store: str, question: Question) -> Outcome:
    tool = Tool(file_search=FileSearch(file_search_store_names=[store]))
    started = time.perf_counter()
    response = await client.aio.models.generate_content(
        model=MODEL, contents=question.question, config=GenerateContentConfig(tools=[tool])
    )
    return Outcome(question, citations(response), time.perf_counter() - started)


def citations(response: GenerateContentResponse) -> list[tuple[str, str]]:
    assert response.candidates
    grounding = response.candidates[0].grounding_metadata
    found = []
    for support in (grounding and grounding.grounding_supports) or []:
        assert grounding is not None
        assert grounding.grounding_chunks is not None
        assert support.segment is not None
        for index in support.grounding_chunk_indices or []:
            context = grounding.grounding_chunks[index].retrieved_context
            assert context is not None
            found.append((context.title or "", support.segment.text or ""))
    return found


def report(half: str, outcomes: list[Outcome]) -> None:
    answerable = [outcome for outcome in outcomes if outcome.asked.evidence is not None]
    others = [outcome for outcome in outcomes if outcome.asked.evidence is None]
    answered = [outcome for outcome in answerable if outcome.cited]
    quotes = statistics.mean(len(outcome.cited) for outcome in answered)
    print(f"{half}: {len(answerable)} answerable questions, {len(others)} others")
    print(f"  wrongly refused  {share(len(answerable) - len(answered), len(answerable))}")
    print(f"  right document   {share(sum(outcome.right_document for outcome in answerable), len(answerable))}")
    print(f"  right sentence   {share(sum(outcome.right_sentence for outcome in answerable), len(answerable))}")
    print(f"  rightly refused  {share(sum(not outcome.cited for outcome in others), len(others))}")
    print(f"  sentences in an answer {quotes:.2f}, median {median_milliseconds(outcomes):.1f} ms")


def share(part: int, whole: int) -> str:
    return f"{part / whole:6.1%} ({part} of {whole})"


def median_milliseconds(outcomes: list[Outcome]) -> float:
    return statistics.median(outcome.seconds for outcome in outcomes) * 1000


def show(outcomes: list[Outcome]) -> None:
    by_topic = defaultdict(list)
    for outcome in outcomes:
        if not (outcome.right_sentence if outcome.asked.evidence else not outcome.cited):
            by_topic[outcome.asked.topic].append(outcome)
    for topic, wrong in by_topic.items():
        print(topic)
        for outcome in wrong:
            print(f"  {outcome.asked.question} -> {outcome.cited or 'refused'}; should be {outcome.asked.evidence}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--handbooks", type=Path, metavar="DOCUMENTS")
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.handbooks, show_wrong=arguments.show))
