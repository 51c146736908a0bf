"""The emulator behind Google's JavaScript SDK, as Node runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulator import png
from tests.servers import ROOT, free_port, running

ANSWER = "Every employee has 27 days of paid leave a year."


@pytest.mark.slow
def test_a_program_in_javascript_gets_cited_answers(tmp_path: Path) -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("NOT CHECKED: the JavaScript SDK against the emulator, as node and npm are not installed")
    program = tmp_path / "program"
    shutil.copytree(ROOT / "tests" / "javascript", program)
    subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=program, check=True, timeout=300)
    (tmp_path / "leave.txt").write_text(f"{ANSWER}\n")
    (tmp_path / "plan.png").write_bytes(png(30, 40))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "flamehaven.cli",
        "emulator",
        "--port",
        str(port),
        "--data",
        str(tmp_path / "data"),
    ]
    with running(command, environment={}, url=url, log=tmp_path / "log"):
        ended = subprocess.run(
            [node, "file_search.mjs", url, str(tmp_path)],
            cwd=program,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)
    assert seen["store"].startswith("fileSearchStores/from-javascript-")
    assert seen["uploaded"].startswith("rsum-of-leavetxt-")
    assert (seen["text"], seen["streamed"]) == (ANSWER, ANSWER)
    (chunk,) = seen["grounding"]["groundingChunks"]
    assert chunk["retrievedContext"]["title"] == "Résumé of leave.txt"
    assert chunk["retrievedContext"]["customMetadata"] == [{"key": "year", "numericValue": 2026}]
    (support,) = seen["grounding"]["groundingSupports"]
    assert support["segment"] == {"endIndex": len(ANSWER), "text": ANSWER}
    assert seen["media"] is True
    assert seen["interaction"][0]["annotations"][0]["file_name"] == "Résumé of leave.txt"
    assert "Cannot delete non-empty FileSearchStore" in seen["refused"]
    assert seen["documents"] == 3
    assert seen["imported"]
    assert seen["gone"] == 403
