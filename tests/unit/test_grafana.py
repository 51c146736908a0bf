"""infra/grafana: the dashboard asks what Prometheus understands, about metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from shared.metrics import METRICS
from tests.prometheus import OTHERS, OURS, metrics_in, promtool
from tests.schemas import read
from tests.servers import ROOT

GRAFANA = ROOT / "infra/grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards/flamehaven.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
EXPRESSIONS = [
    *((panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]),
    *(("annotation", each["expr"]) for each in DASHBOARD["annotations"]["list"]),
]
"""With the title of what they are in; Grafana puts a time for $__rate_interval."""


def check(expressions: list[str], folder: Path) -> tuple[int, str]:
    """What promtool says of expressions."""
    rules = [{"record": f"r{number}", "expr": expression} for number, expression in enumerate(expressions)]
    (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    return promtool("check", "rules", "rules.yml", folder=folder)


def test_prometheus_understands_every_question(tmp_path: Path) -> None:
    expressions = [expression.replace("$__rate_interval", "5m") for _, expression in EXPRESSIONS]
    assert len(expressions) >= len(PANELS) >= 10
    code, said = check(expressions, tmp_path)
    assert code == 0, said
    code, said = check([*expressions, "rate(x)"], tmp_path)
    assert code == 1, "a mistake is noticed"


def test_they_are_about_metrics_that_there_are() -> None:
    for title, expression in EXPRESSIONS:
        used = metrics_in(expression)
        assert used, title
        assert used <= OURS | OTHERS, title


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_labels_are_those_of_the_metrics(panel: dict[str, Any]) -> None:
    of = {metric.name: {*metric.labels, "job", "instance", "le"} for metric in METRICS}
    for target in panel["targets"]:
        (name, *more) = sorted(metrics_in(target["expr"]))
        known = of.get(re.sub("_(total|bucket)$", "", name))
        assert not more
        if known is None:
            continue
        grouped = {part.strip() for names in re.findall(r"by \(([^)]*)\)", target["expr"]) for part in names.split(",")}
        matched = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", target["expr"]))
        assert grouped | matched <= known
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= grouped


def test_panels_do_not_overlap_and_have_names_of_their_own() -> None:
    assert len({panel["id"] for panel in PANELS}) == len({panel["title"] for panel in PANELS}) == len(PANELS)
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_it_is_provisioned_where_compose_mounts_it() -> None:
    (source,) = read((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    asked = {panel["datasource"]["uid"] for panel in PANELS} | {
        target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]
    }
    assert asked == {source["uid"]}
    compose = read((ROOT / "compose.yaml").read_text())["services"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose
    (provider,) = read((GRAFANA / "provisioning/dashboards/flamehaven.yml").read_text())["providers"]
    mounted = dict(volume.split(":")[:2] for volume in compose["grafana"]["volumes"])
    assert mounted["./infra/grafana/dashboards"] == provider["options"]["path"]
    assert mounted["./infra/grafana/provisioning"] == "/etc/grafana/provisioning"
