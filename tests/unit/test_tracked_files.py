"""What no file of the project may carry: a machine's paths, a package index, a secret."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Each pattern is written so that it does not match itself.
FORBIDDEN = {
    "a path of one machine": r"(?<![\w.])/(?:home|Users)/[a-z]\w+/|(?<![\w.])/(?:root|work)/[\w.]",
    "a package index": r"py[p]i\.org|pythonh[o]sted\.org|^\s*--(?:extra-)?index-url\b",
    "a private key": r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY[-]----",
    "a Google API key": r"\bA[I]za[\w-]{35}\b",
}


def findings(name: str, text: str) -> Iterator[str]:
    for what, pattern in FORBIDDEN.items():
        for match in re.finditer(pattern, text, re.MULTILINE):
            yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {what}"


def test_no_tracked_file_names_a_machine_an_index_or_a_secret() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a Git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    assert paths
    found = [
        finding
        for path in paths
        if path.is_file()
        for finding in findings(str(path.relative_to(ROOT)), path.read_text(errors="replace"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "see /ho" + "me/ann/project",
        "open('/ro" + "ot/.netrc')",
        "cd /wo" + "rk/project",
        "--index" + "-url https://example.com/simple",
        "https://py" + "pi.org/simple",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "key = 'AIz" + "a" * 36 + "'",
    ],
)
def test_a_forbidden_line_is_found(text: str) -> None:
    assert next(findings("file", f"first\n{text}\n")).startswith("file:2: ")


@pytest.mark.parametrize(
    "text", ["GET /api/search", "https://example.com/home/ann/", "./wo" + "rk/main", "uv --no-emit-index-url"]
)
def test_a_harmless_line_is_not(text: str) -> None:
    assert list(findings("file", text)) == []
