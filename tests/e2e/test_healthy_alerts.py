"""No alert fires over a healthy server, whatever parts it has: a part that is not configured has no series."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.prometheus import alerts_over
from tests.redis_server import redis_server
from tests.servers import Server, flamehaven, free_port, until

WAIT = {"Prefer": "wait=20"}
UNCONFIGURED = {
    "redis_up": "Redis",
    "work_stopped": "a queue",
    "ingest_dead_letters_total": "a queue",
    "ingest_event_age_seconds_count": "a queue",
    "gemini_key_age_seconds": "a Gemini key",
    "gemini_cost_dollars_total": "prices",
    "cache_hits_total": "cached answers",
    "cache_misses_total": "cached answers",
    "cache_size": "cached answers",
}
"""Metrics and the part that they tell of, none of which a minimal server has."""


def scrape(server: Server) -> str:
    answer = server.get("/prometheus")
    assert answer.status_code == 200, answer.text
    return answer.text


def used(server: Server) -> None:
    """Use what a healthy server does."""
    kept = server.put("/api/documents/hr/party.md", content=b"The summer party is on 18 July.", headers=WAIT)
    assert kept.json()["status"] == "indexed", kept.text
    for _ in range(20):
        server.get("/api/search?q=When+is+the+summer+party&store=hr").raise_for_status()
    server.delete("/api/documents/hr/party.md").raise_for_status()
    assert server.get("/health").json()["status"] == "healthy"


def names(text: str) -> set[str]:
    """The names of the samples in a scrape."""
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


@pytest.mark.parametrize("part", ["nothing more", "Redis", pytest.param("two workers", marks=pytest.mark.slow)])
def test_no_alert_fires_over_a_healthy_server(tmp_path: Path, part: str) -> None:
    settings = {"FLAMEHAVEN_METRICS_ENABLED": "1"}
    with ExitStack() as stack:
        if part == "Redis":
            settings["REDIS_URL"] = stack.enter_context(redis_server(tmp_path)).url
        if part == "two workers":
            settings["WORKERS"] = "2"
        server = stack.enter_context(flamehaven(tmp_path / "data", **settings))
        scrapes = [scrape(server)]
        used(server)
        scrapes += [scrape(server), until(lambda: text if "stores_total" in names(text := scrape(server)) else "")]
    assert alerts_over(scrapes, tmp_path) == set()


def test_a_part_that_is_not_configured_has_no_series(tmp_path: Path) -> None:
    with flamehaven(tmp_path, FLAMEHAVEN_METRICS_ENABLED="1", CACHE_TTL_SEC="0") as server:
        used(server)
        found = until(lambda: there if "stores_total" in (there := names(scrape(server))) else set())
    assert found & UNCONFIGURED.keys() == set()
    assert {"search_requests_total", "ingest_oldest_pending_seconds", "gemini_calls_total"} <= found


@pytest.mark.slow
def test_the_alert_about_redis_fires_where_redis_is_gone(tmp_path: Path) -> None:
    def scraped(server: Server, up: str) -> str:
        return until(lambda: text if f"redis_up {up}" in (text := scrape(server)) else "")

    with redis_server(tmp_path) as redis:
        settings = {"FLAMEHAVEN_METRICS_ENABLED": "1", "REDIS_URL": redis.url}
        with flamehaven(tmp_path / "data", **settings) as server:
            scrapes = [scraped(server, "1.0")]
            redis.stop()
            scrapes.append(scraped(server, "0.0"))
    assert alerts_over(scrapes, tmp_path) == {"FlamehavenRedisDown"}


def test_a_queue_has_its_series_before_anything_goes_wrong(tmp_path: Path) -> None:
    """Prometheus sees no increase where the first value of a counter is 1."""
    settings = {"FLAMEHAVEN_METRICS_ENABLED": "1", "EVENTS_URL": "pubsub://acme/documents"}
    with flamehaven(tmp_path, **settings, PUBSUB_EMULATOR_HOST=f"127.0.0.1:{free_port()}") as server:
        text = until(lambda: there if "ingest_dead_letters_total 0.0" in (there := scrape(server)) else "")
    assert 'work_stopped{part="events"}' in text
    assert 'work_stopped{part="ingest"} 0.0' in text
