"""What is counted. Nothing is, until a server says where to: functions have the metrics of their platform.

Names and labels of the first block are those of version 1.x. Labels that come from outside are bounded: see `Bounded`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from shared.failures import Misconfigured, NotThere, Permanent, Throttled, Transient


class Kind(Enum):
    """What a metric does; of a gauge, also what the processes of a server together say of it."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    SUM = "livesum"
    MOST = "livemax"
    LEAST = "livemin"
    LATEST = "mostrecent"


class Sink(Protocol):
    """Where one metric's values go, with its labels in their order."""

    def add(self, labels: tuple[str, ...], amount: float) -> None: ...

    def set(self, labels: tuple[str, ...], value: float) -> None: ...

    def observe(self, labels: tuple[str, ...], value: float) -> None: ...


METRICS: list[Metric] = []
"""Every metric there is."""


@dataclass(eq=False, slots=True)
class Metric:
    """One metric; its methods do nothing before a server gave it a sink."""

    name: str
    """Without the `_total` that Prometheus adds to a counter's."""
    help: str
    labels: tuple[str, ...] = ()
    kind: Kind = Kind.COUNTER
    buckets: tuple[float, ...] = ()
    sink: Sink | None = None

    def __post_init__(self) -> None:
        METRICS.append(self)

    def add(self, *labels: str, amount: float = 1) -> None:
        """Count."""
        if self.sink:
            self.sink.add(labels, amount)

    def set(self, value: float, *labels: str) -> None:
        """Say how it stands."""
        if self.sink:
            self.sink.set(labels, value)

    def observe(self, value: float, *labels: str) -> None:
        """Add one observation."""
        if self.sink:
            self.sink.observe(labels, value)


class Bounded:
    """Lets the first values of a label through, and calls the rest `other`: people choose names without end."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._known and len(self._known) < self._most:
            self._known.add(value)
        return value if value in self._known else "other"


store_label = Bounded(50)
"""For stores that exist."""
model_label = Bounded(20)

_HTTP = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10)
_SECONDS = (0.1, 0.5, 1, 2, 5, 10)
_LONG = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)
_BYTES = (1 << 10, 10 << 10, 100 << 10, 1 << 20, 10 << 20, 50 << 20)

APP_INFO = Metric(
    "flamehaven_filesearch_app_info",
    "Version, service and framework of this server.",
    ("version", "service", "framework"),
    kind=Kind.LATEST,
)
HTTP_REQUESTS = Metric("http_requests", "Requests answered.", ("method", "endpoint", "status"))
HTTP_SECONDS = Metric(
    "http_request_duration_seconds",
    "Duration of requests, in seconds, to the end of the response.",
    ("method", "endpoint"),
    Kind.HISTOGRAM,
    _HTTP,
)
ACTIVE_REQUESTS = Metric("active_requests", "Requests in progress.", ("method", "endpoint"), Kind.SUM)
ERRORS = Metric("errors", "Error responses, by error code.", ("error_type", "endpoint"))
RATE_LIMITED = Metric("rate_limit_exceeded", "Requests refused because of a rate limit.", ("endpoint",))
UPLOADS = Metric("file_uploads", "Uploaded files: success or failure.", ("status", "store"))
UPLOAD_BYTES = Metric("file_upload_size_bytes", "Size of stored files, in bytes.", ("store",), Kind.HISTOGRAM, _BYTES)
UPLOAD_SECONDS = Metric(
    "file_upload_duration_seconds",
    "Time until an uploaded file was stored, in seconds.",
    ("store",),
    Kind.HISTOGRAM,
    _SECONDS,
)
SEARCHES = Metric(
    "search_requests",
    "Searches: success, refused (nothing found) or error.",
    ("status", "store"),
)
SEARCH_SECONDS = Metric(
    "search_duration_seconds", "Duration of searches, in seconds.", ("store",), Kind.HISTOGRAM, (*_SECONDS, 30.0)
)
SEARCH_RESULTS = Metric(
    "search_results_count", "Sources per answer.", ("store",), Kind.HISTOGRAM, (0, 1, 5, 10, 20, 50, 100)
)
CACHE_HITS = Metric("cache_hits", "Searches answered from the cache.", ("cache_type",))
CACHE_MISSES = Metric("cache_misses", "Searches not found in the cache.", ("cache_type",))
CACHE_SIZE = Metric(
    "cache_size", "Answers cached in the processes; Redis has its own count.", ("cache_type",), Kind.SUM
)
CPU = Metric("system_cpu_usage_percent", "CPU use of the host, in percent.", kind=Kind.LATEST)
MEMORY = Metric("system_memory_usage_percent", "Memory use of the host, in percent.", kind=Kind.LATEST)
DISK = Metric("system_disk_usage_percent", "Use of the disk that holds the data folder, in percent.", kind=Kind.LATEST)
STORES = Metric("stores_total", "Stores with documents.", kind=Kind.MOST)

INGEST_OUTCOMES = Metric("ingest_outcomes", "Outcomes of indexing changed objects.", ("outcome",))
INGEST_SECONDS = Metric("ingest_duration_seconds", "Time to process one object, in seconds.", (), Kind.HISTOGRAM, _LONG)
EVENT_AGE = Metric(
    "ingest_event_age_seconds",
    "Time from an event's arrival in the queue until it is settled, in seconds.",
    (),
    Kind.HISTOGRAM,
    _LONG,
)
PENDING = Metric("ingest_pending_documents", "Documents whose current version is not indexed yet.", kind=Kind.MOST)
FAILED = Metric("ingest_failed_documents", "Documents that could not be indexed.", kind=Kind.MOST)
OLDEST_PENDING = Metric(
    "ingest_oldest_pending_seconds", "Age of the oldest pending document, in seconds.", kind=Kind.MOST
)
DEAD_LETTERS = Metric("ingest_dead_letters", "Events that failed at their last delivery.")
WORK_STOPPED = Metric("work_stopped", "1 while this part has stopped until an operator acts.", ("part",), Kind.MOST)
GEMINI_CALLS = Metric("gemini_calls", "Calls to Gemini; each attempt counts.", ("method", "outcome"))
GEMINI_SECONDS = Metric(
    "gemini_call_duration_seconds", "Duration of calls to Gemini, in seconds.", ("method",), Kind.HISTOGRAM, _LONG
)
GEMINI_TOKENS = Metric("gemini_tokens", "Tokens, as counted by Gemini.", ("kind", "model"))
GEMINI_COST = Metric(
    "gemini_cost_dollars", "Cost of the tokens, from GEMINI_INPUT_PRICE and GEMINI_OUTPUT_PRICE.", ("model",)
)
GEMINI_KEY_AGE = Metric("gemini_key_age_seconds", "Seconds since this deployment first used its key.", kind=Kind.MOST)
REDIS_UP = Metric("redis_up", "0 while the configured Redis cannot be used.", kind=Kind.LEAST)


@contextlib.contextmanager
def gemini_call(method: str) -> Iterator[None]:
    """Count one call of Gemini and what came of it."""
    started, outcome = time.monotonic(), "ok"
    try:
        yield
    except BaseException as error:
        outcome = _outcome(error)
        raise
    finally:
        GEMINI_CALLS.add(method, outcome)
        GEMINI_SECONDS.observe(time.monotonic() - started, method)


def _outcome(error: BaseException) -> str:
    kinds = {
        asyncio.CancelledError: "cancelled",
        Throttled: "throttled",
        Transient: "transient",
        NotThere: "not_there",
        Misconfigured: "misconfigured",
        Permanent: "permanent",
    }
    return next((name for kind, name in kinds.items() if isinstance(error, kind)), "unknown")
