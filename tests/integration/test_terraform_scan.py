"""What checkov finds in infra/terraform: nothing that is not justified where it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.environments import python_with
from tests.terraform import MODULE

pytestmark = pytest.mark.slow
CHECKOV = "checkov==3.3.30"


def scanned(folder: Path) -> dict[str, dict[str, Any]]:
    """What it found, by kind of file."""
    python = python_with(CHECKOV.replace("==", "-"), CHECKOV)
    command = [python, "-m", "checkov.main", "-d", folder, "--skip-download", "--output", "json", "--compact"]
    patient = {**os.environ, "HCL_PARSE_TIMEOUT_SEC": "120"}  # a file that takes longer is left out
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, env=patient)
    found = json.loads(ran.stdout)
    return {each["check_type"]: each for each in (found if isinstance(found, list) else [found])}


def test_it_passes_and_every_skip_says_why() -> None:
    found = scanned(MODULE)
    failed = [check["check_id"] for each in found.values() for check in each["results"]["failed_checks"]]
    assert failed == []
    assert found["terraform"]["summary"]["passed"] > 50
    assert found["terraform"]["summary"]["parsing_errors"] == 0
    skips = re.findall(r"checkov:skip=(\w+)(.*)", "".join(path.read_text() for path in MODULE.rglob("*.tf")))
    assert {name for name, reason in skips if len(reason) < 20} == set()
    assert {each["check_id"] for each in found["terraform"]["results"]["skipped_checks"]} == {name for name, _ in skips}


def test_a_planted_mistake_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "module"
    shutil.copytree(MODULE, folder)
    text = (folder / "buckets.tf").read_text()
    planted = text.replace('public_access_prevention    = "enforced"', 'public_access_prevention    = "inherited"')
    assert planted != text
    (folder / "buckets.tf").write_text(planted)
    failed = {each["check_id"] for each in scanned(folder)["terraform"]["results"]["failed_checks"]}
    assert failed == {"CKV_GCP_114"}
