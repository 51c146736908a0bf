"""The metrics of `shared/metrics.py` in prometheus_client, which is imported only where something is counted.

Several processes write theirs into files of one folder, which whichever is asked adds up (prometheus_client's
documentation, "Multiprocess Mode"). The folder has to be known before prometheus_client is imported.
"""

from __future__ import annotations

import os
import tempfile
import threading
from typing import TYPE_CHECKING, Any

from shared.logs import SERVICE, product_version
from shared.metrics import APP_INFO, METRICS, Kind, Metric

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def share_between_processes() -> None:
    """Have the processes that are forked from this one share their metrics, unless they already do."""
    if not os.environ.get(FOLDER):
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="flamehaven-metrics-")


def forget_process(pid: int) -> None:
    """Take what a process that ended said of itself, and nobody else can say, out of the metrics."""
    if os.environ.get(FOLDER):
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]  # it has no types


def count() -> None:
    """Begin to count, in this process."""
    for metric in METRICS:
        if metric.sink is None:
            metric.sink = _Sink(metric)
    APP_INFO.set(1, product_version(), SERVICE, "fastapi")


def registry() -> CollectorRegistry:
    """All that was counted, by every process of this server."""
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    if not os.environ.get(FOLDER):
        return REGISTRY
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # it has no types
    return together


def exposition() -> tuple[bytes, str]:
    """What Prometheus scrapes, and its media type."""
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    return generate_latest(registry()), CONTENT_TYPE_LATEST


def total(name: str) -> float:
    """The sum of a counter over all its labels."""
    families = registry().collect()
    return sum(sample.value for family in families for sample in family.samples if sample.name == f"{name}_total")


class _Sink:
    """A metric of prometheus_client, made when it gets its first value; AttributeError for what its kind cannot do.

    prometheus_client gives a metric without labels the value 0 as soon as it is made, which would tell of parts that
    are not configured.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._made: Any = None

    def add(self, labels: tuple[str, ...], amount: float) -> None:
        self._of(labels).inc(amount)

    def set(self, labels: tuple[str, ...], value: float) -> None:
        self._of(labels).set(value)

    def observe(self, labels: tuple[str, ...], value: float) -> None:
        self._of(labels).observe(value)

    def _of(self, labels: tuple[str, ...]) -> Any:
        with _making:
            self._made = self._made or _make(self._metric)
        return self._made.labels(*labels) if labels else self._made


_making = threading.Lock()


def _make(metric: Metric) -> Any:
    from prometheus_client import Counter, Gauge, Histogram

    if metric.kind is Kind.COUNTER:
        return Counter(metric.name, metric.help, metric.labels)
    if metric.kind is Kind.HISTOGRAM:
        return Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets)
    return Gauge(metric.name, metric.help, metric.labels, multiprocess_mode=metric.kind.value)
