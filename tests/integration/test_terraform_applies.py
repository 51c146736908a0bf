"""Applies of infra/terraform one after another, on a stand-in of Google that refuses what Google would refuse."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.function_source import ZIPS, write
from tests.terraform import LATER, MODULE, SMALLEST, Terraform, terraform_in

EXAMPLES = MODULE / "examples"
ALERTED = {"alerts": {"emails": ["ops@example.com", "old@example.com"]}}
VALUES: dict[str, Any] = {
    "project": "acme-search",
    "gemini_api_key": SMALLEST["gemini_api_key"],
    "gemini_key_version": 1,
    "gemini_project": "acme-gemini",
    "members": ["group:staff@example.com"],
    "emails": ["ops@example.com"],
    "budget": {"billing_account": "01AB23-45CD67-89EF01", "amount": 20},
    "key_project": "projects/acme-keys",
    "domain": "search.example.com",
}


class Deployed:
    """A state of its own, which applies follow each other on."""

    def __init__(self, terraform: Terraform, state: Path) -> None:
        self._terraform, self._state = terraform, f"-state={state}"

    def apply(self, **variables: Any) -> None:
        self._terraform.done("apply", "-auto-approve", "-input=false", self._state, **variables)

    def refused(self, **variables: Any) -> str:
        """What is said of an apply that fails."""
        ran = self._terraform.run("apply", "-auto-approve", "-input=false", "-no-color", self._state, **variables)
        assert ran.returncode == 1, ran.stdout
        return " ".join(ran.stderr.replace("│", "").split())

    def planned(self, folder: Path, **variables: Any) -> dict[str, list[str]]:
        """What a plan would do to each resource that it changes."""
        self._terraform.done("plan", "-input=false", self._state, f"-out={folder}/plan", **variables)
        changes = json.loads(self._terraform.done("show", "-json", f"{folder}/plan"))["resource_changes"]
        actions = {each["address"]: each["change"]["actions"] for each in changes if each["mode"] == "managed"}
        return {address: each for address, each in actions.items() if each != ["no-op"]}

    def destroy(self, **variables: Any) -> None:
        self._terraform.done("destroy", "-auto-approve", "-input=false", self._state, **variables)


@pytest.fixture(scope="module")
def terraform() -> Iterator[Terraform]:
    with terraform_in(MODULE) as found:
        yield found


@pytest.fixture
def deployed(terraform: Terraform, tmp_path: Path) -> Deployed:
    terraform.project.clear()
    return Deployed(terraform, tmp_path / "terraform.tfstate")


def test_an_apply_without_the_key_keeps_what_is_there(deployed: Deployed, tmp_path: Path) -> None:
    deployed.apply(**SMALLEST)
    version = "google_secret_manager_secret_version.gemini_api_key[0]"
    assert deployed.planned(tmp_path, **LATER) == {version: ["delete"]}, "Terraform forgets it, Google keeps it"
    deployed.apply(**LATER)
    assert deployed.planned(tmp_path, **LATER) == {}


@pytest.mark.slow
def test_without_a_version_of_the_key_no_function_is_made(
    deployed: Deployed, terraform: Terraform, tmp_path: Path
) -> None:
    assert "Error 404: Secret [flamehaven-gemini-api-key] not found or has no versions" in deployed.refused(**LATER)
    terraform.project.secret_versions["flamehaven-gemini-api-key"] += 1  # gcloud secrets versions add
    deployed.apply(**LATER)
    assert deployed.planned(tmp_path, **LATER) == {}


@pytest.mark.slow
def test_an_address_is_taken_from_alerts(deployed: Deployed, tmp_path: Path) -> None:
    deployed.apply(**SMALLEST, **ALERTED)
    deployed.apply(**LATER, alerts={"emails": ["ops@example.com"]})
    assert deployed.planned(tmp_path, **LATER, alerts={"emails": ["ops@example.com"]}) == {}


@pytest.mark.slow
def test_what_is_added_later_replaces_nothing(deployed: Deployed, tmp_path: Path) -> None:
    deployed.apply(**SMALLEST)
    more = {**ALERTED, "vm": {"domain": "files.example.com", "version": "1"}, "rotation": {"source": "./README.md"}}
    planned = deployed.planned(tmp_path, **LATER, **more)
    replaced = {address for address, actions in planned.items() if "delete" in actions and "create" in actions}
    assert {address for address in replaced if not address.startswith("time_sleep.")} == set()
    deployed.apply(**LATER, **more)


@pytest.mark.slow
def test_everything_is_destroyed_once_it_is_not_protected(deployed: Deployed) -> None:
    deployed.apply(**SMALLEST, **ALERTED)
    deployed.apply(**LATER, **ALERTED, deletion_protection=False)
    deployed.destroy(**LATER, **ALERTED, deletion_protection=False)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples in a checkout that has the functions' zips."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(MODULE, root / "infra" / "terraform", ignore=shutil.ignore_patterns(".terraform*"))
    for zipped in ZIPS:
        write(zipped, root / "dist")
    return root / "infra" / "terraform" / "examples"


@pytest.mark.slow
def test_two_deployments_share_a_project(examples: Path, tmp_path: Path) -> None:
    with terraform_in(examples / "two_environments") as terraform:
        two = Deployed(terraform, tmp_path / "terraform.tfstate")
        assert "not found or has no versions" in two.refused(project="acme-search")
        for name in ("staging", "production"):
            terraform.project.secret_versions[f"{name}-gemini-api-key"] += 1
        two.apply(project="acme-search")
        assert two.planned(tmp_path, project="acme-search") == {}


def test_a_pipeline_s_accounts_are_made_and_can_grant_only_what_the_module_grants(tmp_path: Path) -> None:
    given = {"project": "acme-search", "repository": "acme/search", "state_bucket": "acme-terraform"}
    with terraform_in(MODULE / "pipeline") as terraform:
        found = terraform.applied(**given)
    values = {each.address: each.values for each in found}
    grants = values["google_project_iam_member.applier_grants"]["condition"][0]["expression"]
    used = "".join(path.read_text() for path in MODULE.rglob("*.tf") if path.parent.name != "pipeline")
    granted = re.findall(r'"google_project_iam_member" "\w+" \{.*?role += "([^"]+)"', used, re.DOTALL)
    assert set(re.findall(r'"(roles/[^"]+)"', grants)) == set(granted)
    provider = values["google_iam_workload_identity_pool_provider.github"]
    assert provider["attribute_condition"] == "assertion.repository == 'acme/search'"
    may_apply = values['google_service_account_iam_member.github["applier"]']["member"]
    assert may_apply.endswith("attribute.branch/acme/search@refs/heads/main")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({path.name for path in EXAMPLES.iterdir()} - {"two_environments"}))
def test_an_example_is_applied_and_stays(name: str, examples: Path, tmp_path: Path) -> None:
    wanted = set((examples / name / "variables.tf").read_text().split('"'))
    values = {variable: value for variable, value in VALUES.items() if variable in wanted}
    later = {variable: value for variable, value in values.items() if not variable.startswith("gemini_")} | (
        {"gemini_project": "acme-gemini"} if "gemini_project" in wanted else {}
    )
    with terraform_in(examples / name) as terraform:
        root = Deployed(terraform, tmp_path / "terraform.tfstate")
        root.apply(**values)
        root.apply(**later)
        assert root.planned(tmp_path, **later) == {}
