"""Python environments of programs that cannot share ours."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flamehaven-tests"


def python_with(name: str, *packages: str) -> Path:
    """The Python of an environment with these packages, installed once for all workers and runs."""
    home = CACHE / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    home.mkdir(parents=True, exist_ok=True)
    installed = home / "installed"
    python = home / "venv/bin/python"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed
        if not installed.exists() or installed.read_text() != "\n".join(packages):
            subprocess.run([sys.executable, "-m", "venv", "--clear", home / "venv"], check=True, timeout=120)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True, timeout=900)
            installed.write_text("\n".join(packages))
    return python
