"""The stand-in for the google provider refuses the configurations that the provider itself refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.google_provider import rules

UNKNOWN = msgpack.ExtType(0, b"")
KNOWN: dict[str, rules.Rules] = json.loads((Path(rules.__file__).parent / "rules.json").read_text())
VERSION: dict[str, Any] = {"secret": "s", "secret_data_wo": "k", "secret_data_wo_version": "1"}
JOB: dict[str, Any] = {"name": "sweep", "http_target": [{"uri": "https://x.example.com"}]}
SECRET: dict[str, Any] = {
    "secret_id": "s",
    "replication": [{"auto": [{}]}],
    "topics": [{"name": "t"}],
    "rotation": [{"rotation_period": "7776000s"}],
}
FIREWALL: dict[str, Any] = {"name": "fw", "allow": [{"protocol": "tcp"}], "target_service_accounts": ["a"]}


@pytest.mark.parametrize(
    ("type_name", "right", "change", "said"),
    [
        ("google_secret_manager_secret_version", VERSION, {"secret_data": "k"}, "only one of"),
        ("google_secret_manager_secret_version", VERSION, {"secret_data_wo": None}, "must be specified"),
        ("google_secret_manager_secret_version", VERSION, {"secret_data_wo_version": None}, "all of"),
        ("google_secret_manager_secret", SECRET, {"topics": []}, "all of"),
        ("google_secret_manager_secret", SECRET, {"replication": []}, "is required"),
        ("google_cloud_scheduler_job", JOB, {"pubsub_target": [{"topic_name": "t"}]}, "only one of"),
        ("google_cloud_scheduler_job", JOB, {"http_target": []}, "must be specified"),
        ("google_cloud_scheduler_job", JOB, {"retry_config": [{}]}, "must be specified"),
        ("google_compute_firewall", FIREWALL, {"target_tags": ["web"]}, "conflicts with"),
        ("google_compute_firewall", FIREWALL, {"priority": 65536}, "in the range"),
        ("google_compute_firewall", FIREWALL, {"name": "Upper"}, "does not match"),
    ],
)
def test_a_violation_is_refused(type_name: str, right: dict[str, Any], change: dict[str, Any], said: str) -> None:
    assert rules.problems(type_name, right) == []
    assert any(said in problem for problem in rules.problems(type_name, right | change))


def test_what_is_not_known_yet_passes() -> None:
    assert rules.problems("google_secret_manager_secret_version", VERSION | {"secret_data_wo": UNKNOWN}) == []


def inside(type_rules: rules.Rules, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Each argument that has a rule, at any depth."""
    for name, rule in type_rules.items():
        yield (*path, name), rule
        yield from inside(rule.get("nested", {}), (*path, name))


def at(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A configuration with one value at a path, each block on the way once."""
    for name in reversed(path[1:]):
        value = [{name: value}]
    return {path[0]: value}


def test_every_enum_range_and_limit_is_enforced() -> None:
    tried = 0
    for type_name, type_rules in KNOWN.items():
        for path, rule in inside(type_rules):
            wrong: list[Any] = []
            if "one_of" in rule or "one_of_any_case" in rule:
                wrong.append("no-such-value")
            if "between" in rule:
                wrong.append(rule["between"][0] - 1)
            if "max_items" in rule:
                wrong.append([{} for _ in range(rule["max_items"] + 1)])
            if rule.get("min_items", 0) > 1:
                wrong.append(["one"])
            for value in wrong:
                key = ".0.".join(path)
                said = [each for each in rules.problems(type_name, at(path, value)) if each.startswith(f"{key}: ")]
                assert any("expected" in each or "item(s)" in each for each in said), f"{type_name}: {key} = {value!r}"
                tried += 1
    assert tried > 500


def test_a_change_that_replaces_is_known() -> None:
    assert rules.replacing("google_pubsub_topic", {"name": "a", "labels": {}}, {"name": "b", "labels": {"x": "y"}}) == [
        "name"
    ]
    assert rules.replacing("google_pubsub_topic_iam_member", {"member": "a"}, {"member": "b"}) == ["member"]
