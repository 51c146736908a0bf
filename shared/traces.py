"""Which trace the work at hand belongs to: the caller's own for log lines, and spans for whoever exports them."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_CLOUD_TRACE = re.compile(r"(?!0{32})([0-9a-f]{32})(?:/(\d{1,20}))?(?:;o=(\d))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Trace:
    """A place in a trace: 32 hexadecimal digits of the trace, 16 of the span, and whether it is recorded."""

    trace_id: str
    span_id: str | None
    sampled: bool


callers_trace: ContextVar[Trace | None] = ContextVar("callers_trace", default=None)
"""The trace that the request being served says it is part of."""


def trace_of(headers: Mapping[str, str]) -> Trace | None:
    """The trace that a request is part of; None where its headers say nothing, or nothing that makes sense.

    `traceparent` as in W3C's "Trace Context", else Google's older `X-Cloud-Trace-Context`, whose span is decimal (Cloud
    Trace's documentation, "Trace context").
    """
    if standard := _TRACEPARENT.fullmatch(headers.get("traceparent", "")):
        trace, span, flags = standard.groups()
        return Trace(trace, span, bool(int(flags, 16) & 1))
    if google := _CLOUD_TRACE.fullmatch(headers.get("x-cloud-trace-context", "")):
        trace, number, options = google.groups()
        known = number is not None and 0 < int(number) < 1 << 64
        return Trace(trace.lower(), f"{int(number):016x}" if known else None, options == "1")
    return None


def current() -> Trace | None:
    """The span that is being recorded, else the caller's trace."""
    if telemetry := sys.modules.get("opentelemetry.trace"):  # where nobody has imported it, nobody records
        context = telemetry.get_current_span().get_span_context()
        if context.is_valid:
            return Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags.sampled)
    return callers_trace.get()


@contextlib.contextmanager
def span(name: str, *, outgoing: bool = False, **attributes: str) -> Iterator[Span]:
    """Record a piece of work, `outgoing` where another server does it; what it raises is named by its type alone.

    Messages of errors may quote a document, and spans go to other machines. Without flamehaven/tracing.py this records
    nothing.
    """
    from opentelemetry.trace import SpanKind, StatusCode, get_tracer

    kind = SpanKind.CLIENT if outgoing else SpanKind.INTERNAL
    given = {f"flamehaven.{key}": value for key, value in attributes.items()}
    with get_tracer("flamehaven").start_as_current_span(
        name, kind=kind, attributes=given, record_exception=False, set_status_on_exception=False
    ) as recorded:
        try:
            yield recorded
        except BaseException as error:
            recorded.set_attribute("error.type", type(error).__name__)
            recorded.set_status(StatusCode.ERROR)
            raise
