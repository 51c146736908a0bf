"""A Google Cloud project, as far as it refuses what Terraform asks of it.

It knows which APIs are enabled, which names are taken, which versions a secret has, and which channel an alert still
uses. What it cannot know: quotas, permissions of whoever applies, and how long a change takes to be seen everywhere.
For the last, tests/integration/test_terraform_order.py looks at the order of an apply.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from typing import Any

Value = dict[str, Any]
SERVICES = {
    "google_artifact_registry_": "artifactregistry",
    "google_billing_": "billingbudgets",
    "google_cloud_run_": "run",
    "google_cloud_scheduler_": "cloudscheduler",
    "google_cloudfunctions2_": "cloudfunctions",
    "google_compute_": "compute",
    "google_kms_": "cloudkms",
    "google_logging_": "logging",
    "google_monitoring_": "monitoring",
    "google_pubsub_": "pubsub",
    "google_secret_manager_": "secretmanager",
    "google_service_account": "iam",
    "google_storage_bucket": "storage",
    "google_storage_transfer_": "storagetransfer",
}
"""The API that resources of a type are made by."""
UNIQUE = {
    "google_artifact_registry_repository": "repository_id",
    "google_cloud_scheduler_job": "name",
    "google_cloudfunctions2_function": "name",
    "google_compute_global_address": "name",
    "google_compute_network": "name",
    "google_logging_metric": "name",
    "google_monitoring_custom_service": "service_id",
    "google_pubsub_subscription": "name",
    "google_pubsub_topic": "name",
    "google_secret_manager_secret": "secret_id",
    "google_service_account": "account_id",
    "google_storage_bucket": "name",
}
"""The argument that tells the resources of a type apart."""


MEMORY = {1: 4096, 2: 8192, 4: 16384, 6: 24576}
"""The most MiB of memory for so many CPUs (Cloud Run, "Memory limits")."""
RESERVED = re.compile(r"(PORT|K_SERVICE|K_REVISION|K_CONFIGURATION|FUNCTION_TARGET|FUNCTION_SIGNATURE_TYPE)$|X_GOOGLE_")
"""Environment variables that the platform sets itself (Cloud Run functions, "Configure environment variables")."""


class Refused(Exception):
    """Google says no."""


class Project:
    """What there is in a project."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Have nothing again."""
        self.services = set[str]()
        self.secret_versions = Counter[str]()
        """How many versions each secret has, by its id: `gcloud secrets versions add` counts one up."""
        self._resources: dict[tuple[str, str], Value] = {}
        self._audited: dict[str, Value] = {}

    def create(self, type_name: str, value: Value) -> None:
        """Make a resource. Raises Refused."""
        with self._lock:
            self._check_service(type_name)
            if type_name == "google_project_service":
                self.services.add(value["service"])
            key = type_name, self._name(type_name, value)
            if key in self._resources and type_name in UNIQUE:
                raise Refused(f"Error 409: {key[1]} already exists")
            if type_name == "google_secret_manager_secret_version":
                self.secret_versions[value["secret"].rpartition("/")[2]] += 1
            if type_name == "google_cloudfunctions2_function":
                self._check_function(value)
            self._write(key, value)

    def update(self, type_name: str, value: Value) -> None:
        """Change a resource. Raises Refused."""
        with self._lock:
            if type_name == "google_cloudfunctions2_function":
                self._check_function(value)
            self._write((type_name, self._name(type_name, value)), value)

    def delete(self, type_name: str, value: Value) -> None:
        """Delete a resource. Raises Refused."""
        with self._lock:
            if value.get("deletion_policy") == "PREVENT" or value.get("deletion_protection") is True:
                raise Refused(f"Error: {self._name(type_name, value)} is protected from deletion")
            if type_name == "google_monitoring_notification_channel" and value.get("force_delete") is not True:
                for (kind, _), policy in self._resources.items():
                    if kind == "google_monitoring_alert_policy" and value["id"] in policy["notification_channels"]:
                        raise Refused(f"Error 400: the channel is used by the alert policy {policy['display_name']}")
            if type_name == "google_secret_manager_secret":
                self.secret_versions.pop(value["secret_id"], None)
            self._resources.pop((type_name, self._name(type_name, value)), None)

    def read(self, type_name: str, value: Value) -> Value:
        """A resource as it is now."""
        if type_name == "google_project_iam_audit_config":  # of which a service has one, whoever wrote it
            return {**value, "audit_log_config": self._audited.get(value["service"], value)["audit_log_config"]}
        return value

    def look_up(self, type_name: str, value: Value) -> None:
        """Look for what a data source reads. Raises Refused where it is not there."""
        if type_name == "google_secret_manager_secret_version":
            secret = value["secret"].rpartition("/")[2]
            if not self.secret_versions[secret]:
                raise Refused(f"Error 404: Secret [{secret}] not found or has no versions.")

    def _write(self, key: tuple[str, str], value: Value) -> None:
        self._resources[key] = value
        if key[0] == "google_project_iam_audit_config":
            self._audited[value["service"]] = value

    def _check_service(self, type_name: str) -> None:
        for prefix, service in SERVICES.items():
            if type_name.startswith(prefix) and f"{service}.googleapis.com" not in self.services:
                raise Refused(f"Error 403: {service}.googleapis.com has not been used in the project or is disabled")

    def _check_function(self, function: Value) -> None:
        (config,) = function["service_config"]
        cpus, memory = float(config["available_cpu"]), int(config["available_memory"].removesuffix("Mi"))
        if memory > next((most for least, most in MEMORY.items() if cpus <= least), 32768):
            raise Refused(f"Error 400: {memory}Mi of memory need more than {cpus:g} CPU")
        if taken := {name for name in config["environment_variables"] if RESERVED.match(name)}:
            raise Refused(f"Error 400: {', '.join(sorted(taken))} are reserved")
        for volume in config["secret_volumes"]:
            if not self.secret_versions[volume["secret"]]:
                raise Refused(f"Error 400: Secret {volume['secret']}/versions/latest was not found")

    def _name(self, type_name: str, value: Value) -> str:
        return str(value.get(UNIQUE.get(type_name, "id")) or value.get("id"))
