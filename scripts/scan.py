"""Looks for secrets in every commit and file, and for known holes in the locked packages: see scripts/scan.

Ends with 0 where all that was asked for was looked at and is clean, with 1 where something was found, and with 2 where
nothing was found but something could not be looked at.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("dev", "build")
"""They hold what every other lock does, in the same versions."""
TIMEOUT = 900.0


class Outcome(IntEnum):
    """What came of a scan."""

    CLEAN = 0
    FOUND = 1
    NOT_CHECKED = 2


def gitleaks() -> Outcome:
    """Secrets in every commit, and in the files as they are now.

    What is none is in .gitleaks.toml and .gitleaks.here.toml.
    """
    if (program := _program("gitleaks")) is None:
        return _not_checked("secrets", "gitleaks is not installed")
    outcomes = []
    how = ("--no-banner", "--log-level=warn", "--redact", "--verbose", "--exit-code=3")
    for what, config in (("git", ".gitleaks.toml"), ("dir", ".gitleaks.here.toml")):
        ran = _run(program, what, f"--config={config}", *how, ".")
        if ran.returncode not in (0, 3):
            return _not_checked("secrets", _last_line(ran.stderr))
        if ran.returncode == 3:
            print(ran.stdout, end="")
        outcomes.append(Outcome.FOUND if ran.returncode == 3 else Outcome.CLEAN)
    return max(outcomes)


def trufflehog() -> Outcome:
    """Secrets in every commit that their own service takes for valid, or could not be asked about."""
    if (program := _program("trufflehog")) is None:
        return _not_checked("live secrets", "trufflehog is not installed")
    ran = _run(program, "git", f"file://{ROOT}", "--results=verified,unknown", "--fail", "--no-update")
    if ran.returncode not in (0, 183):
        return _not_checked("live secrets", _last_line(ran.stderr))
    print(ran.stdout, end="")
    return Outcome.FOUND if ran.returncode else Outcome.CLEAN


def pip_audit() -> Outcome:
    """Known holes in the versions that the locks pin; a package that cannot be asked about counts as not looked at."""
    if (program := _program("pip-audit")) is None:
        return _not_checked("packages", "pip-audit is not installed")
    locks = [word for lock in LOCKS for word in ("--requirement", f"requirements/{lock}.txt")]
    ran = _run(program, "--strict", "--disable-pip", "--require-hashes", "--progress-spinner=off", *locks)
    if ran.returncode and not ran.stdout:  # holes are told there, and trouble only beside it
        return _not_checked("packages", _last_line(ran.stderr))
    print(ran.stdout, end="")
    return Outcome.FOUND if ran.returncode else Outcome.CLEAN


SCANS: dict[str, Callable[[], Outcome]] = {"gitleaks": gitleaks, "trufflehog": trufflehog, "pip-audit": pip_audit}


def main(names: list[str]) -> int:
    """Run the scans of these names, or all."""
    if unknown := set(names) - SCANS.keys():
        print(f"There is no scan {', '.join(sorted(unknown))}; there is {', '.join(SCANS)}.", file=sys.stderr)
        return 64
    outcomes = {name: SCANS[name]() for name in names or SCANS}
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome.name.replace('_', ' ').lower()}")
    return Outcome.FOUND if Outcome.FOUND in outcomes.values() else max(outcomes.values())


def _program(name: str) -> str | None:
    """A program beside this Python, else on the PATH."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)  # noqa: S603 - our own words
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, -1, "", f"no end within {TIMEOUT:.0f} seconds")


def _not_checked(what: str, why: str) -> Outcome:
    print(f"NOT CHECKED: {what}; {why}", file=sys.stderr)
    return Outcome.NOT_CHECKED


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it gave no reason"])[-1][:300]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
