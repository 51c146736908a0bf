"""Requests beside stores that are made and deleted: nobody gets an error of ours for what somebody else changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.servers import Server, flamehaven

CHANGERS, READERS = 2, 4
READS = (
    "/api/stores",
    "/api/documents",
    "/api/search?q=When+is+the+party&store=hr",
    "/api/search?q=When+is+the+party",
    "/api/search?q=When+is+the+party&store=passing-0",
    "/api/search?q=When+is+the+party&stores=hr&stores=passing-1",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with flamehaven(tmp_path_factory.mktemp("data")) as client:
        put = client.put(
            "/api/documents/hr/party.md", content="The party is on 18 July.", headers={"Prefer": "wait=20"}
        )
        assert put.json()["status"] == "indexed"
        yield client


@pytest.mark.parametrize(("reads", "changes"), [(300, 60), pytest.param(2000, 200, marks=pytest.mark.slow)])
def test_no_request_fails_while_stores_are_made_and_deleted(server: Server, reads: int, changes: int) -> None:
    def change(number: int) -> list[httpx2.Response]:
        store = f"passing-{number % CHANGERS}"
        return [server.post("/api/stores", json={"name": store}), server.delete(f"/api/stores/{store}")]

    def read(number: int) -> httpx2.Response:
        return server.get(READS[number % len(READS)])

    with ThreadPoolExecutor(CHANGERS) as changers, ThreadPoolExecutor(READERS) as readers:
        changed = changers.map(change, range(changes))
        answers = [*readers.map(read, range(reads)), *(answer for pair in changed for answer in pair)]
    seen = Counter((answer.request.method, str(answer.url), answer.status_code) for answer in answers)
    assert not [each for each in seen if each[2] not in (200, 201, 404)]
    for path in READS[:4]:  # which do not name a store that comes and goes
        assert seen["GET", str(server.base_url.join(path)), 200] >= reads // len(READS)
