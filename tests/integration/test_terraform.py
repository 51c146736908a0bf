"""Terraform's own checks on infra/terraform, and that they find what is wrong."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.terraform_readme import filled, tables
from shared.settings import Settings
from tests.terraform import MODULE, ROOT, SMALLEST, Terraform, terraform_in

TESTS = {path.name.partition(".")[0]: path.read_text() for path in (MODULE / "tests").glob("*.tftest.hcl")}
BORING = {"locals.tf", "outputs.tf", "variables.tf", "versions.tf"}


@pytest.fixture(scope="module")
def terraform() -> Iterator[Terraform]:
    with terraform_in(MODULE) as found:
        yield found


def said_by(ran: subprocess.CompletedProcess[str]) -> str:
    """What Terraform says, without its frame."""
    return " ".join(ran.stderr.replace("│", "").split())


def test_every_file_is_formatted(terraform: Terraform) -> None:
    assert terraform.run("fmt", "-check", "-recursive", "-diff").stdout == ""


def test_the_module_fits_the_providers_types(terraform: Terraform) -> None:
    assert terraform.problems() == []


@pytest.mark.slow
def test_its_own_tests_pass(terraform: Terraform) -> None:
    found = [json.loads(line) for line in terraform.done("test", "-json").splitlines()]
    (summary,) = (each["test_summary"] for each in found if each["type"] == "test_summary")
    assert (summary["failed"], summary["errored"], summary["skipped"]) == (0, 0, 0)
    assert summary["passed"] == len(re.findall(r"^run ", "".join(TESTS.values()), re.MULTILINE)) > 5


def test_every_condition_of_a_variable_has_a_value_that_it_refuses() -> None:
    conditions = Counter[str]()
    for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', (MODULE / "variables.tf").read_text(), re.M | re.S):
        conditions[name] = body.count("validation {")
    refused = Counter(re.findall(r"\bvar\.(\w+)", " ".join(re.findall(r"expect_failures = .*", TESTS["refused"]))))
    assert {name for name, count in conditions.items() if refused[name] < count} == set()


def test_the_readme_has_the_variables_and_outputs_that_there_are(terraform: Terraform) -> None:
    readme = (MODULE / "README.md").read_text()
    found = tables(terraform, project="acme-search", function_source="./README.md")
    assert filled(readme, found) == readme, "run scripts/terraform_readme.py"
    assert "`string` | | yes |" in found["variables"]


def test_the_guide_names_outputs_and_variables_that_there_are() -> None:
    guide = (MODULE.parents[1] / "docs/deploy-google-cloud.md").read_text()
    text = "".join(path.read_text() for path in MODULE.glob("*.tf"))
    outputs = set(re.findall(r'^output "(\w+)"', text, re.MULTILINE))
    named = set(re.findall(r"terraform\s+output -raw (\w+)", guide))
    assert len(named) > 5
    assert named <= outputs
    variables = set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))
    assert set(re.findall(r"`(\w+) = [{0-9]", guide)) <= variables


def test_the_readme_lists_the_files() -> None:
    listed = set(re.findall(r"`(\w+\.tf)`", (MODULE / "README.md").read_text()))
    assert listed - {"backend.tf"} == {path.name for path in MODULE.glob("*.tf")} - BORING


def test_the_example_of_variables_is_taken(terraform: Terraform) -> None:
    folder = MODULE / "examples" / "minimal"
    example = (folder / "terraform.tfvars.example").read_text()
    given = re.findall(r"^(\w+) +=", example, re.MULTILINE)
    assert "project" in given
    everything = re.sub(r"^# (?=\w+ = )", "", example, flags=re.MULTILINE)
    for text in (example, "\n".join({line.partition(" ")[0]: line for line in everything.splitlines()}.values())):
        with tempfile.NamedTemporaryFile("w", suffix=".tfvars") as file:
            file.write(text)
            file.flush()
            terraform.done("plan", "-input=false", f"-var-file={file.name}", "-var=function_source=./README.md")


@pytest.mark.parametrize(
    ("file", "right", "wrong", "said"),
    [
        ("queues.tf", "ack_deadline_seconds       = 600", "ack_dedline_seconds = 600", "Unsupported argument"),
        ("buckets.tf", "  location                    = local.location\n", "", "Missing required argument"),
        ("functions.tf", "timeout_seconds                  = each.value.timeout", "timeout_seconds = [1]", "Incorrect"),
        ("queues.tf", "  retry_policy {", "  retry_rules {", "Unsupported block type"),
        (
            "scheduler.tf",
            '"google_cloud_scheduler_job" "unfinished"',
            '"google_cron_job" "unfinished"',
            "Invalid resource",
        ),
        ("buckets.tf", 'bucket["documents"].name}"', 'bucket["documents"].nam}"', "Unsupported attribute"),
        (
            "buckets.tf",
            '  lifecycle_rule {\n    action {\n      type = "Delete"\n    }\n',
            "  lifecycle_rule {\n",
            "Insufficient action blocks",
        ),
        ("secrets.tf", "  secret_data_wo         = var.gemini_api_key\n", "", "Refused: secret_data"),
        (
            "secrets.tf",
            "  topics {\n    name = google_pubsub_topic.rotation.id\n  }\n",
            "",
            "Refused: rotation: all of",
        ),
        (
            "monitoring.tf",
            'combiner              = "OR"',
            'combiner = "ANY"',
            "Refused: combiner: expected to be one of",
        ),
    ],
)
def test_a_planted_mistake_is_found(tmp_path: Path, file: str, right: str, wrong: str, said: str) -> None:
    folder = tmp_path / "module"
    shutil.copytree(MODULE, folder, ignore=shutil.ignore_patterns(".terraform*"))
    text = (folder / file).read_text()
    assert right in text
    (folder / file).write_text(text.replace(right, wrong, 1))
    with terraform_in(folder) as planted:
        problems = planted.problems()
    assert problems
    assert all(problem.startswith(said) for problem in problems), problems


def test_the_key_is_in_no_plan_and_no_state(terraform: Terraform, tmp_path: Path) -> None:
    plan, state = tmp_path / "plan", tmp_path / "state"
    terraform.project.clear()
    given = SMALLEST
    planned = terraform.done("plan", "-input=false", f"-state={state}", f"-out={plan}", **given)
    applied = terraform.done("apply", "-input=false", f"-state={state}", str(plan), **given)
    assert "google_secret_manager_secret_version.gemini_api_key[0]: Creation complete" in applied
    for text in (planned, applied, terraform.done("show", "-json", str(plan)), state.read_text()):
        assert SMALLEST["gemini_api_key"] not in text


def test_a_missing_zip_is_told_before_anything_is_made(terraform: Terraform) -> None:
    ran = terraform.run("plan", "-no-color", project="acme-search", function_source="./missing.zip")
    assert ran.returncode == 1
    assert "There is no ./missing.zip. Run python3 scripts/function_source.py first" in said_by(ran)


def test_a_backup_beside_the_documents_is_refused(terraform: Terraform) -> None:
    ran = terraform.run(
        "plan",
        "-no-color",
        project="acme-search",
        function_source="./README.md",
        backup={"location": "EUROPE-WEST1"},
    )
    assert ran.returncode == 1
    assert "where the documents are too" in said_by(ran)


def test_commands_that_ask_no_gemini_need_no_key_of_it(
    terraform: Terraform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = terraform.outputs(**SMALLEST)
    events, program, command = outputs["dead_letters"].rsplit(" ", 2)
    assert (program, command) == ("flamehaven", "dead-letters")
    for setting in events.split():
        monkeypatch.setenv(*setting.split("=", 1))
    assert Settings().events_url == "pubsub://acme-search/flamehaven-ingest"
    words = shlex.split(outputs["make_key"])
    at = words.index("flamehaven")
    environment = dict(each.split("=", 1) for each in words[:at])
    assert environment["STATE_URL"] == outputs["state_bucket"]
    here = {"STATE_URL": f"{tmp_path}/state", "DOCUMENTS_URL": f"{tmp_path}/documents"}
    ran = subprocess.run(
        (sys.executable, "-m", "flamehaven.cli", *words[at + 1 :]),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment, **here},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.startswith("sk_live_"), ran.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"state"}, "it leaves nothing else behind"
