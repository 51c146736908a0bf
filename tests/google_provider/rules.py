"""The google provider's own rules for arguments, beyond their types, as it checks them before any call of Google.

`rules.json` holds them for the resources in use, taken from the schemas in the source of
hashicorp/terraform-provider-google 8.0.0 (MPL-2.0). They mean what they mean in Terraform's plugin SDK
(helper/schema/schema.go): which arguments exclude or need each other, how many there may be, which values they take.
Checks that the provider writes as functions of its own are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgpack

Rules = dict[str, dict[str, Any]]
Value = Any
ALL_NEW = ("_iam_member", "google_storage_notification", "google_project_service_identity")
"""Types that are not in rules.json; every change of one replaces it."""


@lru_cache(maxsize=1)
def _known() -> dict[str, Rules]:
    found: dict[str, Rules] = json.loads((Path(__file__).parent / "rules.json").read_text())
    return found


def problems(type_name: str, config: dict[str, Value]) -> list[str]:
    """What the provider would refuse in a resource's configuration; values that are not known yet pass."""
    return list(_problems(_known().get(type_name, {}), config, "", config))


def replacing(type_name: str, prior: dict[str, Value], planned: dict[str, Value]) -> list[str]:
    """The arguments whose change makes the provider replace a resource."""
    changed = [name for name, value in planned.items() if value != prior.get(name)]
    if type_name.endswith(ALL_NEW):
        return [name for name in changed if planned[name] is not None]
    rules = _known().get(type_name, {})
    return [name for name in changed if _forces_new(rules.get(name, {}), prior.get(name), planned[name])]


def _forces_new(rule: dict[str, Any], prior: Value, planned: Value) -> bool:
    """Whether this change of an argument, or one inside of it, replaces the resource."""
    if prior == planned or (isinstance(planned, msgpack.ExtType) and not rule.get("force_new")):
        return False
    if rule.get("force_new"):
        return True
    before, after = (value if isinstance(value, list) else [] for value in (prior, planned))
    return any(
        _forces_new(inner, old.get(name), new.get(name))
        for old, new in zip(before, after, strict=False)
        if isinstance(old, dict) and isinstance(new, dict)
        for name, inner in rule.get("nested", {}).items()
    )


def _problems(rules: Rules, block: dict[str, Value], path: str, config: dict[str, Value]) -> Iterator[str]:
    for name, rule in rules.items():
        key, value = f"{path}{name}", block.get(name)
        yield from _alternatives(key, rule, config)
        if value is None or value == []:
            if rule.get("required"):
                yield f"{key}: at least 1 block is required"
            continue
        yield from _companions(key, rule, config)
        if not isinstance(value, msgpack.ExtType):
            yield from _values(key, rule, value)
        if isinstance(value, list):
            for number, each in enumerate(value):
                if isinstance(each, dict):
                    yield from _problems(rule.get("nested", {}), each, f"{key}.{number}.", config)


def _alternatives(key: str, rule: dict[str, Any], config: dict[str, Value]) -> Iterator[str]:
    if "exactly_one_of" in rule:
        names = sorted({key, *rule["exactly_one_of"]})
        found = [name for name in names if _given(config, name)]
        known = [name for name in found if not _unknown(config, name)]
        if not found:
            yield f"{key}: one of `{','.join(names)}` must be specified"
        elif len(known) > 1:
            yield f"{key}: only one of `{','.join(names)}` can be specified, but `{','.join(known)}` were specified."
    if (names := rule.get("at_least_one_of")) and not any(_given(config, name) for name in names):
        yield f"{key}: one of `{','.join(names)}` must be specified"


def _companions(key: str, rule: dict[str, Any], config: dict[str, Value]) -> Iterator[str]:
    for name in rule.get("conflicts_with", ()):
        if name != key and _given(config, name) and not _unknown(config, name):
            yield f"{key}: conflicts with {name}"
    names = sorted({key, *rule.get("required_with", ())})
    if not all(_given(config, name) for name in names):
        yield f"{key}: all of `{','.join(names)}` must be specified"


def _values(key: str, rule: dict[str, Any], value: Value) -> Iterator[str]:
    if isinstance(value, list):
        if len(value) < rule.get("min_items", 0):
            yield f"{key}: at least {rule['min_items']} item(s) are needed"
        if len(value) > rule.get("max_items", len(value)):
            yield f"{key}: at most {rule['max_items']} item(s) are allowed"
        return
    if isinstance(value, str):
        allowed = rule.get("one_of")
        if allowed is not None and value not in allowed:
            yield f"{key}: expected to be one of {allowed}, got {value}"
        allowed = rule.get("one_of_any_case")
        if allowed is not None and value.upper() not in {each.upper() for each in allowed}:
            yield f"{key}: expected to be one of {allowed}, got {value}"
        if "pattern" in rule and not re.search(rule["pattern"], value):
            yield f"{key}: {value} does not match {rule['pattern']}"
    if isinstance(value, int | float) and not isinstance(value, bool) and "between" in rule:
        least, most = rule["between"]
        if value < least or (most is not None and value > most):
            yield f"{key}: expected to be in the range ({least:g} - {most}), got {value:g}"


def _given(config: dict[str, Value], path: str) -> bool:
    found = _at(config, path)
    return found is not None and found != []


def _unknown(config: dict[str, Value], path: str) -> bool:
    return isinstance(_at(config, path), msgpack.ExtType)


def _at(config: Value, path: str) -> Value:
    """The value at a path such as rotation.0.rotation_period; what is inside an unknown value is unknown."""
    for step in path.split("."):
        if isinstance(config, msgpack.ExtType):
            return config
        if isinstance(config, list):
            config = config[int(step)] if step.isdigit() and int(step) < len(config) else None
        else:
            config = config.get(step) if isinstance(config, dict) else None
    return config
