"""compose.yaml: what the compose specification accepts, and what it promises. No image is pulled or started here."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from shared.settings import Settings, load_settings
from tests.image import HARDENED
from tests.schemas import problems, read
from tests.servers import ROOT

TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = read(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_it_is_what_the_specification_says() -> None:
    assert problems("vendor.compose-spec", COMPOSE) == []


@pytest.mark.parametrize(
    ("right", "wrong"), [("mem_limit: 1g", "memory_limit: 1g"), ("read_only: true", "read_only: [x]")]
)
def test_a_mistake_is_noticed(right: str, wrong: str) -> None:
    assert right in TEXT
    assert problems("vendor.compose-spec", read(TEXT.replace(right, wrong)))


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_locked_down_and_pinned(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d[\w.-]*(@sha256:[0-9a-f]{64})?", service["image"])
    assert not service.keys() & {"privileged", "pid", "ipc", "network_mode", "devices"}
    assert ("cap_add" in service) is (name == "nginx")


def test_the_server_runs_as_the_tests_of_its_image_run_it() -> None:
    server = SERVICES["flamehaven"]
    flags = ("--read-only", "--tmpfs", *server["tmpfs"], "--cap-drop", "all", "--security-opt", "no-new-privileges")
    assert flags == HARDENED
    data = [volume for volume in server["volumes"] if not volume.endswith(":ro")]
    assert [volume.partition(":")[2] for volume in data] == ["/app/data"]


def test_only_nginx_is_reached_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]
    assert [name for name, network in COMPOSE["networks"].items() if not (network or {}).get("internal")] == ["edge"]
    shared = {name: set(service["networks"]) & set(SERVICES["redis"]["networks"]) for name, service in SERVICES.items()}
    assert [name for name, common in shared.items() if common] == ["flamehaven", "redis"]
    assert not set(SERVICES["nginx"]["networks"]) & set(SERVICES["prometheus"]["networks"])


def test_no_secret_and_no_default_password_is_in_it() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            is_file = value.startswith(("/run/secrets/", "/etc/secrets/"))
            assert not re.search("KEY|PASSWORD|SECRET|TOKEN", name) or is_file, name
    assert "GF_SECURITY_ADMIN_PASSWORD__FILE" in SERVICES["grafana"]["environment"]
    assert re.search(r"\$\{SERVER_NAME:\?[^}]+\}", SERVICES["nginx"]["environment"]["SERVER_NAME"])


def test_what_it_sets_for_the_server_is_what_the_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = SERVICES["flamehaven"]["environment"]
    assert {name.lower() for name in environment} <= Settings.model_fields.keys()
    for name, value in {**environment, "GEMINI_API_KEY": "k"}.items():
        monkeypatch.setenv(name, value)
    load_settings()


def test_metrics_are_for_prometheus_and_addresses_are_taken_from_nginx() -> None:
    """The addresses that the server trusts are those that the two containers have."""
    environment = SERVICES["flamehaven"]["environment"]
    for setting, name, network in (
        ("INTERNAL_NETWORKS", "prometheus", "monitoring"),
        ("TRUSTED_PROXIES", "nginx", "edge"),
    ):
        address = SERVICES[name]["networks"][network]["ipv4_address"]
        assert environment[setting] == f"{address}/32"
        (subnet,) = COMPOSE["networks"][network]["ipam"]["config"]
        members = [each["networks"][network] for each in SERVICES.values() if network in each["networks"]]
        addresses = {ipaddress.ip_address(member["ipv4_address"]) for member in members}
        assert len(addresses) == len(members), "one that Docker chooses could be the trusted one"
        assert addresses <= set(ipaddress.ip_network(subnet["subnet"]).hosts())


def test_what_it_mounts_is_in_the_project_or_on_the_machine_or_a_volume_of_its_own() -> None:
    documented = (ROOT / "docs/deploy-container.md").read_text()
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name}: {source}"
                assert volume.endswith(":ro"), volume
            elif source.startswith("/"):
                assert source in documented, f"{name}: {source} has to be said"
            else:
                assert source in COMPOSE["volumes"]
    for secret in COMPOSE["secrets"].values():
        assert secret["file"] in documented


def test_the_image_has_the_tag_of_this_version_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "infra/kubernetes").iterdir()]
    said = TEXT + "".join(page.read_text() for page in pages)
    tags = re.findall(r"(?<!/)flamehaven-filesearch:(\d[\w.-]*)", said)
    assert len(tags) >= 4
    assert set(tags) == {version}


def test_the_pipeline_gives_its_image_the_name_in_compose() -> None:
    (script,) = re.findall(r"name=\$\((sed -n .+compose\.yaml)\)", (ROOT / "infra/ci/deploy.yml").read_text())
    ran = subprocess.run(("sh", "-c", script), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == SERVICES["flamehaven"]["image"]


def started(script: str, folder: Path, url: str) -> tuple[dict[str, Any], str]:
    """The configuration that Alertmanager's container starts with for a webhook, and what it says."""
    script = script.replace("$$", "$").replace("/tmp/", f"{folder}/").replace("exec alertmanager", "true")
    script = script.replace("/etc/alertmanager", str(ROOT / "infra/alertmanager"))
    environment = {"PATH": os.environ["PATH"], "ALERT_WEBHOOK_URL": url}
    ran = subprocess.run(("sh", "-ec", script), env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return read((folder / "alertmanager.yml").read_text()), ran.stderr


@pytest.mark.parametrize(
    ("url", "receiver"),
    [
        ("", "nobody"),
        ("https://hooks.slack.com/services/T0/B0/x", "slack"),
        ("https://alerts.example.com/in?team=a&key=b", "webhook"),
    ],
)
def test_alertmanager_tells_who_is_named(tmp_path: Path, url: str, receiver: str) -> None:
    shell, option, script = SERVICES["alertmanager"]["entrypoint"]
    assert (shell, option) == ("sh", "-c")
    found, said = started(script, tmp_path, url)
    assert found["route"]["receiver"] == receiver
    assert ("nobody is told" in said) is (not url)
    (named,) = [each for each in found["receivers"] if each["name"] == receiver]
    addresses = [one.get("url") or one["api_url"] for key in named if key.endswith("configs") for one in named[key]]
    assert addresses == ([url] if url else [])
    if amtool := shutil.which("amtool"):
        checked = subprocess.run(
            (amtool, "check-config", tmp_path / "alertmanager.yml"), capture_output=True, timeout=60
        )
        assert checked.returncode == 0, checked.stderr


def test_prometheus_sends_alerts_to_alertmanager_by_its_name_here() -> None:
    config = read((ROOT / "infra/prometheus/prometheus.yml").read_text())
    targets = [each["targets"] for one in config["alerting"]["alertmanagers"] for each in one["static_configs"]]
    assert targets == [["alertmanager:9093"]]
    assert SERVICES["alertmanager"]["networks"].keys() & SERVICES["prometheus"]["networks"].keys() == {"monitoring"}
    (name,) = re.findall(r"\$\{(\w+)\}", str(config["global"]["external_labels"]))
    assert re.search(r"^\$\{RUNBOOKS_URL:-(file|https):///?[^}]+\}$", SERVICES["prometheus"]["environment"][name])


def test_prometheus_asks_the_server_by_its_name_here() -> None:
    scraped = read((ROOT / "infra/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert ["flamehaven:8000"] in [each["targets"] for job in scraped for each in job["static_configs"]]


@pytest.mark.slow
def test_docker_reads_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run((docker, "compose", "version"), capture_output=True, timeout=60).returncode:
        pytest.skip("NOT CHECKED: compose.yaml as Docker reads it, and its five containers together; there is none")
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    shutil.copy(ROOT / ".env.production.example", tmp_path / ".env.production")
    command = (docker, "compose", "config", "--quiet")
    without = {name: value for name, value in os.environ.items() if name != "SERVER_NAME"}
    read_ = {**without, "SERVER_NAME": "search.example.com"}
    assert subprocess.run(command, cwd=tmp_path, env=read_, capture_output=True, timeout=60).returncode == 0
    refused = subprocess.run(command, cwd=tmp_path, env=without, capture_output=True, text=True, timeout=60)
    assert "SERVER_NAME" in refused.stderr
