"""Quality and speed of the emulator's retrieval on a data set in BEIR's layout, through its public API.

    python -m benchmarks.retrieval PATH [--split test]

PATH is a folder or a .tgz with corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv. Every document is uploaded whole, as
Markdown with its title for a heading; a document ranks at its best passage among the hundred that are retrieved.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from file_search_emulator.app import create_app
from file_search_emulator.emulator import database_of
from file_search_emulator.retrieval import Search
from file_search_emulator.snapshot import SnapshotCache

UPLOADS_AT_ONCE = 4
RETRIEVED = 100


@dataclass(frozen=True)
class Dataset:
    """Documents and queries by id, and for each query the documents that are relevant, with their grades."""

    documents: Mapping[str, str]
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]


def load(path: Path, split: str) -> Dataset:
    """Read a data set; queries without a relevant document are left out, as BEIR does."""
    if path.is_file():
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
            return load(next(Path(folder).rglob("corpus.jsonl")).parent, split)
    relevant: dict[str, dict[str, int]] = {}
    for line in (path / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        if int(grade) > 0:
            relevant.setdefault(query, {})[document] = int(grade)
    documents = {
        entry["_id"]: f"# {entry['title']}\n\n{entry['text']}\n" if entry.get("title") else entry["text"]
        for entry in map(json.loads, (path / "corpus.jsonl").open())
    }
    queries = {entry["_id"]: entry["text"] for entry in map(json.loads, (path / "queries.jsonl").open())}
    return Dataset(documents, {query: queries[query] for query in relevant}, relevant)


class Client:
    """The emulator over HTTP, in this process."""

    def __init__(self, data_dir: Path) -> None:
        self._app = create_app(data_dir)
        transport = httpx2.ASGITransport(app=self._app)
        self._http = httpx2.AsyncClient(
            transport=transport, base_url="http://emulator", headers={"x-goog-api-key": "benchmark"}
        )

    async def close(self) -> None:
        await self._http.aclose()
        await self._app.state.emulator.close()

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = await self._http.request(method, f"/v1/{path}", json=body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def upload(self, store: str, name: str, text: str) -> None:
        data = text.encode()
        start = {
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(len(data)),
            "x-goog-upload-header-content-type": "text/markdown",
        }
        body = {"displayName": f"{name}.md", "customMetadata": [{"key": "id", "stringValue": name}]}
        started = await self._http.post(f"/upload/v1/{store}:uploadToFileSearchStore", json=body, headers=start)
        started.raise_for_status()
        end = {"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "0"}
        ended = await self._http.post(started.headers["x-goog-upload-url"], content=data, headers=end)
        ended.raise_for_status()

    async def ask(self, store: str, question: str, top_k: int) -> list[str]:
        """The ids of the documents whose passages were retrieved, best first; none where the question was refused."""
        tool = {"fileSearch": {"fileSearchStoreNames": [store], "topK": top_k}}
        body = {"contents": [{"parts": [{"text": question}]}], "tools": [tool]}
        answer = await self.call("POST", "models/emulated:generateContent", body)
        chunks = answer["candidates"][0].get("groundingMetadata", {}).get("groundingChunks", [])
        return list(dict.fromkeys(_id_of(chunk["retrievedContext"]["customMetadata"]) for chunk in chunks))


def _id_of(metadata: Sequence[Mapping[str, str]]) -> str:
    return next(entry["stringValue"] for entry in metadata if entry["key"] == "id")


def ndcg(ranked: Sequence[str], relevant: Mapping[str, int], depth: int = 10) -> float:
    """Normalised discounted cumulative gain, as trec_eval's ndcg_cut computes it."""
    gain = sum(relevant.get(document, 0) / math.log2(place + 2) for place, document in enumerate(ranked[:depth]))
    ideal = sorted(relevant.values(), reverse=True)[:depth]
    return gain / sum(grade / math.log2(place + 2) for place, grade in enumerate(ideal))


def recall(ranked: Sequence[str], relevant: Mapping[str, int], depth: int = 10) -> float:
    """The share of the relevant documents that is among the first."""
    return len(relevant.keys() & set(ranked[:depth])) / len(relevant)


async def index(client: Client, documents: Mapping[str, str]) -> str:
    """Upload every document and wait until all are searchable; returns the store's name."""
    store: str = (await client.call("POST", "fileSearchStores", {"displayName": "benchmark"}))["name"]
    waiting = iter(documents.items())

    async def work() -> None:
        for name, text in waiting:
            await client.upload(store, name, text)

    await asyncio.gather(*(work() for _ in range(UPLOADS_AT_ONCE)))
    while (await client.call("GET", store)).get("pendingDocumentsCount"):  # noqa: ASYNC110 (the API has no event to wait for)
        await asyncio.sleep(0.05)
    return store


async def timed(client: Client, store: str, queries: Mapping[str, str], top_k: int) -> dict[str, list[str]]:
    """Ask every query once, one after the other, and print how long it took."""
    for question in list(queries.values())[:5]:
        await client.ask(store, question, top_k)
    answers, milliseconds = {}, []
    for query, question in queries.items():
        started = time.perf_counter()
        answers[query] = await client.ask(store, question, top_k)
        milliseconds.append((time.perf_counter() - started) * 1000)
    cuts = statistics.quantiles(milliseconds, n=100)
    print(f"generateContent, topK {top_k}: p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms")
    return answers


async def measure(data: Dataset, folder: Path) -> None:
    client = Client(folder)
    started = time.perf_counter()
    store = await index(client, data.documents)
    took = time.perf_counter() - started
    print(f"{len(data.documents)} documents indexed at {len(data.documents) / took:.0f}/s")
    ranked = await timed(client, store, data.queries, RETRIEVED)
    for name, metric in (("nDCG@10", ndcg), ("recall@10", recall)):
        print(f"{name} {statistics.fmean(metric(ranked[query], data.relevant[query]) for query in ranked):.4f}")
    answers = await timed(client, store, data.queries, 5)
    print(f"{sum(map(bool, answers.values()))} of {len(answers)} queries answered, the others refused")
    await client.close()


def time_retrieval(folder: Path, queries: Mapping[str, str]) -> None:
    """Print how long the search itself takes, without HTTP and without an answer."""
    database = database_of(folder)
    cache = SnapshotCache()
    milliseconds = []
    for question in [*list(queries.values())[:5], *queries.values()]:
        started = time.perf_counter()
        with database.read() as connection:
            Search(connection, cache.get(connection), stores={1}).best(question, 5)
        milliseconds.append((time.perf_counter() - started) * 1000)
    cuts = statistics.quantiles(milliseconds[5:], n=100)
    with database.read() as connection:
        chunks = connection.execute("SELECT count(*) FROM chunks").fetchone()[0]
    size = sum(path.stat().st_size for path in folder.glob("index.sqlite3*")) / 1e6
    print(f"retrieval alone, {chunks} chunks, {size:.0f} MB: p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms")
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = load(arguments.path, arguments.split)
        asyncio.run(measure(data, Path(folder)))
        time_retrieval(Path(folder), data.queries)


if __name__ == "__main__":
    main()
