"""What a monitoring system asks: `/prometheus`, and `/metrics` for people and scripts."""

from __future__ import annotations

import time

import psutil
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flamehaven import metrics
from flamehaven.access import recognised
from flamehaven.addresses import is_address, is_in
from flamehaven.limits import Kind
from flamehaven.proxies import host_of, is_cross_site, is_forwarded, peer_of
from functions.health.readiness import readiness
from shared import metrics as counted
from shared.access import let_in
from shared.errors import ServiceError
from shared.http import endpoint
from shared.runtime import Runtime, runtime

_started = time.monotonic()
PRIVATE_NAMES = (".internal", ".local", ".svc")
"""Ends of names that nobody can register (ICANN resolution 2024.07.29.06; RFC 6762), or that only Kubernetes has."""


class System(BaseModel):
    """How busy the machine is."""

    cpu_percent: float
    memory_percent: float
    disk_percent: float


class Totals(BaseModel):
    """What was counted since the server started, by all its processes."""

    requests_total: int
    errors_total: int
    rate_limit_exceeded: int
    cache_hits_total: int
    cache_misses_total: int


class Cache(BaseModel):
    """Answers that were given again."""

    hits: int
    misses: int
    hit_rate_percent: float
    ttl_seconds: int


class Summary(BaseModel):
    """How the server stands."""

    health_status: str
    uptime_seconds: float
    stores_count: int
    stores: list[str]
    cache: Cache
    prometheus: Totals
    system: System


@endpoint
async def prometheus(request: Request) -> Response:
    """Every metric, in the text format of Prometheus."""
    parts = await runtime()
    await _check(request, parts)
    await _look(parts)
    data, media_type = metrics.exposition()
    return Response(data, headers={"Content-Type": media_type})


@endpoint
async def summary(request: Request) -> Response:
    """The most important numbers as JSON."""
    parts = await runtime()
    await _check(request, parts)
    system = await _look(parts)
    hits, misses = int(metrics.total("cache_hits")), int(metrics.total("cache_misses"))
    stores = [record.store for record in await parts.stores.all()]
    answer = Summary(
        health_status=(await readiness()).status,
        uptime_seconds=round(time.monotonic() - _started, 1),
        stores_count=len(stores),
        stores=sorted(stores),
        cache=Cache(
            hits=hits,
            misses=misses,
            hit_rate_percent=round(100 * hits / max(1, hits + misses), 1),
            ttl_seconds=parts.settings.cache_ttl_sec,
        ),
        prometheus=Totals(
            requests_total=int(metrics.total("http_requests")),
            errors_total=int(metrics.total("errors")),
            rate_limit_exceeded=int(metrics.total("rate_limit_exceeded")),
            cache_hits_total=hits,
            cache_misses_total=misses,
        ),
        system=system,
    )
    return JSONResponse(answer.model_dump())


async def _check(request: Request, parts: Runtime) -> None:
    """Let in an admin, and who is connected from an internal network and passes on for nobody. Raises ServiceError."""
    if not parts.settings.flamehaven_metrics_enabled:
        raise ServiceError(
            "RESOURCE_NOT_FOUND", "Nothing is counted here; FLAMEHAVEN_METRICS_ENABLED=1 in the server's settings does."
        )
    if not is_forwarded(request) and is_in(peer_of(request), parts.settings.internal_networks) and _is_meant(request):
        return
    who = await recognised(request, Kind.OTHER)
    let_in(request, who)
    if not who.may() or who.stores is not None:
        raise ServiceError(
            "PERMISSION_DENIED", "Metrics are for admins, and for INTERNAL_NETWORKS. Send the admin key."
        )


def _is_meant(request: Request) -> bool:
    """Whether a request is meant for this server: no site sent it through a browser inside, under a name of its own.

    Such a name is one that somebody can register (DNS rebinding); an address and a name without a dot are none.
    """
    host = host_of(request)
    private = is_address(host) or "." not in host or host.endswith(PRIVATE_NAMES)
    return bool(host) and private and not is_cross_site(request)


async def _look(parts: Runtime) -> System:
    """Set the metrics that are asked for and not counted."""
    system = System(
        cpu_percent=psutil.cpu_percent(),
        memory_percent=psutil.virtual_memory().percent,
        disk_percent=psutil.disk_usage(str(parts.settings.data_dir)).percent,
    )
    counted.CPU.set(system.cpu_percent)
    counted.MEMORY.set(system.memory_percent)
    counted.DISK.set(system.disk_percent)
    if parts.settings.events_url:
        for part in ("ingest", "events"):
            counted.WORK_STOPPED.set(float(part in parts.trouble), part)
    if parts.redis:
        counted.REDIS_UP.set(float(not await parts.redis.look()))
    return system
