"""docs/security.md: the tests that it names are there, and no requirement is left without a word."""

from __future__ import annotations

import re

from tests.servers import ROOT

ROWS = re.findall(
    r"^\| (\d[\d., to]*) \| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs/security.md").read_text(), re.MULTILINE
)
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


def test_every_test_that_the_table_names_is_there() -> None:
    named = {name for row in ROWS for name in re.findall(r"`(test_\w+)`", row[2])}
    files = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert len(ROWS) > 60
    assert [name for name in sorted(named) if f"def {name}(" not in TESTS and name not in files] == []


def test_every_row_says_how_and_what_is_missing_says_why() -> None:
    for number, asks, how in ROWS:
        assert asks.strip(), number
        assert len(how.strip()) > 10, number
        if "**" in how:
            assert len(re.sub(r"\*\*[^*]+\*\*|`[^`]+`", "", how)) > 30, f"{number} is not met, and does not say why"
