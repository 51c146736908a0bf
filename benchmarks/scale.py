"""The emulator with many chunks: how fast they are indexed and searched, and how much memory that takes.

    python -m benchmarks.scale [CHUNKS] [--keep FOLDER]

Uploads documents of 20 chunks each through the API, of random words that are as frequent as words are (Zipf), and asks
for words of one chunk each. 5,000 chunks, if no number is given. With `--keep` a second run only searches.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.retrieval import Client, time_retrieval
from file_search_emulator.embedding import _model

CHUNKS_OF_A_DOCUMENT = 20
WORDS_OF_A_CHUNK = 180
QUESTIONS = 200
WORDS_OF_A_QUESTION = 8
AT_ONCE = 4


class Corpus:
    """Documents by number, the same ones every time."""

    def __init__(self) -> None:
        self._words = sorted(vocabulary())
        random.Random(3).shuffle(self._words)
        self._weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(len(self._words))))

    def document(self, number: int) -> str:
        chance = random.Random(number)
        return "\n\n".join(self._paragraph(chance) for _ in range(CHUNKS_OF_A_DOCUMENT))

    def question(self, number: int, documents: int) -> str:
        """Words of one paragraph, frequent ones among them as in any question."""
        chance = random.Random(-1 - number)
        paragraph = chance.choice(self.document(chance.randrange(documents)).split("\n\n"))
        return "What about " + " ".join(chance.sample(paragraph.rstrip(".").lower().split(), WORDS_OF_A_QUESTION)) + "?"

    def _paragraph(self, chance: random.Random) -> str:
        words = chance.choices(self._words, cum_weights=self._weights, k=WORDS_OF_A_CHUNK)
        return " ".join(words).capitalize() + "."


def vocabulary() -> set[str]:
    """Some twenty thousand words, mostly English: those that the embedding's tokenizer knows as one token."""
    tokens: dict[str, int] = _model()[0].get_vocab()
    return {token[1:] for token in tokens if len(token) > 3 and token[0] == "\u2581" and token[1:].islower()}


async def main(chunks: int, folder: Path) -> None:
    corpus = Corpus()
    documents = chunks // CHUNKS_OF_A_DOCUMENT
    client = Client(folder)
    stores = (await client.call("GET", "fileSearchStores")).get("fileSearchStores", [])
    store = stores[0]["name"] if stores else await fill(client, corpus, documents)
    questions = {str(number): corpus.question(number, documents) for number in range(QUESTIONS)}
    started = time.perf_counter()
    await client.ask(store, questions["0"], 5)
    print(f"first question {time.perf_counter() - started:.2f} s, which loads the index")
    milliseconds = []
    for question in questions.values():
        started = time.perf_counter()
        await client.ask(store, question, 5)
        milliseconds.append((time.perf_counter() - started) * 1000)
    cuts = statistics.quantiles(milliseconds, n=100)
    print(f"generateContent: p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms")
    print(f"memory, with client: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most")
    await client.close()
    time_retrieval(folder, questions)


async def fill(client: Client, corpus: Corpus, documents: int) -> str:
    store: str = (await client.call("POST", "fileSearchStores", {"displayName": "scale"}))["name"]
    texts = [corpus.document(number) for number in range(documents)]
    numbers = iter(range(documents))
    started = time.perf_counter()

    async def work() -> None:
        for number in numbers:
            await client.upload(store, f"document-{number}", texts[number])

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    while (await client.call("GET", store)).get("pendingDocumentsCount"):  # noqa: ASYNC110 (the API has no event to wait for)
        await asyncio.sleep(0.05)
    took = time.perf_counter() - started
    print(f"indexed {documents} documents in {took:.1f} s: {documents * CHUNKS_OF_A_DOCUMENT / took:.0f} chunks/s")
    return store


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chunks", type=int, nargs="?", default=5000)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(arguments.chunks, arguments.keep or Path(folder)))
