"""Limits that hold where something is public, and what is said while documents cannot be indexed or read."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment import gemini
from tests.servers import FLAMEHAVEN, INHERITED, Server, flamehaven, free_port, running, until

REFUSAL = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
KEY_IS_WRONG = {
    "fault": "answer",
    "status": 400,
    "body": {"error": {"code": 400, "message": "No.", "status": "INVALID_ARGUMENT", "details": [REFUSAL]}},
}
ADMIN = {"FLAMEHAVEN_ADMIN_KEY": "the-key"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flamehaven.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def unconfigured(tmp_path: Path) -> Iterator[str]:
    """The address of a development server whose limits nobody has set."""
    port = free_port()
    settings = {"ENVIRONMENT": "development", "HOST": "127.0.0.1", "PORT": str(port), "DATA_DIR": str(tmp_path)}
    url = f"http://127.0.0.1:{port}"
    log = tmp_path / "log"
    with running([*FLAMEHAVEN, "serve"], environment=settings, url=f"{url}/health/live", log=log):
        yield url


def test_a_developer_s_own_machine_has_no_limits_and_25_files_go_in_at_once(unconfigured: str, tmp_path: Path) -> None:
    folder = tmp_path / "handbook"
    folder.mkdir()
    for number in range(25):
        (folder / f"{number}.md").write_text(f"Room {number} is locked.")
    done = run("ingest", str(folder), "--store", "rooms", "--url", unconfigured)
    assert (done.returncode, done.stdout, done.stderr) == (0, "25 files: 25 indexed.\n", "")


def test_who_waits_for_a_limit_is_told_which_and_what_raises_it(tmp_path: Path) -> None:
    folder = tmp_path / "handbook"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.md").write_text(f"Room {number} is locked.")
    with flamehaven(tmp_path / "data", UPLOAD_RATE_LIMIT="2/2 seconds", SEARCH_RATE_LIMIT="1/hour") as server:
        done = run("ingest", str(folder), "--url", str(server.base_url))
        assert done.stdout == "4 files: 4 indexed.\n"
        assert "the server's limit is 2 uploads per 2 seconds." in done.stderr
        assert done.stderr.count("\n") == 1, "once, not for each file"
        asked = [server.get("/api/search", params={"q": "Room 1?", "store": "default"}) for _ in range(2)]
        assert asked[1].status_code == 429
        assert "1 searches per hour" in asked[1].json()["message"]
        assert "SEARCH_RATE_LIMIT" in asked[1].json()["message"]
        assert asked[1].json()["details"]["setting"] == "SEARCH_RATE_LIMIT"


def test_the_bar_says_what_it_waits_for(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Room 1 is locked.")
    (tmp_path / "b.md").write_text("Room 2 is locked.")
    with flamehaven(tmp_path / "data", UPLOAD_RATE_LIMIT="1/2 seconds") as server:
        files = [str(tmp_path / "a.md"), str(tmp_path / "b.md")]
        command = [sys.executable, "-m", "flamehaven.cli", "ingest", *files, "--url", str(server.base_url)]
        master, slave = pty.openpty()
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment = {**inherited, "TERM": "xterm", "COLUMNS": "150", "NO_COLOR": "1"}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=slave, env=environment)
        os.close(slave)
        shown = b""
        try:
            while part := os.read(master, 65536):
                shown += part
        except OSError:  # the other end is closed
            os.close(master)
        assert process.wait(60) == 0
        assert b"the server's limit is 1 uploads per 2 seconds" in shown


def test_with_a_wrong_key_nothing_is_promised(tmp_path: Path) -> None:
    with gemini(tmp_path / "gemini") as model:
        model.go_wrong(KEY_IS_WRONG)
        with flamehaven(tmp_path / "data", GEMINI_BASE_URL=model.address, GEMINI_API_KEY="wrong") as server:
            kept = server.put("/api/documents/hr/a.md", content="Lunch is at noon.")
            assert kept.status_code == 202
            trouble = server.get("/health").json()["checks"]["gemini"]
            assert trouble != "ok"
            assert kept.json()["trouble"] == trouble
            assert trouble in kept.json()["message"]
            assert "moment:" in kept.json()["message"]
            assert trouble in server.post("/api/documents/hr/a.md/retry").json()["message"]
            (tmp_path / "b.md").write_text("Dinner is at six.")
            done = run("ingest", str(tmp_path / "b.md"), "--timeout", "2", "--url", str(server.base_url))
            assert trouble in done.stderr
            assert trouble in server.delete("/api/documents/hr/a.md").json()["message"]


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Server]:
    """A server with a store's folder that it may not enter, and one deeper down; root's has to give up its powers."""
    documents = tmp_path / "documents"
    for name in ("hr/a.md", "pay/b.md", "it/deep/c.md"):
        (documents / name).parent.mkdir(parents=True)
        (documents / name).write_text("Lunch is at noon.")
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    (documents / "pay").chmod(0)
    (documents / "it/deep").chmod(0)
    with flamehaven(tmp_path, prefix=prefix, **ADMIN) as server:
        yield server
    (documents / "pay").chmod(0o755)
    (documents / "it/deep").chmod(0o755)


def test_a_folder_that_may_not_be_entered_is_told_and_named_only_to_those_who_may_know(closed: Server) -> None:
    key = {"Authorization": "Bearer the-key"}
    health = until(lambda: "it/deep" in str(found := closed.get("/health", headers=key).json()["warnings"]) and found)
    assert health["folders"] == "The server may not enter it/deep, pay: give it the right to."
    public = closed.get("/health", headers={"X-Forwarded-For": "198.51.100.7"})
    assert (public.status_code, public.json()["status"]) == (200, "degraded")
    assert "folders" in public.json()["warnings"]
    assert "pay" not in public.text
    assert "deep" not in public.text
    stores = closed.get("/api/stores", headers=key).json()["stores"]
    assert "'pay'" in stores["pay"]["problems"][0]
    assert "'it/deep'" in stores["it"]["problems"][0]
    assert stores["hr"]["problems"] == []
    made = closed.post("/api/admin/keys", json={"name": "hr only", "stores": ["hr"]}, headers=key).json()["key"]
    assert "pay" not in closed.get("/api/stores", headers={"Authorization": f"Bearer {made}"}).text
