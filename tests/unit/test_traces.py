"""Which trace a request says it is part of."""

from __future__ import annotations

import sys

import pytest

from flamehaven import tracing
from shared.errors import ServiceError
from shared.traces import Trace, trace_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, Trace(TRACE, SPAN, sampled=True)),
        ({"traceparent": f"00-{TRACE}-{SPAN}-02"}, Trace(TRACE, SPAN, sampled=False)),
        ({"traceparent": f"cc-{TRACE}-{SPAN}-01-what-will-be"}, Trace(TRACE, SPAN, sampled=True)),
        ({"traceparent": f"ff-{TRACE}-{SPAN}-01"}, None),
        ({"traceparent": f"00-{'0' * 32}-{SPAN}-01"}, None),
        ({"traceparent": f"00-{TRACE}-{'0' * 16}-01"}, None),
        ({"traceparent": f"00-{TRACE.upper()}-{SPAN}-01"}, None),
        ({"x-cloud-trace-context": f"{TRACE}/67667974448284343;o=1"}, Trace(TRACE, SPAN, sampled=True)),
        ({"x-cloud-trace-context": f"{TRACE.upper()}/67667974448284343"}, Trace(TRACE, SPAN, sampled=False)),
        ({"x-cloud-trace-context": TRACE}, Trace(TRACE, None, sampled=False)),
        ({"x-cloud-trace-context": f"{TRACE}/99999999999999999999;o=1"}, Trace(TRACE, None, sampled=True)),
        ({"x-cloud-trace-context": f"{TRACE}/0;o=1"}, Trace(TRACE, None, sampled=True)),
        ({"x-cloud-trace-context": "lines\nand more"}, None),
        (
            {"traceparent": f"00-{TRACE}-{SPAN}-00", "x-cloud-trace-context": f"{'1' * 32}/5;o=1"},
            Trace(TRACE, SPAN, sampled=False),
        ),
        ({}, None),
    ],
)
def test_the_callers_trace_is_read(headers: dict[str, str], trace: Trace | None) -> None:
    assert trace_of(headers) == trace


def test_traces_without_the_packages_are_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    tracing.check()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    with pytest.raises(ServiceError, match=r"trace_exporter is missing: install flamehaven-filesearch\[tracing\]"):
        tracing.check()
