"""Writes the tables of a Terraform module's README: `.venv/bin/python scripts/terraform_readme.py`.

They come from Terraform itself, which describes the configuration in a plan.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.terraform import MODULE, Terraform, terraform_in  # noqa: E402 - the path above leads to it


def tables(terraform: Terraform, **variables: Any) -> dict[str, str]:
    """The tables of a module, by what they are of; `variables` are those that it cannot be planned without."""
    with tempfile.TemporaryDirectory() as folder:
        terraform.done("plan", "-input=false", f"-state={folder}/state", f"-out={folder}/plan", **variables)
        module = json.loads(terraform.done("show", "-json", f"{folder}/plan"))["configuration"]["root_module"]
    types = declared_types((terraform.folder / "variables.tf").read_text())
    variables = sorted(module["variables"].items(), key=lambda each: ("default" in each[1], each[0]))
    return {
        "variables": "\n".join(
            [
                "| variable | what | type | default | required |",
                "|---|---|---|---|---|",
                *(
                    f"| `{name}` | {_cell(each)} | {_type(types[name])} | {_default(each)} |"
                    for name, each in variables
                ),
            ]
        ),
        "outputs": "\n".join(
            [
                "| output | what |",
                "|---|---|",
                *(f"| `{name}` | {_cell(each)} |" for name, each in sorted(module["outputs"].items())),
            ]
        ),
    }


def declared_types(text: str) -> dict[str, str]:
    """The type of each variable in a .tf file, as it is written there."""
    found = {}
    for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL):
        (kind,) = re.findall(r"^  type +=(?: )(.*?)(?=^  \w|^\s*$|\Z)", body, re.MULTILINE | re.DOTALL)
        found[name] = kind.strip()
    return found


def filled(text: str, tables: dict[str, str]) -> str:
    """A README with the tables between its marks."""
    for name, table in tables.items():
        marks = re.compile(rf"(<!-- {name} -->\n)(?:\|.*?\n)*(<!-- end -->)")
        assert len(marks.findall(text)) == 1, f"the README has no place for the {name}"
        first, last = marks.findall(text)[0]
        text = marks.sub(lambda _, whole=f"{first}{table}\n{last}": whole, text)
    return text


def _type(kind: str) -> str:
    """A type as a cell; each field of an object on a line of its own."""
    lines = [re.sub(r"\s+", " ", line.strip()) for line in kind.splitlines()]
    return "<br>".join(f"`{line}`" for line in lines)


def _default(described: dict[str, Any]) -> str:
    """The cells for the default and for whether a value is required."""
    return f"`{json.dumps(described['default'])}` | no" if "default" in described else "| yes"


def _cell(described: dict[str, Any]) -> str:
    return str(described["description"]).replace("|", "\\|")


def write(module: Path, **variables: Any) -> None:
    """Write the tables into a module's README."""
    with terraform_in(module) as terraform:
        found = tables(terraform, **variables)
    readme = module / "README.md"
    readme.write_text(filled(readme.read_text(), found))


if __name__ == "__main__":
    write(MODULE, project="acme-search", function_source="./README.md")
