"""The examples of docs/http-api.md do what it says, run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import INHERITED, ROOT, Server

SENTENCE = "The greenhouse is watered on Mondays and Thursdays."


def example(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs/http-api.md").read_text(), re.DOTALL)
    return str(found)


def run(command: list[str], server: Server) -> list[str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment = {**inherited, "FLAMEHAVEN_URL": str(server.base_url).rstrip("/")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_python_example(server: Server, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    # The tests' environment has httpx under the name of its next version, whose interface is the same.
    script.write_text(example("python").replace("import httpx\n", "import httpx2 as httpx\n"))
    assert run([sys.executable, str(script)], server) == ["indexed", SENTENCE, f"{SENTENCE} ['water.md']"]


def test_the_javascript_example(server: Server, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("NOT CHECKED: the example in JavaScript. There is no node here.")
    script = tmp_path / "example.mjs"
    script.write_text(example("js"))
    assert run([node, str(script)], server) == ["indexed", SENTENCE, f"{SENTENCE} [ 'water.md' ]"]
