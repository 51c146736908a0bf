"""A fresh clone on a plain Debian, and with a Python of one's own: the README's first command, from nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.servers import ROOT, free_port, running, until

pytestmark = pytest.mark.slow

PACKAGES = "ca-certificates,python3,python3-venv"
"""What the README says that a machine needs."""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What git would give a newcomer: the commits, none of this folder's caches and environments."""
    subprocess.run(
        ["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", tmp_path / "clone"], check=True, timeout=60
    )
    return tmp_path / "clone"


@pytest.fixture(params=["bookworm", "trixie"])
def debian(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A root file system with plain Debian 12 or 13 in it."""
    if os.getuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip(f"NOT CHECKED: a fresh clone on Debian {request.param}; it takes root and debootstrap")
    root = tmp_path / "debian"
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", request.param, root],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"NOT CHECKED: a fresh clone on Debian {request.param}; {made.stdout.splitlines()[-1:]}")
    for file in ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt"):
        if Path(file).exists():
            shutil.copyfile(file, root / file.lstrip("/"))
    for folder in ("proc", "dev"):
        subprocess.run(["mount", "--bind", f"/{folder}", root / folder], check=True)
    try:
        yield root
    finally:
        for folder in ("proc", "dev"):
            subprocess.run(["umount", root / folder], check=True)


def answer_of(clone: Path, log: Path, *, prefix: tuple[str | Path, ...] = (), inside: Path | None = None) -> str:
    """Set a clone up and start it with the README's command, and ask about a sample document."""
    folder = inside or clone
    setup = [*prefix, folder / "scripts/setup", "container"]
    done = subprocess.run(setup, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    query = {"store": "hr", "q": "How much may a hotel cost"}
    with running(
        [*map(str, prefix), str(folder / "scripts/run")],
        environment={"PORT": str(port)},
        url=f"{address}/health",
        log=log,
    ):
        return until(lambda: answer(address, query))


def answer(address: str, query: dict[str, str]) -> str | None:
    """The answer to a question, once there is a grounded one."""
    found = httpx2.get(f"{address}/api/search", params=query, timeout=30).json()
    return str(found["answer"]) if found.get("grounded") else None


def test_the_first_command_works_on_a_plain_debian(debian: Path, clone: Path, tmp_path: Path) -> None:
    shutil.copytree(clone, debian / "src", symlinks=True)
    fresh = ("chroot", debian)
    assert "140 euros" in answer_of(clone, tmp_path / "log", prefix=fresh, inside=Path("/src"))


def test_the_first_command_works_in_a_fresh_clone(clone: Path, tmp_path: Path) -> None:
    assert "140 euros" in answer_of(clone, tmp_path / "log")


def test_a_set_up_that_fails_says_what_to_do(clone: Path) -> None:
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PIP_FIND_LINKS": "",
        "PIP_NO_CACHE_DIR": "1",
    }
    done = subprocess.run(
        [clone / "scripts/setup", "container"],
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "Could not install the installer uv: the lines above say why. "
        "Check the network and pip's index and proxy settings, then run the same command again."
    )
    assert not (clone / ".venv/.installed").exists()
