"""Metrics: each moves by real traffic, over all workers, with bounded labels, and only those see them who may."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.metrics import METRICS, Bounded, Kind
from tests.deployment import gemini
from tests.redis_server import redis_server
from tests.servers import ROOT, Server, flamehaven, until

ADMIN = {"Authorization": "Bearer sk_admin_of_the_metrics_test"}
ENABLED = {"FLAMEHAVEN_METRICS_ENABLED": "1"}
PRODUCTION = {
    "ENVIRONMENT": "production",
    "GEMINI_BASE_URL": "emulator:",
    "FLAMEHAVEN_ADMIN_KEY": ADMIN["Authorization"].removeprefix("Bearer "),
}
QUESTION = {"q": "When is the summer party?"}
WAIT = {"Prefer": "wait=20"}


class Samples(dict[str, list[tuple[dict[str, str], float]]]):
    """Samples by their names."""

    def total(self, name: str, **labels: str) -> float:
        """The sum of a name's samples that have these labels."""
        return sum(value for have, value in self.get(name, []) if labels.items() <= have.items())


def scrape(server: httpx2.Client, **headers: str) -> Samples:
    answer = server.get("/prometheus", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found[sample.name].append((sample.labels, sample.value))
    return Samples(found)


def used(server: Server) -> None:
    """Use everything once, and wrongly too."""
    kept = server.put("/api/documents/party.md", content=b"The summer party is on 18 July.", headers=WAIT)
    assert kept.json()["status"] == "indexed", kept.text
    assert server.put("/api/documents/broken.pdf", content=b"%PDF-1.7 and no more", headers=WAIT).status_code == 200
    until(lambda: server.get("/api/search", params=QUESTION).json()["cached"])
    assert server.get("/api/search", params={**QUESTION, "stream": "true", "max_tokens": "50"}).status_code == 200
    assert not server.get("/api/search?q=What+is+the+capital+of+Australia").json()["grounded"]
    assert server.get("/api/search?q=x&store=none").status_code == 404
    assert server.put("/api/documents/x.exe", content=b"x").status_code == 400
    assert server.get("/api/search?q=").status_code == 400


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("metrics")
    prices = {"GEMINI_INPUT_PRICE": "0.3", "GEMINI_OUTPUT_PRICE": "2.5"}
    with redis_server(folder) as redis, flamehaven(folder / "data", REDIS_URL=redis.url, **ENABLED, **prices) as client:
        used(client)
        yield client


def test_every_metric_is_there_with_its_labels(server: Server) -> None:
    found = until(lambda: "stores_total" in (at := scrape(server)) and at)
    queue = {"ingest_event_age_seconds", "ingest_dead_letters", "work_stopped"}
    needs_more = {"rate_limit_exceeded", "gemini_key_age_seconds", "cache_size"} | queue
    for metric in METRICS:
        suffix = {Kind.COUNTER: "_total", Kind.HISTOGRAM: "_count"}.get(metric.kind, "")
        samples = found.get(metric.name + suffix, [])
        assert samples or metric.name in needs_more, metric.name
        if samples:
            assert {frozenset(labels) for labels, _ in samples} == {frozenset(metric.labels)}


def test_what_was_done_is_counted(server: Server) -> None:
    found = scrape(server)
    search = {"method": "GET", "endpoint": "/api/search"}
    assert found.total("http_requests_total", **search, status="200") >= 3
    assert found.total("http_requests_total", **search, status="404") == 1
    assert found.total("http_request_duration_seconds_count", **search) == found.total("http_requests_total", **search)
    assert found.total("errors_total", error_type="STORE_NOT_FOUND", endpoint="/api/search") == 1
    assert found.total("errors_total", error_type="UNSUPPORTED_FILE_TYPE", endpoint="/api/documents/{object}") == 1
    assert found.total("file_uploads_total", status="success", store="default") == 2
    assert found.total("file_uploads_total", status="failure") == 1
    assert found.total("file_upload_size_bytes_sum", store="default") == len("The summer party is on 18 July.") + 20
    assert found.total("search_requests_total", status="success", store="default") >= 3
    assert found.total("search_requests_total", status="refused", store="default") == 1
    assert found.total("search_results_count_sum", store="default") >= 3
    assert found.total("cache_hits_total", cache_type="search") >= 1
    assert found.total("cache_misses_total", cache_type="search") >= 2
    assert found.total("ingest_outcomes_total", outcome="indexed") == 1
    assert found.total("ingest_outcomes_total", outcome="failed") >= 1
    assert found.total("ingest_duration_seconds_count") >= 2
    assert found.total("gemini_calls_total", method="upload", outcome="ok") >= 1
    assert found.total("gemini_calls_total", method="generate", outcome="ok") >= 1
    assert found.total("gemini_calls_total", method="stream", outcome="ok") == 1
    assert found.total("gemini_tokens_total", kind="answer", model="file-search-emulator") > 0
    assert found.total("gemini_cost_dollars_total") > 0
    assert found.total("redis_up") == 1
    assert found.total("system_memory_usage_percent") > 0
    assert found.total("active_requests") == 1, "this very request"
    assert found.total("flamehaven_filesearch_app_info", service="flamehaven-filesearch", framework="fastapi") == 1


def test_people_and_scripts_get_the_most_important(server: Server) -> None:
    found = server.get("/metrics").json()
    assert found["health_status"] == "healthy"
    assert found["stores"] == ["default"]
    assert found["prometheus"]["requests_total"] >= 7
    assert found["prometheus"]["errors_total"] >= 3
    assert found["cache"]["hits"] == found["prometheus"]["cache_hits_total"] >= 1


def test_no_path_and_no_store_makes_a_label(server: Server) -> None:
    for number in range(100):
        server.get(f"/no/such/path/{number}")
        server.get(f"/api/documents/none-{number}.md")
        server.get("/api/search", params={"q": "x", "store": f"none-{number}"})
        server.request(f"M{number}", "/")
    found = scrape(server)
    endpoints = {labels["endpoint"] for labels, _ in found["http_requests_total"]}
    assert {"other", "/api/documents/{object}", "/api/search"} <= endpoints
    assert len(endpoints) <= 20
    assert {labels["method"] for labels, _ in found["http_requests_total"]} <= {"GET", "PUT", "other"}
    assert {labels["store"] for labels, _ in found["search_requests_total"]} == {"default"}


def test_the_values_of_a_label_are_bounded() -> None:
    label = Bounded(3)
    assert [label(name) for name in "abcdeab"] == ["a", "b", "c", "other", "other", "a", "b"]


def test_several_workers_count_together(tmp_path: Path) -> None:
    with flamehaven(tmp_path, WORKERS="2", **ENABLED) as client:
        for _ in range(40):
            client.get("/api/stores", headers={"Connection": "close"})
        found = scrape(client)
        assert found.total("http_requests_total", endpoint="/api/stores", status="200") == 40
        assert found.total("active_requests") == 1
        assert found.total("flamehaven_filesearch_app_info") == 1


def test_what_waits_and_what_failed_is_counted_now_and_then(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir(parents=True)
    (tmp_path / "documents" / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    (tmp_path / "documents" / "party.md").write_text("The summer party is on 18 July.")
    key = tmp_path / "gemini.key"
    key.write_text("one")
    with flamehaven(tmp_path) as client:
        until(lambda: all(d["status"] != "pending" for d in client.get("/api/documents").json()["documents"]))
    with flamehaven(tmp_path, **ENABLED) as client:
        found = until(lambda: (at := scrape(client)).total("stores_total") == 1 and at)
        assert found.total("ingest_failed_documents") == 1
        assert found.total("ingest_pending_documents") == found.total("ingest_oldest_pending_seconds") == 0


def test_a_document_waits_since_it_was_seen_however_old_its_file_is(tmp_path: Path) -> None:
    """A file that was copied here keeps its time of change, and would look as if it had waited for years."""
    old = tmp_path / "data" / "documents" / "old.md"
    old.parent.mkdir(parents=True)
    old.write_text("The archive is in the cellar.")
    os.utime(old, (0, 0))
    with gemini(tmp_path / "gemini", "--indexing-delay", "3600") as model:
        settings = {"GEMINI_BASE_URL": model.address, "GEMINI_API_KEY": "any"}
        with flamehaven(tmp_path / "data", **ENABLED, **settings) as client:
            found = until(lambda: (at := scrape(client)).total("ingest_pending_documents") == 1 and at)
            assert found.total("ingest_oldest_pending_seconds") < 3600
            assert found["gemini_key_age_seconds"]


def test_only_admins_and_internal_networks_see_them(tmp_path: Path) -> None:
    paths = ("/prometheus", "/metrics")
    with flamehaven(tmp_path / "off", **PRODUCTION) as client:
        for path in paths:
            refused = client.get(path, headers=ADMIN)
            assert (refused.status_code, refused.json()["error"]) == (404, "RESOURCE_NOT_FOUND")
    with flamehaven(tmp_path / "on", **PRODUCTION, **ENABLED) as client:
        asked = {"name": "x", "scopes": ["search", "upload", "manage"]}
        key = client.post("/api/admin/keys", json=asked, headers=ADMIN).json()["key"]
        for path in paths:
            assert client.get(path).status_code == 200, "from this machine"
            for forwarding in ({"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"X-Real-IP": "::1"}):
                assert client.get(path, headers=forwarding).status_code == 401, "by a proxy"
                assert client.get(path, headers={**forwarding, **ADMIN}).status_code == 200
                other = {**forwarding, "Authorization": f"Bearer {key}"}
                assert client.get(path, headers=other).status_code == 403
    settings = {**PRODUCTION, **ENABLED, "INTERNAL_NETWORKS": "192.0.2.0/24"}
    with flamehaven(tmp_path / "elsewhere", **settings, API_RATE_LIMIT="1/minute") as client:
        assert client.get("/prometheus", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 401
        assert {client.get("/prometheus", headers=ADMIN).status_code for _ in range(5)} == {200}, "never limited"


def test_the_documentation_has_them_all() -> None:
    kinds = {Kind.COUNTER: "counter", Kind.HISTOGRAM: "histogram"}
    rows = [
        f"| `{metric.name}{'_total' * (metric.kind is Kind.COUNTER)}` | {', '.join(metric.labels)} | "
        f"{kinds.get(metric.kind, 'gauge')} | {metric.help} |"
        for metric in METRICS
    ]
    text = (ROOT / "docs" / "monitoring.md").read_text()
    table = [line for line in text.splitlines() if line.startswith("| `") and line.count("|") == 5]
    assert table == rows, "docs/monitoring.md must hold exactly these rows:\n" + "\n".join(rows)
