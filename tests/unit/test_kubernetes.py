"""The Kubernetes manifests: what the API server would accept, and what they promise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.servers import ROOT

TEXT = (ROOT / "infra/kubernetes/flamehaven.yaml").read_text()
VERSION = "1.37"
KINDS = ["PersistentVolumeClaim", "Service", "NetworkPolicy", "Deployment"]


def manifests(text: str) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(text)


def check(text: str) -> None:
    for manifest in manifests(text):
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_every_manifest_is_what_its_schema_says() -> None:
    assert [manifest["kind"] for manifest in manifests(TEXT)] == KINDS
    check(TEXT)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("readinessProbe", "readynessProbe"),
        ("replicas: 1", "replicas: one"),
        ("containerPort: 8000", "hostPort: 8000"),
        ("accessModes: [ReadWriteOnce]", "accessModes: ReadWriteOnce"),
    ],
)
def test_a_mistake_is_noticed(right: str, wrong: str) -> None:
    assert right in TEXT
    with pytest.raises(kubernetes_validate.ValidationError):
        check(TEXT.replace(right, wrong, 1))


def test_the_container_may_nothing_that_it_does_not_need() -> None:
    pod = next(each for each in manifests(TEXT) if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 1000
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]} == {
        "data": "/app/data",
        "temporary": "/tmp",
        "secrets": "/etc/secrets",
    }
    assert volumes == {"data", "temporary", "secrets"}
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/health"
    assert not [each for each in container["env"] if "KEY" in each["name"] and not each["value"].startswith("/")]
