"""infra/prometheus: what promtool says of it, that each alert is raised when it should be, and what it tells people."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from functions.ingest.reconcile import Outcome
from shared.errors import STATUS_OF_CODE
from shared.metrics import METRICS
from tests.prometheus import OTHERS, OURS, metrics_in, promtool
from tests.schemas import read
from tests.servers import ROOT

FOLDER = ROOT / "infra/prometheus"
RULES = (FOLDER / "rules.yml").read_text()
CONFIG = (FOLDER / "prometheus.yml").read_text()
SCENARIOS: list[dict[str, Any]] = read((FOLDER / "rules.test.yml").read_text())["tests"]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in read(RULES)["groups"][0]["rules"]}


def test_promtool_takes_the_configuration() -> None:
    code, said = promtool("check", "config", "prometheus.yml", folder=FOLDER)
    assert code == 0, said
    assert f"{len(ALERTS)} rules found" in said


def test_what_is_commented_out_is_right_too(tmp_path: Path) -> None:
    commented = re.compile(r"^( *)# (?=- job_name|  |authorization: |alerting:)", re.MULTILINE)
    whole = commented.sub(r"\1", CONFIG).replace("/etc/prometheus/", "")
    (tmp_path / "prometheus.yml").write_text(whole)
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "flamehaven.key").write_text("x")
    found = read(whole)
    assert [job["job_name"] for job in found["scrape_configs"]] == ["flamehaven", "certificate"]
    assert "authorization" in found["scrape_configs"][0]
    assert found["alerting"]
    code, said = promtool("check", "config", "prometheus.yml", folder=tmp_path)
    assert code == 0, said


def test_each_server_raises_the_alerts_that_it_should_and_no_others() -> None:
    code, said = promtool("test", "rules", "rules.test.yml", folder=FOLDER)
    assert code == 0, said


def raised_in(scenario: dict[str, Any]) -> set[str]:
    """The alerts that a scenario expects."""
    return set(re.findall(r'alertname="(\w+)"', str(scenario["promql_expr_test"])))


def tried(rules: str, alert: str, folder: Path) -> int:
    """How promtool ends on other rules, with the scenarios that concern an alert."""
    about = [scenario for number, scenario in enumerate(SCENARIOS) if number == 0 or alert in raised_in(scenario)]
    (folder / "rules.yml").write_text(rules)
    with (folder / "rules.test.yml").open("w") as file:
        YAML().dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": about}, file)
    return promtool("test", "rules", "rules.test.yml", folder=folder)[0]


def changed(alert: str, **to: str) -> str:
    """The rules with an alert that is another."""
    document = YAML()
    rules = document.load(RULES)
    (rule,) = [rule for rule in rules["groups"][0]["rules"] if rule["alert"] == alert]
    rule.update(to)
    text = StringIO()
    document.dump(rules, text)
    return text.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("alert", ALERTS)
def test_no_alert_could_be_missing(alert: str, tmp_path: Path) -> None:
    assert tried(RULES, alert, tmp_path) == 0
    assert tried(changed(alert, expr="vector(1) > 1"), alert, tmp_path) == 1, "it never fires"


@pytest.mark.parametrize(
    ("alert", "right", "wrong"),
    [
        ("FlamehavenDown", "== 0 or absent", "== 1 or absent"),
        ("FlamehavenErrors", '|SERVICE_UNAVAILABLE",', '|SERVICE_UNAVAILABLE|STORE_NOT_FOUND",'),
        ("FlamehavenDeadLetters", "increase(ingest_dead_letters_total[1h])", "ingest_dead_letters_total"),
    ],
)
def test_a_mistake_is_noticed(alert: str, right: str, wrong: str, tmp_path: Path) -> None:
    assert RULES.count(right) == 1
    assert tried(RULES.replace(right, wrong), alert, tmp_path) == 1


def test_every_alert_is_raised_in_a_scenario() -> None:
    assert set().union(*map(raised_in, SCENARIOS)) == ALERTS.keys()


def test_alerts_rest_on_metrics_that_there_are() -> None:
    for name, rule in ALERTS.items():
        used = metrics_in(rule["expr"])
        assert used, name
        assert used <= OURS | OTHERS, name


def test_names_are_found_in_expressions() -> None:
    """Of the reading of expressions that the tests of names rest on."""
    expression = (
        'sum by (job, le) (rate(a_total{b="c"}[5m])) / 2 > on (x) max_over_time(d[1h]) and e:f offset 5m or g == 1'
    )
    assert metrics_in(expression) == {"a_total", "d", "e:f", "g"}


def test_errors_are_those_of_the_server() -> None:
    """errors_total counts mistakes of callers too."""
    (named,) = re.findall(r'error_type=~"([\w|]+)"', ALERTS["FlamehavenErrors"]["expr"])
    assert set(named.split("|")) == {code for code, status in STATUS_OF_CODE.items() if status >= 500}


def test_labels_have_values_that_there_are() -> None:
    outcomes = re.findall(r'ingest_outcomes_total\{outcome=~?"([\w|]+)"', RULES)
    assert {each for named in outcomes for each in named.split("|")} <= set(Outcome)
    known = {metric.name: set(metric.labels) for metric in METRICS}
    for name, matchers in re.findall(r"(\w+?)(?:_total|_bucket)?\{([^{}]*)\}", RULES):
        if name in known:
            assert set(re.findall(r"(\w+)=?[=!]~?\"", matchers)) <= known[name] | {"job", "instance"}, name


@pytest.mark.parametrize("alert", ALERTS)
def test_people_are_told_what_it_is_and_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning")
    texts = rule["annotations"]
    assert texts.keys() == {"summary", "description", "runbook_url"}
    assert texts["runbook_url"] == f"{{{{ $externalLabels.runbooks }}}}#{alert.lower()}"
    runbook = (ROOT / "docs/operations.md").read_text()
    assert re.search(rf"^### {alert}\n\n\w.{{40}}", runbook, re.MULTILINE), "docs/operations.md has to say what to do"
    raised = " ".join(re.findall(rf"ALERTS{{[^}}]*\"{alert}\"[^}}]*}}", str(SCENARIOS)))
    for label in re.findall(r"\$labels\.(\w+)", str(texts)):
        assert f"{label}=" in raised, f"the alert has no label {label}"
