"""The CI workflows and the hooks before a commit: what their schemas accept, and what they may not do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pre_commit.clientlib import load_config

from tests.schemas import problems, read
from tests.servers import ROOT

TESTING = [ROOT / ".github/workflows/ci.yml", ROOT / "infra/ci/deploy.yml"]
WORKFLOWS = [*TESTING, ROOT / "infra/ci/terraform.yml"]
SCHEMAS = ("vendor.github-workflows", "custom.github-workflows-require-timeout")


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_what_its_schema_says(path: Path) -> None:
    for schema in SCHEMAS:
        assert problems(schema, read(path.read_text())) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("runs-on:", "run-on:"), ("contents: read", "contents: all"), ("timeout-minutes: 30", "env: {}")],
)
def test_a_mistake_is_noticed(right: str, wrong: str) -> None:
    text = WORKFLOWS[0].read_text()
    assert right in text
    assert [each for schema in SCHEMAS for each in problems(schema, read(text.replace(right, wrong)))]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_and_takes_no_text_of_others_into_a_shell(path: Path) -> None:
    workflow = read(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), "a tag can be moved, a commit cannot"
            assert re.search(rf"{step['uses']} # v\d+\.\d+\.\d+\n", path.read_text())
        if "run" in step:
            assert "${{" not in step["run"], "an expression in a script is a way in: pass it by env"
            checked = subprocess.run(("bash", "-n"), input=step["run"], capture_output=True, text=True, timeout=10)
            assert checked.stderr == ""


def test_both_scan_and_the_project_itself_is_tested_on_every_python() -> None:
    for path in TESTING:
        words = " ".join(f"{step.get('run', '')} {step.get('uses', '')}" for step in steps(read(path.read_text())))
        for needed in ("scripts/test", "scripts/scan gitleaks pip-audit", "trufflesecurity/trufflehog", "docker build"):
            assert needed in words, f"{path.name}: {needed}"
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert read(WORKFLOWS[0].read_text())["jobs"]["test"]["strategy"]["matrix"]["python"] == classifiers


def test_the_hooks_before_a_commit_can_be_read_and_their_tools_are_of_the_development_lock() -> None:
    (repository,) = load_config(ROOT / ".pre-commit-config.yaml")["repos"]
    hooks = {hook["id"]: hook["entry"] for hook in repository["hooks"]}
    assert hooks.keys() == {"ruff-check", "ruff-format", "mypy", "hadolint", "gitleaks", "trufflehog", "tracked-files"}
    assert [name for name, entry in hooks.items() if not entry.startswith(".venv/bin/")] == ["trufflehog"]


def test_a_key_is_replaced_as_a_whole_and_never_by_nothing(tmp_path: Path) -> None:
    """What the operator's pipeline runs on the machine."""
    script = next(
        step["run"] for step in steps(read(WORKFLOWS[1].read_text())) if "gemini.key.new" in step.get("run", "")
    )
    (command,) = re.findall(r"ssh [^']*'([^']*)' < key", script)
    key = tmp_path / "gemini.key"
    key.write_text("old")
    key.chmod(0o640)

    def replace(by: str) -> int:
        words = ("sh", "-c", command.replace("/etc/secrets", str(tmp_path)))
        return subprocess.run(words, input=by, text=True, timeout=10).returncode

    assert replace("") != 0
    assert key.read_text() == "old"
    assert replace("new") == 0
    assert (key.read_text(), oct(key.stat().st_mode)[-3:]) == ("new", "640")
    assert [path.name for path in tmp_path.iterdir()] == ["gemini.key"]


def test_a_pull_request_only_plans_and_nothing_names_a_version_of_the_product() -> None:
    jobs = read((ROOT / "infra/ci/terraform.yml").read_text())["jobs"]
    commands = {name: " ".join(step.get("run", "") for step in job["steps"]) for name, job in jobs.items()}
    assert "terraform apply" in commands["apply"]
    assert "apply" not in commands["plan"]
    assert jobs["plan"]["if"] == "github.event_name == 'pull_request'"
    assert jobs["apply"]["if"] == "github.event_name == 'push'"
    for path in (ROOT / "infra/ci").iterdir():
        assert not re.search(r"filesearch:\d", path.read_text()), f"{path.name} would deploy under a wrong tag"
