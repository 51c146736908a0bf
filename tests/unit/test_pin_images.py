"""scripts/pin_images.py: each image of others gets its digest, with a stand-in for docker that knows some."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers import ROOT

DOCKER = """#!/bin/sh
case $4 in *gone*) echo 'no such manifest' >&2; exit 1;; esac
printf 'sha256:%064d\\n' "${#4}"
"""


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "scripts").mkdir(exist_ok=True)
    (folder / "bin").mkdir(exist_ok=True)
    shutil.copy(ROOT / "scripts/pin_images.py", folder / "scripts")
    (folder / "bin/docker").write_text(DOCKER)
    (folder / "bin/docker").chmod(0o755)
    command = (sys.executable, folder / "scripts/pin_images.py")
    return subprocess.run(
        command, env={"PATH": f"{folder}/bin:/usr/bin:/bin"}, capture_output=True, text=True, timeout=60
    )


def test_every_image_of_others_gets_its_digest_and_a_second_run_renews_it(tmp_path: Path) -> None:
    for name in ("compose.yaml", "Dockerfile"):
        shutil.copy(ROOT / name, tmp_path)
    assert run(tmp_path).returncode == 0
    once = [(tmp_path / name).read_text() for name in ("compose.yaml", "Dockerfile")]
    lines = [line.strip() for line in "\n".join(once).splitlines() if line.strip().startswith(("image: ", "FROM "))]
    assert len(lines) >= 6
    for line in lines:
        assert ("@sha256:0" in line) is ("flamehaven-filesearch" not in line), line
    assert run(tmp_path).returncode == 0
    assert once == [(tmp_path / name).read_text() for name in ("compose.yaml", "Dockerfile")]


def test_an_image_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    compose = "services:\n  x:\n    image: redis:7.4-alpine\n  y:\n    image: gone:1.0\n"
    (tmp_path / "compose.yaml").write_text(compose)
    ran = run(tmp_path)
    assert ran.returncode == 1
    assert "gone:1.0: docker cannot tell its digest" in ran.stderr
    assert (tmp_path / "compose.yaml").read_text() == compose
