"""Filters of Cloud Logging, applied to the lines that functions write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def entry(service: str, line: Mapping[str, Any]) -> dict[str, str]:
    """The log entry that Cloud Logging makes of a JSON line of a Cloud Run service."""
    return {
        "resource.type": "cloud_run_revision",
        "resource.labels.service_name": service,
        "severity": str(line.get("severity", "DEFAULT")),
        "jsonPayload.logger": str(line.get("logger", "")),
        "jsonPayload.message": str(line.get("message", "")),
    }


def holds(filter_: str, fields: Mapping[str, str]) -> bool:
    """Whether a filter matches an entry: the part of the logging query language that the filters use."""
    for term in filter_.split(" AND "):
        found = re.fullmatch(r'([\w.]+)(=~|>=|=)(?:"(.*)"|(\w+))', term)
        assert found, f"{term} is in no form that this test knows"
        value, wanted = fields[found[1]], found[3] if found[3] is not None else found[4]
        if found[2] == "=~" and not re.search(wanted, value):
            return False
        if found[2] == "=" and value != wanted:
            return False
        if found[2] == ">=" and (value not in SEVERITIES or SEVERITIES.index(value) < SEVERITIES.index(wanted)):
            return False
    return True


def counts(filters: Mapping[str, str], entries: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """How many entries each metric counts, by the last part of its name; metrics that count none are left out."""
    found = list(entries)
    counted = {
        name.rpartition("/")[2]: sum(holds(filter_, each) for each in found) for name, filter_ in filters.items()
    }
    return {name: count for name, count in counted.items() if count}


def json_lines(log: Path) -> list[dict[str, Any]]:
    """The JSON lines of a function's log file."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
