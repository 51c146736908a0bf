"""The Dockerfile, as hadolint sees it: no rule is left out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

TEXT = (ROOT / "Dockerfile").read_text()


def findings(text: str) -> list[str]:
    """The rules that a Dockerfile breaks."""
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("NOT CHECKED: the Dockerfile; hadolint is not beside this Python")
    command = (hadolint, "--format", "json", "--no-fail", "-")
    ran = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=60)
    return [each["code"] for each in json.loads(ran.stdout)]


def test_no_rule_is_broken() -> None:
    assert findings(TEXT) == []


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("USER 1000:1000", "USER root", "DL3002"),
        ("python:3.12-slim AS", "python AS", "DL3006"),
        ("WORKDIR /app\n", "WORKDIR app\n", "DL3000"),
    ],
)
def test_a_mistake_is_noticed(right: str, wrong: str, rule: str) -> None:
    assert right in TEXT
    assert rule in findings(TEXT.replace(right, wrong))
