"""No text of a document, a question or a header makes a regular expression of ours take more than linear time."""

from __future__ import annotations

import subprocess
import sys

from tests.servers import ROOT

CPU_SECONDS = 120


def test_every_expression_takes_linear_time() -> None:
    command = f"ulimit -t {CPU_SECONDS}; exec {sys.executable} -m tests.expressions"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *slow, count = done.stdout.splitlines()
    assert not slow
    assert int(count.split()[0]) > 80
