"""The locks install with every pip and on every platform that is supported, whatever is newer in the index."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import httpx2
import pytest

from tests.environments import python_with
from tests.servers import ROOT, free_port, running, until

pytestmark = pytest.mark.slow

OLDEST_PIP = {(3, 11): "pip==23.0", (3, 12): "pip==23.2.1", (3, 13): "pip==24.2"}[sys.version_info[:2]]
"""The first pip that each Python came with; on 3.11 the one of Debian 12."""
LOCKS = ("functions", "container", "rotation", "tracing", "dev", "build", "installer")
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin")
COMPILED = {"aarch64-manylinux_2_28": ("wordllama",)}
"""What has no wheel there and is compiled from source: scripts/setup and the Dockerfile see to a compiler."""
INSTALLER = [sys.executable, "-m", "uv", "--no-config", "pip"]


def run(command: list[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=1200, check=False
    )


def newer_release_of_each(lock: Path, folder: Path) -> None:
    """Write wheels that stand for releases that come out after the lock was made."""
    for name in set(re.findall(r"^([\w.-]+)(?:\[.*\])?==", lock.read_text(), flags=re.MULTILINE)):
        written = name.replace("-", "_")
        with zipfile.ZipFile(folder / f"{written}-9999-py3-none-any.whl", "w") as wheel:
            wheel.writestr(
                f"{written}-9999.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 9999\n"
            )
            wheel.writestr(
                f"{written}-9999.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{written}-9999.dist-info/RECORD", "")


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("pip", [OLDEST_PIP, "pip"], ids=["oldest pip", "newest pip"])
def test_a_lock_holds_when_every_package_has_a_newer_release(pip: str, lock: str, tmp_path: Path) -> None:
    requirements = ROOT / "requirements" / f"{lock}.txt"
    newer_release_of_each(requirements, tmp_path)
    python = python_with(pip, pip)
    if pip == "pip":
        run([python, "-m", "pip", "install", "--quiet", "--upgrade", "pip"]).check_returncode()
    done = run(
        [
            python,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--quiet",
            "--ignore-installed",
            "--require-hashes",
            "-r",
            requirements,
        ],
        PIP_FIND_LINKS=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("lock", ["functions", "container", "rotation", "tracing", "build", "installer"])
def test_a_lock_has_a_wheel_of_each_package_for_each_platform(lock: str, platform: str, tmp_path: Path) -> None:
    pinned = (ROOT / "requirements" / f"{lock}.txt").read_text()
    for package in COMPILED.get(platform, ()):
        pinned = re.sub(rf"^{package}==.*\n(?: .*\n)+", "", pinned, flags=re.MULTILINE)
    (tmp_path / "lock.txt").write_text(pinned)
    dry_run = [*INSTALLER, "install", "--dry-run", "--no-deps", "--target", tmp_path, "--python-platform", platform]
    done = run([*dry_run, "--only-binary", ":all:", "--require-hashes", "-r", tmp_path / "lock.txt"])
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_project_resolves_beside_the_newest_release_of_the_gemini_sdk(tmp_path: Path) -> None:
    """Within the major version that pyproject.toml allows, and in an environment of somebody else's."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (sdk,) = (each for each in dependencies if each.startswith("google-genai"))
    (tmp_path / "wanted.txt").write_text(f"{sdk}\n")
    newest = run([*INSTALLER, "compile", "--quiet", "--no-deps", "--no-header", tmp_path / "wanted.txt"])
    (version,) = re.findall(r"^google-genai==\S+", newest.stdout, flags=re.MULTILINE)
    done = run(
        [*INSTALLER, "install", "--dry-run", "--target", tmp_path, f"{ROOT}[container,rotation,tracing]", version]
    )
    assert done.returncode == 0, done.stderr[-2000:]


def oldest_pins(lock: Path) -> list[str]:
    """The requirements in the output of uv."""
    return [line.split(" #")[0] for line in lock.read_text().splitlines() if line[:1].isalnum()]


def test_the_oldest_versions_that_pyproject_allows_serve_an_answer(tmp_path: Path) -> None:
    extras = [word for extra in ("container", "rotation", "tracing") for word in ("--extra", extra)]
    oldest = tmp_path / "oldest.txt"
    lowest = [*INSTALLER, "compile", "--quiet", "--resolution", "lowest-direct", *extras]
    run([*lowest, "--output-file", oldest, "pyproject.toml"]).check_returncode()
    python = python_with("oldest-dependencies", *oldest_pins(oldest))
    (tmp_path / "documents/garden").mkdir(parents=True)
    (tmp_path / "documents/garden/water.md").write_text("The greenhouse is watered on Mondays.")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    settings = {"ENVIRONMENT": "development", "HOST": "127.0.0.1", "PORT": str(port), "DATA_DIR": str(tmp_path)}
    serve = [str(python), "-m", "flamehaven.cli", "serve"]
    with running(serve, environment=settings, url=f"{address}/health", log=tmp_path / "log"):
        query = {"store": "garden", "q": "When is the greenhouse watered?"}
        answer = until(lambda: httpx2.get(f"{address}/api/search", params=query, timeout=30).json().get("sources"))
    assert answer[0]["title"] == "water.md"
