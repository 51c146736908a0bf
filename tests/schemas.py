"""Documents of others' formats, read as YAML 1.2 and held against the schemas that check-jsonschema carries."""

from __future__ import annotations

from typing import Any

import jsonschema
from check_jsonschema.builtin_schemas import get_builtin_schema
from ruamel.yaml import YAML


def read(text: str) -> dict[str, Any]:
    """A YAML document; `on` is a name in it, and no boolean."""
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return found


def problems(schema: str, document: dict[str, Any]) -> list[str]:
    """What a schema finds wrong with a document."""
    rules = get_builtin_schema(schema)
    kind = jsonschema.validators.validator_for(rules)
    return [f"{error.json_path}: {error.message}" for error in kind(rules).iter_errors(document)]
