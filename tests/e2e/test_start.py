"""What a start says that cannot succeed, or that was asked for something that is not there."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.servers import FLAMEHAVEN, INHERITED, flamehaven


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment = {**inherited, "ENVIRONMENT": "development", **settings}
    command = [*FLAMEHAVEN, *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_whose_port_is_in_use_says_so_and_starts_nothing(tmp_path: Path, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        data = tmp_path / "data"
        done = run(tmp_path, "serve", HOST="127.0.0.1", PORT=port, WORKERS=workers, DATA_DIR=str(data))
    assert (done.returncode, done.stdout) == (3, "")
    assert f"Port {port} on 127.0.0.1 is in use by another program" in done.stderr
    assert done.stderr.endswith("set another port with PORT.\n")
    assert done.stderr.count("\n") == 1
    assert list(data.iterdir()) == []


def test_an_emulator_whose_port_is_in_use_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(tmp_path, "emulator", "--port", port)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"Port {port} on 127.0.0.1 is in use" in done.stderr
    assert done.stderr.endswith("with --port.\n")
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_is_none_of_this_machine_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "serve", HOST="203.0.113.7", DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 3
    assert "203.0.113.7" in done.stderr


def test_a_misspelt_setting_is_named_at_the_start(tmp_path: Path) -> None:
    with flamehaven(tmp_path, DEFAULT_MODELL="gemini-x"):
        log = (tmp_path / "server.log").read_text()
    assert log.count("DEFAULT_MODELL is not a setting, and is ignored. Did you mean DEFAULT_MODEL?") == 1


@pytest.mark.parametrize(
    "command",
    [
        ["stores"],
        ["documents"],
        ["documents", "show", "hr/x.md"],
        ["documents", "delete", "hr/x.md"],
        ["search", "How?"],
        ["keys"],
        ["reconcile", "--dry-run"],
        ["reconcile"],
    ],
    ids=" ".join,
)
def test_a_command_in_a_folder_without_data_says_so_and_makes_nothing(tmp_path: Path, command: list[str]) -> None:
    done = run(tmp_path, *command)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"There is no data folder at '{tmp_path / 'data'}'" in done.stderr
    assert "DATA_DIR" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_makes_something_makes_the_data_folder(tmp_path: Path) -> None:
    done = run(tmp_path, "stores", "create", "hr")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "data" / "documents").is_dir()
