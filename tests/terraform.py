"""The real terraform on infra/terraform, with stand-ins for its providers (tests/google_provider/serve.py).

By hand: `.venv/bin/python -m tests.terraform validate`, or `test`, or `plan -var project=acme ...`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.google_provider.project import Project
from tests.google_provider.serve import serving

ROOT = Path(__file__).parents[1]
MODULE = ROOT / "infra" / "terraform"
SMALLEST: dict[str, Any] = {
    "project": "acme-search",
    "function_source": "./README.md",
    "gemini_api_key": "a-gemini-key-that-nobody-may-see",
    "gemini_key_version": 1,
}
"""The variables of a first apply that asks for nothing more."""
LATER: dict[str, Any] = {name: value for name, value in SMALLEST.items() if not name.startswith("gemini_")}
"""Those of a later apply, which has no key."""
NEEDED = (1, 11)
"""The first version with write-only arguments, which versions.tf asks for."""


def terraform() -> str:
    """The terraform program; skips, loudly, where there is none that is new enough."""
    found = shutil.which("terraform")
    if found is None:
        pytest.skip("NOT CHECKED: terraform is not installed")
    ran = subprocess.run([found, "version", "-json"], capture_output=True, text=True, timeout=30, env=_environment({}))
    version = str(json.loads(ran.stdout)["terraform_version"])
    if tuple(int(part) for part in version.split("-")[0].split(".")[:2]) < NEEDED:
        pytest.skip(f"NOT CHECKED: terraform {version} is older than {NEEDED[0]}.{NEEDED[1]}")
    return found


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """No settings of this machine's own, and no network."""
    bare = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**bare, "TF_CLI_CONFIG_FILE": os.devnull, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", **more}


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as it was applied, with what Google would have made up made up."""

    address: str
    type: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform in one folder, with its own files in another."""

    program: str
    folder: Path
    environment: dict[str, str]
    project: Project
    """What the stand-in of Google holds."""

    def run(self, *words: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run a command; `variables` are the module's, as Terraform reads them from the environment."""
        given = {
            f"TF_VAR_{name}": each if isinstance(each, str) else json.dumps(each) for name, each in variables.items()
        }
        return subprocess.run(
            [self.program, *words],
            cwd=self.folder,
            env={**self.environment, **given},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def done(self, *words: str, **variables: Any) -> str:
        """What a command prints that has to succeed."""
        ran = self.run(*words, **variables)
        assert ran.returncode == 0, ran.stderr or ran.stdout
        return ran.stdout

    def applied(self, **variables: Any) -> list[Resource]:
        """What is there once the module was applied with these variables; another apply would change nothing."""
        self.project.clear()
        with tempfile.TemporaryDirectory() as folder:
            state = f"{folder}/terraform.tfstate"
            self.done("apply", "-auto-approve", "-input=false", f"-state={state}", **variables)
            self.done("plan", "-detailed-exitcode", "-input=false", f"-state={state}", **variables)
            shown = json.loads(self.done("show", "-json", state))
        return list(_resources(shown["values"]["root_module"]))

    def outputs(self, **variables: Any) -> dict[str, Any]:
        """What the outputs say once the module was applied with these variables."""
        self.project.clear()
        with tempfile.TemporaryDirectory() as folder:
            state = f"-state={folder}/terraform.tfstate"
            self.done("apply", "-auto-approve", "-input=false", state, **variables)
            said = json.loads(self.done("output", "-json", state))
        return {name: each["value"] for name, each in said.items()}

    def problems(self) -> list[str]:
        """What `terraform validate` finds."""
        found = json.loads(self.run("validate", "-json").stdout)
        return [f"{each['summary']}: {each['detail']}" for each in found["diagnostics"]]


def _resources(module: dict[str, Any]) -> Iterator[Resource]:
    for each in module.get("resources", []):
        if each["mode"] == "managed":
            yield Resource(each["address"], each["type"], each["values"])
    for child in module.get("child_modules", []):
        yield from _resources(child)


@contextmanager
def terraform_in(folder: Path) -> Iterator[Terraform]:
    """Terraform in a folder of .tf files, initialised, which leaves nothing behind there."""
    program, project = terraform(), Project()
    with tempfile.TemporaryDirectory() as own, serving(Path(own), project) as reattached:
        found = Terraform(program, folder, _environment({**reattached, "TF_DATA_DIR": f"{own}/data"}), project)
        found.done("init", "-input=false", "-backend=false")
        yield found


def main() -> int:
    """Run terraform with the words of the command line."""
    with terraform_in(MODULE) as found:
        return subprocess.run(
            [found.program, *sys.argv[1:]], cwd=found.folder, env={**os.environ, **found.environment}
        ).returncode


if __name__ == "__main__":
    raise SystemExit(main())
