"""scripts/scan: it finds what is planted, passes what is clean, and says aloud what it could not look at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.servers import ROOT, free_port

SECRET = "ghp_" + "k3Jx9QzT7mWv2LbR8nYc5HdF1sGp6UaE0iOq"
OWN = "sk_admin_" + "3f9c2a7be1d04586" * 3
PLANTED = f"github_token = '{SECRET}'\n"


def scan(root: Path, *names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What scripts/scan does in a project."""
    command = (sys.executable, root / "scripts/scan.py", *names)
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)


def git(root: Path, *words: str) -> None:
    by = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(("git", *by, *words), cwd=root, check=True, capture_output=True, timeout=60)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one commit that has our scans and their configuration."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/scan.py", tmp_path / "scripts")
    for config in (".gitleaks.toml", ".gitleaks.here.toml"):
        shutil.copy(ROOT / config, tmp_path)
    (tmp_path / "requirements").mkdir()
    for name, package in (("dev", "leaky==1.0"), ("build", "sound==2.0")):
        (tmp_path / f"requirements/{name}.txt").write_text(f"{package} --hash=sha256:{'0' * 64}\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "Begin")
    return tmp_path


@pytest.mark.slow  # continuous integration runs scripts/scan besides
def test_this_project_holds_no_secret_in_any_commit_or_file() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("NOT CHECKED: secrets in commits; this is no Git checkout")
    ran = scan(ROOT, "gitleaks")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("place", ["notes.md", "data/admin.key", "dist/notes.md"])
def test_a_key_of_our_own_is_found_in_a_commit_wherever_it_is(project: Path, place: str) -> None:
    (project / place).parent.mkdir(exist_ok=True)
    (project / place).write_text(f"{OWN}\n")
    before = scan(project, "gitleaks").returncode
    assert before == (1 if place == "notes.md" else 0), "outside of Git a key counts only outside of data/ and dist/"
    git(project, "add", "-f", place)
    git(project, "commit", "-qm", "Leak")
    (project / place).unlink()
    ran = scan(project, "gitleaks")
    assert ran.returncode == 1
    assert place in ran.stdout
    assert OWN not in ran.stdout


def test_a_secret_is_found_in_a_file_and_in_a_commit_that_was_taken_back(project: Path) -> None:
    (project / "committed.py").write_text(PLANTED)
    git(project, "add", ".")
    git(project, "commit", "-qm", "Plant")
    git(project, "rm", "-q", "committed.py")
    git(project, "commit", "-qm", "Take it back")
    (project / "present.py").write_text(PLANTED)
    ran = scan(project, "gitleaks")
    assert ran.returncode == 1
    assert "committed.py" in ran.stdout
    assert "present.py" in ran.stdout
    assert SECRET not in ran.stdout, "a report is no place for it either"


@contextmanager
def vulnerability_service() -> Iterator[str]:
    """A service that speaks OSV's API and knows of one hole."""
    hole = {"id": "PYSEC-2026-1", "affected": [{"package": {"name": "leaky", "ecosystem": "PyPI"}}]}

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = {"vulns": [hole]} if asked["package"]["name"] == "leaky" else {}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()


def test_a_package_with_a_hole_is_found(project: Path) -> None:
    with vulnerability_service() as url:
        asked = {"PIP_AUDIT_VULNERABILITY_SERVICE": "osv", "PIP_AUDIT_OSV_URL": url}
        found = scan(project, "pip-audit", **asked)
        (project / "requirements/dev.txt").write_text((project / "requirements/build.txt").read_text())
        clean = scan(project, "pip-audit", **asked)
    assert (found.returncode, clean.returncode) == (1, 0), found.stderr + clean.stderr
    assert "PYSEC-2026-1" in found.stdout


def test_a_service_that_cannot_be_asked_is_no_clean_bill(project: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/v1/query"
    ran = scan(project, "pip-audit", PIP_AUDIT_VULNERABILITY_SERVICE="osv", PIP_AUDIT_OSV_URL=nobody)
    assert ran.returncode == 2
    assert "NOT CHECKED: packages" in ran.stderr


def test_a_program_that_is_missing_is_no_clean_bill(project: Path) -> None:
    if shutil.which("trufflehog", path=str(Path(sys.executable).parent)):
        pytest.skip("NOT CHECKED: trufflehog is beside this Python")
    ran = scan(project, "trufflehog", PATH="/nowhere")
    assert ran.returncode == 2
    assert "NOT CHECKED: live secrets; trufflehog is not installed" in ran.stderr
    assert scan(project, "gitleeks").returncode == 64


def test_nothing_is_installed_where_a_server_runs(tmp_path: Path) -> None:
    """Its .venv holds what the container's lock says; a scan takes the development lock."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/scan", tmp_path / "scripts")
    (tmp_path / "scripts/setup").write_text('#!/bin/sh\ntouch "$(dirname "$0")/installed"\n')
    (tmp_path / "scripts/setup").chmod(0o755)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.installed").write_text("container 1 2 /opt/flamehaven\n")
    ran = subprocess.run([tmp_path / "scripts/scan"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert "git clone" in ran.stderr
    assert not (tmp_path / "scripts/installed").exists()
