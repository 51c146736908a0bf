"""An alert reaches the webhook of ALERT_WEBHOOK_URL, with its runbook: through a real Prometheus and Alertmanager."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.schemas import read
from tests.servers import ROOT, free_port, running, until

RUNBOOK = "https://git.example.com/acme/flamehaven/docs/operations.md"


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address, and what is posted to it."""
    posted: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/alerts?team=a&b=c", posted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def program(*names: str) -> str:
    """The path of a program that has one of these names."""
    if found := next(filter(None, map(shutil.which, names)), None):
        return found
    pytest.skip(f"NOT CHECKED: that alerts reach people; there is no {names[0]}")


@pytest.mark.slow
def test_a_server_that_is_down_is_told_with_the_address_of_its_runbook(tmp_path: Path) -> None:
    """With the files of this project, but for addresses and waits."""
    prometheus, alertmanager = program("prometheus"), program("alertmanager", "prometheus-alertmanager")
    ports = {name: free_port() for name in ("prometheus", "alertmanager", "flamehaven")}
    config = (ROOT / "infra/prometheus/prometheus.yml").read_text()
    for name in ("alertmanager:9093", "flamehaven:8000"):
        config = config.replace(f'"{name}"', f'"127.0.0.1:{ports[name.partition(":")[0]]}"')
    (tmp_path / "prometheus.yml").write_text(config.replace("15s", "1s"))
    rules = (ROOT / "infra/prometheus/rules.yml").read_text()
    (tmp_path / "rules.yml").write_text(rules.replace("for: 2m", "for: 1s"))
    told = tmp_path / "alertmanager"
    shutil.copytree(ROOT / "infra/alertmanager", told)
    told_by = told / "alertmanager.yml"
    at_once = re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", told_by.read_text())
    told_by.write_text(at_once)

    script = read((ROOT / "compose.yaml").read_text())["services"]["alertmanager"]["entrypoint"][2].replace("$$", "$")
    script = script.replace("/etc/alertmanager", str(told)).replace("=/alertmanager", f"={tmp_path}/silences")
    script = script.replace("/tmp/alertmanager.yml", f"{tmp_path}/alertmanager.yml")
    listen = f"--web.listen-address=127.0.0.1:{ports['alertmanager']}"
    script = script.replace("exec alertmanager", f"exec {alertmanager} {listen}")
    command = [prometheus, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"]
    command += [f"--web.listen-address=127.0.0.1:{ports['prometheus']}", "--enable-feature=expand-external-labels"]
    command.append("--rules.alert.resend-delay=1s")
    with webhook() as (address, posted):
        environment = {"ALERT_WEBHOOK_URL": address, "RUNBOOKS_URL": RUNBOOK}
        ready = {name: f"http://127.0.0.1:{port}/-/ready" for name, port in ports.items()}
        with (
            running(
                ["sh", "-c", script],
                environment=environment,
                url=ready["alertmanager"],
                log=tmp_path / "alertmanager.log",
            ),
            running(command, environment=environment, url=ready["prometheus"], log=tmp_path / "prometheus.log"),
        ):
            until(lambda: posted, seconds=60)
    alert = posted[0]["alerts"][0]
    assert alert["labels"]["alertname"] == "FlamehavenDown"
    assert alert["annotations"]["runbook_url"] == f"{RUNBOOK}#flamehavendown"
    assert "runbooks" not in alert["labels"]
