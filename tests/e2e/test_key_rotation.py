"""Keys of Gemini that are replaced and revoked while clients are at work, with no restart and nothing lost."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from shared.secret import REREAD_AFTER
from tests.load import EVERYTHING, SEARCH, UNLIMITED, Load, load
from tests.servers import Server, flamehaven, free_port, running, until

CONTENT = b"The boiler is serviced every April."
ROOF = b"The roof was mended in 2021."
WAIT = {"Prefer": "wait=20"}


@dataclass
class Gemini:
    """An emulator of its own that refuses keys, and the file with the server's key."""

    address: str
    file: Path

    def refuse(self, *keys: str) -> None:
        """From now on, refuse these keys and no others."""
        rules = [{"fault": "invalid_key", "key": key} for key in keys]
        httpx2.put(f"{self.address}/emulator/faults", json={"rules": rules}).raise_for_status()

    def refused(self) -> int:
        """How many calls were refused since the last change."""
        rules: list[dict[str, Any]] = httpx2.get(f"{self.address}/emulator/faults").json()["rules"]
        return sum(rule["happened"] for rule in rules)

    def replace(self, key: str) -> None:
        """Replace the file, as a secret volume does."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{key}\n")
        new.replace(self.file)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("gemini"), free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "flamehaven.cli", "emulator", "--port", str(port), "--data", str(folder / "data")]
    with running(command, environment={}, url=address, log=folder / "log"):
        yield address


@pytest.fixture
def gemini(address: str, tmp_path: Path) -> Gemini:
    found = Gemini(address, tmp_path / "gemini.key")
    found.replace("first")
    found.refuse()
    return found


@contextmanager
def house(data: Path, gemini: Gemini, **settings: str) -> Iterator[Server]:
    """A server with one document, which asks Gemini each time."""
    key = {"GEMINI_BASE_URL": gemini.address, "GEMINI_API_KEY": str(gemini.file), "CACHE_TTL_SEC": "0"}
    with flamehaven(data, **key, **UNLIMITED, **settings) as server:
        kept = server.put("/api/documents/house/boiler.md", content=CONTENT, headers=WAIT)
        assert kept.json()["status"] == "indexed", kept.text
        yield server


def loaded(server: Server) -> Any:
    return load(int(server.base_url.port or 0), EVERYTHING, clients=4, pause=0.05)


def go_on(found: Load) -> None:
    """Wait until each client has been answered a few times more."""
    answered = found.answered
    until(lambda: found.answered > answered + 12 or found.failed, 60)


def test_a_key_that_is_revoked_as_it_is_replaced_fails_nobody(tmp_path: Path, gemini: Gemini) -> None:
    with house(tmp_path / "data", gemini, WORKERS="2") as server, loaded(server) as found:
        go_on(found)
        for old, new in (("first", "second"), ("second", "third")):
            gemini.replace(new)
            gemini.refuse(old)
            go_on(found)
            assert gemini.refused() >= 1, "the old key was in use until then"
        assert found.failed == []


@pytest.mark.slow
def test_a_replaced_key_is_in_use_everywhere_after_half_a_minute(tmp_path: Path, gemini: Gemini) -> None:
    with house(tmp_path / "data", gemini, WORKERS="3") as server, loaded(server) as found:
        go_on(found)
        gemini.replace("second")
        time.sleep(REREAD_AFTER + 2)
        gemini.refuse("first")
        go_on(found)
        assert gemini.refused() == 0
        assert found.failed == []


def test_a_revoked_key_holds_everything_until_there_is_another(tmp_path: Path, gemini: Gemini) -> None:
    with house(tmp_path / "data", gemini) as server:
        gemini.refuse("first")
        health = server.get("/health")
        assert health.status_code == 503
        assert "GEMINI_API_KEY" in health.json()["checks"]["gemini"]
        assert server.get("/health/live").status_code == 200
        answer = server.get(SEARCH)
        assert (answer.status_code, answer.json()["error"]) == (503, "SERVICE_UNAVAILABLE")
        assert "Retry-After" in answer.headers
        kept = server.put("/api/documents/house/roof.md", content=ROOF, headers={"Prefer": "wait=2"})
        assert (kept.status_code, kept.json()["status"]) == (202, "accepted")
        assert server.get("/api/documents/house/roof.md").json()["status"] == "pending"
        gemini.replace("second")
        until(lambda: server.get("/health").status_code == 200)
        until(lambda: server.get("/api/documents/house/roof.md").json()["status"] == "indexed", 30)
        question = {"q": "When was the roof mended?", "store": "house"}
        assert "2021" in server.get("/api/search", params=question).json()["answer"]
