"""The zip that the functions are deployed from: the same for the same sources, and nothing too much."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.servers import ROOT


def build(root: Path, folder: Path) -> list[bytes]:
    command = [sys.executable, "scripts/function_source.py", str(folder)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30, check=True)
    places = [folder / "functions.zip", folder / "rotation.zip"]
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [str(place) for place in places]
    return [place.read_bytes() for place in places]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The same sources elsewhere, made later, by somebody whose files nobody else may read."""
    place = tmp_path / "other"
    for name in ("functions", "shared", "requirements", "scripts"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in place.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (2e9, 2e9))
    (place / "functions/__pycache__").mkdir()
    (place / "functions/__pycache__/main.cpython-311.pyc").write_bytes(b"x")
    (place / "shared/notes.txt").write_text("not deployed")
    return place


def test_they_are_the_same_for_the_same_sources(tmp_path: Path, other: Path) -> None:
    first = build(ROOT, tmp_path / "first")
    assert build(other, tmp_path / "deep/second") == first
    (other / "shared/errors.py").write_text("another")
    assert all(one != changed for one, changed in zip(first, build(other, tmp_path / "third"), strict=True))


@pytest.mark.parametrize("requirements", ["functions", "rotation"])
def test_each_holds_functions_shared_and_its_requirements(tmp_path: Path, requirements: str) -> None:
    build(ROOT, tmp_path)
    with zipfile.ZipFile(tmp_path / f"{requirements}.zip") as archive:
        names = archive.namelist()
        assert archive.read("requirements.txt") == (ROOT / f"requirements/{requirements}.txt").read_bytes()
    tracked = subprocess.run(
        ["git", "ls-files", "functions", "shared"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert sorted(names) == sorted(["requirements.txt", *tracked])
