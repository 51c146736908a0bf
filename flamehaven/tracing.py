"""OpenTelemetry: FastAPI's spans of requests, and ours of Gemini's calls and of objects, sent where OTEL_* say.

The variables are OpenTelemetry's own ("Environment Variable Specification"); without an address nothing is recorded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastapi.telemetry import TelemetryConfig

from shared.errors import ServiceError
from shared.logs import SERVICE, product_version
from shared.secret import without_keys

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ADDRESSES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
UNTRACED = ("/health", "/metrics", "/prometheus")
"""What asks all the time."""


def requests_traced() -> TelemetryConfig:
    """What FastAPI is to record: requests, where somebody takes their spans, and nothing of its own insides."""
    return {"metrics": False, "logs": False, "operation_spans": False, "auto_configure": False, "exclude": _untraced}


def _untraced(scope: MutableMapping[str, Any]) -> bool:
    path: str = scope["path"]
    return path.startswith(UNTRACED)


def check() -> None:
    """Raises ServiceError where traces are asked for and the packages that send them are missing."""
    if not _asked_for():
        return
    try:
        import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError as error:
        raise ServiceError(
            "CONFIGURATION_ERROR",
            f"{ADDRESSES[1]} asks for traces; {error.name} is missing: install flamehaven-filesearch[tracing].",
        ) from error


@contextmanager
def tracing() -> Iterator[None]:
    """Send spans while the block runs, where an address is set."""
    if not _asked_for():
        yield
        return
    from opentelemetry.trace import set_tracer_provider

    provider = _provider()
    set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


def _asked_for() -> bool:
    return any(os.environ.get(name) for name in ADDRESSES)


def _provider() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    class Discreet(SpanProcessor):
        """Keeps questions and keys, which addresses may hold, out of spans."""

        def on_start(self, span: Span, parent_context: object = None) -> None:
            found = span.attributes or {}
            if "url.query" in found:
                span.set_attribute("url.query", "REDACTED")
            if isinstance(path := found.get("url.path"), str):
                span.set_attribute("url.path", without_keys(path))

    named = os.environ.get("OTEL_SERVICE_NAME") or SERVICE
    provider = TracerProvider(resource=Resource.create({"service.name": named, "service.version": product_version()}))
    provider.add_span_processor(Discreet())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
