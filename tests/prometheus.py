"""promtool, and which metrics an expression names."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.metrics import METRICS, Kind
from tests.servers import ROOT

MINUTES = 60
SUFFIXES = {Kind.COUNTER: ("_total",), Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}
OURS = {metric.name + suffix for metric in METRICS for suffix in SUFFIXES.get(metric.kind, ("",))}
"""The names of all samples that the server shows."""
OTHERS = {"up", "ALERTS", "probe_ssl_earliest_cert_expiry"}
"""Those of Prometheus and of its blackbox exporter that rules and dashboard use."""

_NO_METRIC = re.compile(
    r"""
    \{[^{}]*\} | \[[^\[\]]*\]                                  # labels, ranges
    | \b(by|without|on|ignoring|group_left)\s*\([^()]*\)       # names of labels
    | \b(and|or|unless|bool|offset)\b
    | \b\w+(?=\s*\()                                           # functions
    | \b\d[\w.]*                                               # numbers, times
    """,
    re.VERBOSE,
)


def promtool(*arguments: str, folder: Path) -> tuple[int, str]:
    """What promtool ends with, and what it says."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("NOT CHECKED: the rules, the dashboard and the configuration of Prometheus; there is no promtool")
    ran = subprocess.run((tool, *arguments), cwd=folder, capture_output=True, text=True, timeout=60)
    return ran.returncode, ran.stdout + ran.stderr


def alerts_over(scrapes: Sequence[str], folder: Path) -> set[str]:
    """The alerts of infra/prometheus/rules.yml that fire in an hour in which a server answers with these scrapes.

    Each scrape, in the text format of Prometheus, holds for an equal part of it.
    """
    each = MINUTES // len(scrapes)
    values: dict[str, list[str]] = {'up{job="flamehaven", instance="a"}': [f"1x{MINUTES}"]}
    for number, text in enumerate(scrapes):
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = {**sample.labels, "job": "flamehaven", "instance": "a"}
                series = sample.name + "{" + ", ".join(f"{name}={json.dumps(of)}" for name, of in labels.items()) + "}"
                values.setdefault(series, [f"_x{each - 1}"] * number).append(f"{sample.value!r}x{each - 1}")
    tested = {
        "interval": "1m",
        "input_series": [{"series": series, "values": " ".join(told)} for series, told in values.items()],
        "promql_expr_test": [
            {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{minute}m", "exp_samples": []}
            for minute in range(3, MINUTES, 3)
        ],
    }
    shutil.copy(ROOT / "infra/prometheus/rules.yml", folder)
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [tested]}
    (folder / "scraped.test.yml").write_text(json.dumps(document))
    code, said = promtool("test", "rules", "scraped.test.yml", folder=folder)
    fired = set(re.findall(r'alertname="(\w+)"', said))
    assert bool(code) is bool(fired), said
    return fired


def metrics_in(expression: str) -> set[str]:
    """The names of the metrics in a PromQL expression that promtool takes."""
    without_by = _NO_METRIC.sub(" ", expression)  # `sum by (job) (...)` is now `sum (...)`, a function
    return set(re.findall(r"[a-zA-Z_:][\w:]*", _NO_METRIC.sub(" ", without_by)))
