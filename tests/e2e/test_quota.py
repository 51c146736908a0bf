"""A store's quota: what would exceed it is refused whole, whether its sender says its size or not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.servers import Server, flamehaven

LINE = b"The boiler is serviced every April. "


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with flamehaven(tmp_path, STORE_QUOTA_MB="1") as client:
        yield client


def put(server: Server, name: str, size: int, *, said: bool = True) -> tuple[int, str]:
    content = (LINE * (size // len(LINE) + 1))[:size]
    answer = server.put(f"/api/documents/{name}", content=content if said else iter([content]))
    return answer.status_code, answer.json().get("error", "")


@pytest.mark.parametrize("said", [True, False])
def test_a_store_has_a_quota(server: Server, tmp_path: Path, said: bool) -> None:
    assert put(server, "house/a.md", 600_000, said=said) == (202, "")
    assert put(server, "house/b.md", 600_000, said=said) == (413, "STORE_QUOTA_EXCEEDED")
    assert not (tmp_path / "documents/house/b.md").exists()
    assert put(server, "house/c.md", 400_000, said=said) == (202, "")
    assert put(server, "garden/b.md", 600_000, said=said) == (202, ""), "another store has a quota of its own"
    form = {"files": {"file": ("d.md", LINE * 5000)}, "data": {"store": "house"}}
    assert server.post("/api/upload/single", **form).json()["error"] == "STORE_QUOTA_EXCEEDED"


def test_what_was_refused_or_runs_beside_counts_as_it_should(server: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: put(server, f"house/{n}.md", 300_000)[0], range(8)))
    assert sorted(found) == [202] * 3 + [413] * 5
    assert put(server, "house/last.md", 100_000) == (202, "")
