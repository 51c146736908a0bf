"""promtool, and which metrics an expression names."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from shared.metrics import METRICS, Kind

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


def metrics_in(expression: str) -> set[str]:
    """The names of the metrics in a PromQL expression that promtool takes."""
    without_by = _NO_METRIC.sub(" ", expression)  # `sum by (job) (...)` is now `sum (...)`, a function
    return set(re.findall(r"[a-zA-Z_:][\w:]*", _NO_METRIC.sub(" ", without_by)))
