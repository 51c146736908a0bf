"""What infra/terraform promises of whatever is applied, whichever variables are given."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bulk_load import Setting, Shrinks, load
from functions.rotate.settings import RotationSettings
from shared.settings import Settings
from tests.google_keys import BY_HAND, SECRET, Google, serving
from tests.log_filters import counts
from tests.prometheus import promtool
from tests.schemas import read
from tests.terraform import MODULE, SMALLEST, Resource, terraform_in

EVERYTHING: dict[str, Any] = {
    **SMALLEST,
    "labels": {"team": "search"},
    "alerts": {
        "emails": ["ops@example.com"],
        "channels": ["projects/acme-search/notificationChannels/1"],
        "webhooks": ["https://hooks.example.com/x"],
        "topics": ["projects/acme-search/topics/alerts"],
    },
    "kms_keys": {
        "secret": "projects/acme/locations/global/keyRings/ring/cryptoKeys/key",
        "topics": "projects/acme/locations/europe-west1/keyRings/ring/cryptoKeys/topics",
        "functions": "projects/acme/locations/europe-west1/keyRings/ring/cryptoKeys/functions",
    },
    "network": {"network": "office", "subnetwork": "office-eu", "tags": ["search"]},
    "budget": {"billing_account": "01AB23-45CD67-89EF01", "amount": 20, "currency": "EUR"},
    "buckets": {"kms_key": "projects/acme/locations/europe-west1/keyRings/ring/cryptoKeys/key", "location": "EU"},
    "backup": {
        "location": "europe-north1",
        "kms_key": "projects/acme/locations/europe-north1/keyRings/ring/cryptoKeys/key",
    },
    "queue": {"pull": True},
    "search": {"access": "key", "min_instances": 1},
    "load_balancer": {"domain": "search.example.com"},
    "rotation": {"source": "./README.md"},
    "vm": {"domain": "files.example.com", "version": "1.1.0"},
    "settings": {"DEFAULT_MODEL": "gemini-3.7-flash", "LOG_LEVEL": "warning"},
}
PRIMITIVE = {"roles/owner", "roles/editor", "roles/viewer", "roles/browser"}
ON_THE_PROJECT = {
    ("roles/logging.logWriter", "member-of-flamehaven-build"),
    ("roles/logging.logWriter", "member-of-flamehaven-server"),
    ("roles/serviceusage.apiKeysAdmin", "member-of-flamehaven-rotate"),
}
"""There is nothing smaller that these could be granted on."""
ANYBODY = {"allUsers", "allAuthenticatedUsers"}
NOT_OURS = {"PYTHONPATH", "LOG_EXECUTION_ID"}
"""Variables that Python and functions-framework read."""


class Applied:
    """What is there once the module was applied."""

    def __init__(self, resources: list[Resource], variables: dict[str, Any]) -> None:
        self.resources = resources
        self.variables = variables

    def of(self, type_name: str) -> list[Resource]:
        return [each for each in self.resources if each.type == type_name]

    def named(self, address: str) -> dict[str, Any]:
        (found,) = (each.values for each in self.resources if each.address == address)
        return found

    def function(self, name: str) -> dict[str, Any]:
        return self.named(f'google_cloudfunctions2_function.function["{name}"]')

    @property
    def functions(self) -> set[str]:
        """What the functions are called."""
        found = self.of("google_cloudfunctions2_function")
        return {each.values["name"].removeprefix("flamehaven-") for each in found}

    def grants(self) -> list[Resource]:
        return [each for each in self.resources if each.type.endswith("_iam_member")]


@pytest.fixture(
    scope="module",
    params=[pytest.param(SMALLEST, marks=pytest.mark.slow, id="smallest"), pytest.param(EVERYTHING, id="everything")],
)
def applied(request: pytest.FixtureRequest) -> Iterator[Applied]:
    with terraform_in(MODULE) as terraform:
        yield Applied(terraform.applied(**request.param), request.param)


def test_no_bucket_can_become_public_or_vanish(applied: Applied) -> None:
    buckets = applied.of("google_storage_bucket")
    assert len(buckets) == 5
    for bucket in buckets:
        assert bucket.values["public_access_prevention"] == "enforced"
        assert bucket.values["uniform_bucket_level_access"] is True
        assert bucket.values["force_destroy"] is False
        assert bucket.values["deletion_policy"] == "PREVENT"
        assert bucket.values["soft_delete_policy"][0]["retention_duration_seconds"] == 7 * 86400


def test_documents_and_their_backup_are_versioned_and_apart(applied: Applied) -> None:
    documents = applied.named('google_storage_bucket.bucket["documents"]')
    backup = applied.named('google_storage_bucket.backup["documents"]')
    assert documents["versioning"] == backup["versioning"] == [{"enabled": True}]
    assert documents["location"].lower() != backup["location"].lower()
    (copied,) = applied.named('google_storage_transfer_job.backup["documents"]')["transfer_spec"]
    assert copied["gcs_data_source"][0]["bucket_name"] == documents["name"]
    assert copied["gcs_data_sink"][0]["bucket_name"] == backup["name"]


def test_every_former_address_leads_to_a_resource(applied: Applied) -> None:
    targets = re.findall(r"^  to +=\s(.+)$", (MODULE / "moved.tf").read_text(), re.MULTILINE)
    assert len(targets) > 10
    present = {each.address for each in applied.resources}
    optional = "google_project_service.optional" if "vm" not in applied.variables else ""
    needed = {target for target in targets if not (optional and target.startswith(optional))}
    if "alerts" not in applied.variables:
        needed = {target for target in needed if "alert_policy" not in target}
    missing = {
        target
        for target in needed
        if target not in present and not any(address.startswith(f"{target}[") for address in present)
    }
    assert missing == set()


def test_grants_are_small(applied: Applied) -> None:
    assert len(applied.grants()) > 20
    assert not [each.address for each in applied.resources if each.type.endswith(("_iam_binding", "_iam_policy"))]
    assert not {each.values["role"] for each in applied.grants()} & PRIMITIVE
    on_the_project = [each.values for each in applied.of("google_project_iam_member")]
    for grant in on_the_project:
        assert grant["condition"] or (grant["role"], grant["member"]) in ON_THE_PROJECT, grant
    assert not applied.of("google_service_account_key")


def test_only_search_is_ever_open_and_only_when_it_asks_for_keys(applied: Applied) -> None:
    public = [each.values["name"] for each in applied.grants() if each.values["member"] in ANYBODY]
    asks_for_keys = applied.variables.get("search", {}).get("access") == "key"
    assert public == (["flamehaven-search"] if asks_for_keys else [])
    assert environment(applied, "search")["SEARCH_ACCESS"] == ("key" if asks_for_keys else "iam")


def test_every_function_acts_as_itself_and_can_be_called_only_by_its_caller(applied: Applied) -> None:
    accounts = set()
    for function in applied.of("google_cloudfunctions2_function"):
        name = function.values["name"]
        (config,) = function.values["service_config"]
        assert config["service_account_email"] == f"email-of-{name}"
        accounts.add(config["service_account_email"])
        inside = name.removeprefix("flamehaven-") in ("ingest", "sweep", "rotate")
        balanced = name == "flamehaven-search" and "load_balancer" in applied.variables
        outside = "ALLOW_INTERNAL_AND_GCLB" if balanced else "ALLOW_ALL"
        assert config["ingress_settings"] == ("ALLOW_INTERNAL_ONLY" if inside else outside)
    assert len(accounts) == len(applied.functions) == (5 if "rotation" in applied.variables else 4)
    callers = {
        (each.values["name"], each.values["member"]) for each in applied.of("google_cloud_run_v2_service_iam_member")
    }
    assert {member for name, member in callers if name == "flamehaven-ingest"} == {"member-of-flamehaven-push"}
    assert {member for name, member in callers if name == "flamehaven-sweep"} == {"member-of-flamehaven-schedule"}


def test_who_calls_signs_in_as_the_caller(applied: Applied) -> None:
    (push,) = applied.named("google_pubsub_subscription.ingest")["push_config"]
    assert push["push_endpoint"] == "uri-of-flamehaven-ingest"
    assert push["oidc_token"] == [
        {"audience": "uri-of-flamehaven-ingest", "service_account_email": "email-of-flamehaven-push"}
    ]
    jobs = {each.values["name"]: each.values["http_target"][0] for each in applied.of("google_cloud_scheduler_job")}
    assert {name: job["uri"] for name, job in jobs.items()} == {
        "flamehaven-sweep": "uri-of-flamehaven-sweep/",
        "flamehaven-sweep-unfinished": "uri-of-flamehaven-sweep/?unfinished=true",
        **({"flamehaven-rotate": "uri-of-flamehaven-rotate/"} if "rotation" in applied.variables else {}),
    }
    for job in jobs.values():
        assert job["http_method"] == "POST"
        assert job["oidc_token"] == [
            {"audience": job["uri"].partition("/")[0], "service_account_email": "email-of-flamehaven-schedule"}
        ]


def test_every_subscription_tries_again_gives_up_and_never_expires(applied: Applied) -> None:
    dead_letters = applied.named("google_pubsub_topic.dead_letters")
    subscriptions = applied.of("google_pubsub_subscription")
    assert len(subscriptions) == (5 if applied.variables.get("queue") else 4)
    acknowledged_for = {each.values["subscription"] for each in applied.of("google_pubsub_subscription_iam_member")}
    for subscription in subscriptions:
        values = subscription.values
        assert values["expiration_policy"] == [{"ttl": ""}]
        if values["topic"] == dead_letters["id"] or values["name"].endswith("-copy-failed"):
            assert values["message_retention_duration"] == "2678400s"
            continue
        assert values["dead_letter_policy"][0]["dead_letter_topic"] == dead_letters["id"]
        assert values["retry_policy"] == [{"minimum_backoff": "10s", "maximum_backoff": "600s"}]
        assert values["name"] in acknowledged_for
    assert applied.named("google_pubsub_subscription.ingest")["ack_deadline_seconds"] == 600
    (moves,) = (
        each.values
        for each in applied.of("google_pubsub_topic_iam_member")
        if each.values["topic"] == dead_letters["name"]
    )
    assert (moves["role"], moves["member"]) == ("roles/pubsub.publisher", "member-of-pubsub.googleapis.com")


def test_the_bucket_tells_of_every_change(applied: Applied) -> None:
    notification = applied.named("google_storage_notification.documents")
    assert notification["topic"] == applied.named("google_pubsub_topic.events")["id"]
    assert len(notification["event_types"]) == 4
    grant = applied.named("google_pubsub_topic_iam_member.bucket_publishes")
    assert grant["member"] == "member-of-google_storage_project_service_account"


def environment(applied: Applied, function: str) -> dict[str, str]:
    return dict(applied.function(function)["service_config"][0]["environment_variables"])


@pytest.mark.parametrize("function", ["ingest", "sweep", "search", "health"])
def test_an_environment_holds_settings_that_are_taken_and_no_secret(
    applied: Applied, function: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = environment(applied, function)
    assert found["LOG_EXECUTION_ID"] == "false", "left out, Cloud Functions sets it to true, which disables loggers"
    assert {name.lower() for name in found.keys() - NOT_OURS} <= Settings.model_fields.keys()
    for name, value in found.items():
        monkeypatch.setenv(name, value)
        if re.search(r"KEY|SECRET|PASSWORD|TOKEN", name):
            assert value.startswith("/etc/secrets/"), name
    (tmp_path / "gemini-api-key").write_text("k")
    monkeypatch.setenv("GEMINI_API_KEY", str(tmp_path / "gemini-api-key"))
    Settings()
    (config,) = applied.function(function)["service_config"]
    (volume,) = config["secret_volumes"]
    assert config["secret_environment_variables"] == []
    assert f"{volume['mount_path']}/{volume['versions'][0]['path']}" == found["GEMINI_API_KEY"]
    assert volume["versions"][0]["version"] == "latest"


def test_memory_covers_the_files_that_are_sent_at_once(applied: Applied) -> None:
    for name in ("ingest", "sweep"):
        settings = environment(applied, name)
        uploads, size = int(settings["PARALLEL_UPLOADS"]), int(settings["MAX_FILE_SIZE_MB"])
        memory = int(applied.function(name)["service_config"][0]["available_memory"].removesuffix("Mi"))
        assert memory >= 256 + uploads * (size + 16)


@pytest.mark.parametrize("shrinks", ["by half", "by one"])
def test_a_bulk_load_uses_few_of_its_deliveries(applied: Applied, shrinks: Shrinks) -> None:
    (config,) = applied.function("ingest")["service_config"]
    queue = applied.named("google_pubsub_subscription.ingest")
    (retry,), (dead,) = queue["retry_policy"], queue["dead_letter_policy"]
    setting = Setting(
        instances=1,  # a fifth of the instances, and of the files that are 20 minutes of work for all
        requests=config["max_instance_request_concurrency"],
        uploads=int(environment(applied, "ingest")["PARALLEL_UPLOADS"]),
        attempts=dead["max_delivery_attempts"],
        deadline=queue["ack_deadline_seconds"],
        backoff=(int(retry["minimum_backoff"][:-1]), int(retry["maximum_backoff"][:-1])),
        upload=10,
        indexing=60,
        shrinks=shrinks,
    )
    found = load(1000, setting)
    assert (found.dead, found.indexed) == (0, 1000)
    assert found.most_attempts <= setting.attempts / 4


def test_gemini_is_never_sent_more_than_fifty_at_once(applied: Applied) -> None:
    sent = 0
    for name in ("ingest", "sweep"):
        (config,) = applied.function(name)["service_config"]
        sent += config["max_instance_count"] * int(environment(applied, name)["PARALLEL_UPLOADS"])
    assert sent <= 50


def test_the_key_is_due_now_and_then_and_only_functions_read_it(applied: Applied) -> None:
    (rotation,) = applied.named("google_secret_manager_secret.gemini_api_key")["rotation"]
    assert rotation["rotation_period"] == "7776000s"
    assert applied.named("google_secret_manager_secret.gemini_api_key")["deletion_protection"] is True
    members = {each.values["member"] for each in applied.of("google_secret_manager_secret_iam_member")}
    readers = members - {"member-of-flamehaven-server"}
    assert readers == {f"member-of-flamehaven-{name}" for name in applied.functions}
    assert not applied.of("google_project_iam_audit_config"), "it is one of the whole project: the root's"


def test_every_alert_has_somebody_to_tell_and_says_what_to_do(applied: Applied) -> None:
    alerts = applied.of("google_monitoring_alert_policy")
    assert len(alerts) == (21 if "alerts" in applied.variables else 0)
    for alert in alerts:
        assert len(alert.values["notification_channels"]) == 4
        (documentation,) = alert.values["documentation"]
        assert len(documentation["content"]) > 100
        assert documentation["mime_type"] == "text/markdown"


def promql(applied: Applied) -> list[str]:
    """What alerts ask of metrics of logs."""
    alerts = applied.of("google_monitoring_alert_policy")
    conditions = [each for alert in alerts for each in alert.values["conditions"]]
    return [each["query"] for condition in conditions for each in condition["condition_prometheus_query_language"]]


def test_an_alert_s_metric_is_there_and_need_not_be_known_yet(applied: Applied) -> None:
    ours = {re.sub(r"\W", "_", each.values["name"]) for each in applied.of("google_logging_metric")}
    asked = {name for query in promql(applied) for name in re.findall(r"logging_googleapis_com:user_(\w+)", query)}
    assert asked == (ours if "alerts" in applied.variables else set())
    text = json.dumps([each.values for each in applied.of("google_monitoring_alert_policy")])
    assert "logging.googleapis.com/user/" not in text, "a threshold on a metric that was just made is refused"
    assert text.count('"disable_metric_validation": true') == len(promql(applied)) >= len(asked)


def test_promtool_takes_what_alerts_ask(applied: Applied, tmp_path: Path) -> None:
    rules = [{"alert": f"Asked{number}", "expr": query} for number, query in enumerate(promql(applied))]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    code, said = promtool("check", "rules", "rules.yml", folder=tmp_path)
    assert code == 0, said
    assert f"{len(rules)} rules found" in said


def query(applied: Applied, name: str) -> str:
    """What one alert asks in PromQL."""
    policy = applied.named(f'google_monitoring_alert_policy.query["{name}"]')
    return str(policy["conditions"][0]["condition_prometheus_query_language"][0]["query"])


SWEPT = 'run_googleapis_com:request_count{monitored_resource="cloud_run_revision",service_name="flamehaven-sweep"'
FAILED = 'logging_googleapis_com:user_flamehaven_sweep_failures{monitored_resource="cloud_scheduler_job"}'


@pytest.mark.parametrize(
    ("series", "alerts"),
    [
        ({}, {"sweep"}),  # none has ever succeeded
        ({SWEPT + ',response_code_class="5xx"}': "0+1x240"}, {"sweep"}),
        ({SWEPT + ',response_code_class="2xx"}': "0+1x240"}, set()),
        ({SWEPT + ',response_code_class="2xx"}': "0+1x30 _x210"}, {"sweep"}),
        ({SWEPT + ',response_code_class="2xx"}': "0+1x240", FAILED: "0x100 1 1 2 3 4x136"}, {"sweep-failures"}),
        ({SWEPT + ',response_code_class="2xx"}': "0+1x240", FAILED: "0x100 1x140"}, set()),  # the retry succeeded
    ],
)
def test_sweeps_that_fail_or_never_come_set_off_an_alert(
    applied: Applied, series: dict[str, str], alerts: set[str], tmp_path: Path
) -> None:
    if "alerts" not in applied.variables:
        return
    names = ("sweep", "sweep-failures")
    rules = [{"alert": name, "expr": query(applied, name)} for name in names]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    expected = [
        {
            "eval_time": "4h",
            "expr": f'count(ALERTS{{alertname="{name}"}})',
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        if name in alerts
        else {"eval_time": "4h", "expr": f'count(ALERTS{{alertname="{name}"}})', "exp_samples": []}
        for name in names
    ]
    given = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": given, "promql_expr_test": expected}
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": [test]}))
    code, said = promtool("test", "rules", "test.yml", folder=tmp_path)
    assert code == 0, said


def test_a_sweep_that_cloud_scheduler_saw_fail_is_counted(applied: Applied) -> None:
    filters = {each.values["name"]: each.values["filter"] for each in applied.of("google_logging_metric")}
    attempt = {
        "resource.type": "cloud_scheduler_job",
        "resource.labels.job_id": "flamehaven-sweep",
        "resource.labels.service_name": "",
        "severity": "ERROR",
        "jsonPayload.logger": "",
        "jsonPayload.message": "",
    }
    assert counts(filters, [attempt]) == {"sweep-failures": 1}
    assert counts(filters, [attempt | {"severity": "INFO"}]) == {}
    assert counts(filters, [attempt | {"resource.labels.job_id": "flamehaven-sweep-unfinished"}]) == {}


def test_a_copy_that_fails_is_told_and_sets_off_an_alert(applied: Applied) -> None:
    for job in applied.of("google_storage_transfer_job"):
        (told,) = job.values["notification_config"]
        assert "TRANSFER_OPERATION_FAILED" in told["event_types"]
        assert told["pubsub_topic"] == applied.named("google_pubsub_topic.copy_failed[0]")["id"]
    if "alerts" in applied.variables:
        assert "flamehaven-copy-failed" in watched(applied, "copy-failed")


def watched(applied: Applied, name: str) -> str:
    """What a threshold watches."""
    policy = applied.named(f'google_monitoring_alert_policy.threshold["{name}"]')
    return str(policy["conditions"][0]["condition_threshold"][0]["filter"])


def test_the_server_is_watched_as_search_is(applied: Applied) -> None:
    names = {each.values["service_id"] for each in applied.of("google_monitoring_custom_service")}
    hosts = {
        each.values["monitored_resource"][0]["labels"]["host"]
        for each in applied.of("google_monitoring_uptime_check_config")
    }
    if "vm" not in applied.variables:
        assert names == {"flamehaven-search"}
        return
    assert names == {"flamehaven-search", "flamehaven-server"}
    assert "files.example.com" in hosts
    assert "oldest_unacked_message_age" in watched(applied, "waiting-server")
    assert "flamehaven-server" in watched(applied, "waiting-server")
    url_maps = {each.values["name"] for each in applied.of("google_compute_url_map")}
    counted = set(re.findall(r'url_map_name=\\?"([\w-]+)', json.dumps([each.values for each in applied.resources])))
    assert counted == {"flamehaven-server"} <= url_maps


def test_one_bad_request_of_few_sets_off_no_alert(applied: Applied) -> None:
    goals = {each.values["id"]: each.values["goal"] for each in applied.of("google_monitoring_slo")}
    policies = [
        each.values for each in applied.of("google_monitoring_alert_policy") if each.values["combiner"] == "AND"
    ]
    assert len(policies) == (8 if "alerts" in applied.variables else 0)
    for policy in policies:
        *burns, least = (condition["condition_threshold"][0] for condition in policy["conditions"])
        for burn in burns:
            (slo,) = re.findall(r'select_slo_burn_rate\("([^"]+)"', burn["filter"])
            fewest = least["threshold_value"] + 1
            assert 1 / fewest / (1 - goals[slo]) < burn["threshold_value"]
        assert "request_count" in least["filter"]


def test_a_promise_can_be_broken_as_fast_as_its_alerts_wait_for(applied: Applied) -> None:
    goals = {each.values["id"]: each.values["goal"] for each in applied.of("google_monitoring_slo")}
    assert set(goals.values()) == {0.95, 0.995}
    burns = re.findall(
        r'select_slo_burn_rate\(\\"([^"]+)\\".*?"threshold_value": ([\d.]+)',
        json.dumps([each.values for each in applied.of("google_monitoring_alert_policy")]),
    )
    assert len(burns) == (16 if "alerts" in applied.variables else 0)
    assert all(float(rate) * (1 - goals[slo]) < 1 for slo, rate in burns)


def test_everything_that_can_have_labels_has_those_of_the_deployment(applied: Applied) -> None:
    expected = {"app": "flamehaven-filesearch", "deployment": "flamehaven", **applied.variables.get("labels", {})}
    labelled = [each for each in applied.resources if "labels" in each.values and "terraform_labels" in each.values]
    assert len(labelled) > 10
    assert {each.address for each in labelled if each.values["labels"] != expected} == set()
    for each in applied.of("google_monitoring_alert_policy"):
        assert each.values["user_labels"] == expected


def test_a_name_of_one_s_own_is_served_over_tls_with_limits_and_rules(applied: Applied) -> None:
    names = {"search": "search.example.com", "vm": "files.example.com"} if "vm" in applied.variables else {}
    assert not names or "load_balancer" in applied.variables
    policies = applied.of("google_compute_security_policy")
    assert len(policies) == len(names)
    for policy in policies:
        rules = {rule["priority"]: rule for rule in policy.values["rule"]}
        assert rules[2000]["rate_limit_options"][0]["enforce_on_key"] == "IP"
        assert (rules[2147483647]["action"], max(rules)) == ("allow", 2147483647)
        attacks = [rule for rule in rules.values() if rule["preconfigured_waf_config"]]
        assert len(attacks) >= 5
        for rule in attacks:
            assert rule["action"] == "deny(403)"
            (exclusion,) = rule["preconfigured_waf_config"][0]["exclusion"]
            assert {each["value"] for each in exclusion["request_query_param"]} == {"q", "query", "filter"}
            assert exclusion["target_rule_set"] in rule["match"][0]["expr"][0]["expression"]
    backends = {each.values["security_policy"] for each in applied.of("google_compute_backend_service")}
    assert backends == {policy.values["id"] for policy in policies}
    certificates = [
        each.values["managed"][0]["domains"] for each in applied.of("google_compute_managed_ssl_certificate")
    ]
    assert sorted(certificates) == sorted([name] for name in names.values())
    plain = [each.values["default_url_redirect"] for each in applied.of("google_compute_url_map")]
    assert [each[0]["redirect_response_code"] for each in plain if each] == ["PERMANENT_REDIRECT"] * len(names)


def test_the_server_is_reached_through_its_balancer_alone(applied: Applied) -> None:
    templates = applied.of("google_compute_region_instance_template")
    assert len(templates) == ("vm" in applied.variables)
    for template in templates:
        (interface,) = template.values["network_interface"]
        assert interface["access_config"] == [], "it has no address of its own"
        assert template.values["shielded_instance_config"][0]["enable_secure_boot"] is True
        ranges = {each.values["name"]: each.values["source_ranges"] for each in applied.of("google_compute_firewall")}
        assert ranges == {
            "flamehaven-server-balancer": ["130.211.0.0/22", "35.191.0.0/16"],
            "flamehaven-server-tunnel": ["35.235.240.0/20"],
        }
        expressions = {
            rule["priority"]: rule["match"][0]["expr"][0]["expression"]
            for policy in applied.of("google_compute_security_policy")
            for rule in policy.values["rule"]
            if policy.values["name"] == "flamehaven-server" and rule["match"][0]["expr"]
        }
        assert expressions[900] == "request.path.startsWith('/api/upload/') && request.method != 'POST'"
        assert expressions[2000] == "request.path.startsWith('/api/upload/')"
        documents = "!request.path.startsWith('/api/upload/') && !request.path.startsWith('/api/documents/')"
        assert expressions[1000].startswith(f"{documents} && evaluatePreconfiguredWaf(")


def written_by(template: Resource) -> dict[str, str]:
    """The files that an instance writes when it starts, by their paths."""
    return {each["path"]: each["content"] for each in read(template.values["metadata"]["user-data"])["write_files"]}


def test_the_server_s_environment_is_taken_and_holds_no_secret(
    applied: Applied, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for template in applied.of("google_compute_region_instance_template"):
        files = {
            each["path"]: each["content"] for each in read(template.values["metadata"]["user-data"])["write_files"]
        }
        told = dict(line.split("=", 1) for line in files["/etc/flamehaven/environment"].splitlines())
        assert {name.lower() for name in told} <= Settings.model_fields.keys()
        (tmp_path / "gemini.key").write_text("k")
        for name, value in (told | {"GEMINI_API_KEY": str(tmp_path / "gemini.key")}).items():
            monkeypatch.setenv(name, value.replace("address-of-flamehaven-server", "203.0.113.7"))
        assert Settings().events_url == "pubsub://acme-search/flamehaven-server"
        assert told["GEMINI_API_KEY"].startswith("/etc/secrets/")


def test_the_server_s_units_are_sound(applied: Applied, tmp_path: Path) -> None:
    templates = applied.of("google_compute_region_instance_template")
    if not templates:
        return
    if not (analyze := shutil.which("systemd-analyze")):
        pytest.skip("NOT CHECKED: the units of the virtual machine; there is no systemd-analyze")
    files = {
        each["path"]: each["content"] for each in read(templates[0].values["metadata"]["user-data"])["write_files"]
    }
    units = [Path(path) for path in files if path.startswith("/etc/systemd/")]
    assert {unit.name for unit in units} >= {"flamehaven.service", "flamehaven-key.timer"}
    for unit in units:
        # Programs of Container-Optimized OS, which are not here.
        text = re.sub(r"^(Exec\w+=-?)/usr/bin/[\w-]+", r"\1/bin/true", files[str(unit)], flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text)
    command = [analyze, "verify", "--man=no", *(str(tmp_path / unit.name) for unit in units)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    ours = [line for line in ran.stderr.splitlines() if str(tmp_path) in line or "flamehaven" in line]
    assert [line for line in ours if "docker.service" not in line] == []


def test_lines_of_every_function_are_counted(applied: Applied) -> None:
    for metric in applied.of("google_logging_metric"):
        if "cloud_scheduler_job" in metric.values["filter"]:
            assert 'resource.labels.job_id="flamehaven-sweep"' in metric.values["filter"]
            continue
        (pattern,) = re.findall(r'service_name=~"([^"]+)"', metric.values["filter"])
        for function in applied.functions:
            assert re.search(pattern, f"flamehaven-{function}")


def test_the_dashboard_shows_what_is_counted(applied: Applied) -> None:
    (dashboard,) = applied.of("google_monitoring_dashboard")
    text = dashboard.values["dashboard_json"]
    layout = json.loads(text)["mosaicLayout"]
    places = {(tile["xPos"], tile["yPos"]) for tile in layout["tiles"]}
    assert len(places) == len(layout["tiles"]) == 12
    counted = {each.values["name"] for each in applied.of("google_logging_metric")}
    assert set(re.findall(r"logging\.googleapis\.com/user/([\w/-]+)", text)) == counted


def test_the_rotation_may_only_make_keys_and_store_them(applied: Applied) -> None:
    (due,) = [each.values for each in applied.of("google_pubsub_subscription") if each.values["name"].endswith("-due")]
    if "rotation" not in applied.variables:
        assert due["push_config"] == []
        return
    assert due["push_config"][0]["push_endpoint"] == "uri-of-flamehaven-rotate"
    member = "member-of-flamehaven-rotate"
    assert {each.values["role"] for each in applied.grants() if each.values["member"] == member} == {
        "roles/serviceusage.apiKeysAdmin",
        "roles/secretmanager.secretAccessor",
        "roles/secretmanager.secretVersionManager",
    }
    function = applied.function("rotate")
    told = {name.lower(): value for name, value in function["service_config"][0]["environment_variables"].items()}
    known = {name: told[name] for name in told.keys() & RotationSettings.model_fields}
    settings = RotationSettings.model_validate(known)
    assert settings.rotation_secret == "projects/acme-search/secrets/flamehaven-gemini-api-key"
    assert function["service_config"][0]["max_instance_count"] == 1


def test_the_server_s_key_is_fetched_and_replaced_at_once(tmp_path: Path) -> None:
    google = Google()

    class Metadata(BaseHTTPRequestHandler):
        """The metadata server of Compute Engine, as far as google-auth asks it."""

        def do_GET(self) -> None:
            token = {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}
            account = {"email": "server@acme", "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}
            body = json.dumps(token if self.path.partition("?")[0].endswith("/token") else account).encode()
            self.send_response(200)
            self.send_header("Metadata-Flavor", "Google")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    place = tmp_path / "gemini.key"
    with serving(google) as address, ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as metadata:
        thread = threading.Thread(target=metadata.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        here = f"127.0.0.1:{metadata.server_port}"
        told = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "GCE_METADATA_HOST": here,
            "GCE_METADATA_IP": here,
            "SECRET_MANAGER_ENDPOINT": address,
        }
        try:
            for text in (BY_HAND, "another-key-of-some-length"):
                google.add(text)
                command = [sys.executable, str(MODULE / "vm/fetch_secret.py"), SECRET, str(place)]
                ran = subprocess.run(command, env=told, capture_output=True, text=True, timeout=60)
                assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
                assert place.read_text().strip() == text
                assert place.stat().st_mode & 0o777 == 0o600
                assert [each.name for each in tmp_path.iterdir()] == ["gemini.key"]
        finally:
            metadata.shutdown()
            thread.join()
