"""Spans reach a receiver of OpenTelemetry's protocol, hold no question, and log lines name their trace."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.servers import flamehaven

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
PRODUCTION = {
    "ENVIRONMENT": "production",
    "GEMINI_BASE_URL": "emulator:",
    "FLAMEHAVEN_ADMIN_KEY": "the-key-of-the-admin",
}
AS_ADMIN = {"Authorization": "Bearer the-key-of-the-admin"}


@contextmanager
def receiver() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A receiver of OTLP over HTTP: its address, and what it was sent."""
    received: list[ExportTraceServiceRequest] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join()


def attributes(span: Span) -> dict[str, str]:
    return {each.key: each.value.string_value or str(each.value.int_value) for each in span.attributes}


def test_a_search_and_an_upload_are_traced(tmp_path: Path) -> None:
    within = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    with (
        receiver() as (address, received),
        flamehaven(tmp_path, **PRODUCTION, OTEL_EXPORTER_OTLP_ENDPOINT=address) as server,
    ):
        server.headers |= AS_ADMIN
        sent = {"X-Request-ID": "put-1", "Prefer": "wait=20"}
        put = server.put("/api/documents/hr/a.md", content="Lunch is at noon.", headers=sent)
        assert put.json()["status"] == "indexed"
        server.get("/api/search", params={"q": "When is the secret lunch?", "store": "hr"}, headers=within)
        server.get("/api/search", params={"q": "x", "store": "nowhere"})
        server.get("/health")
    (resource,) = {
        (each.key, each.value.string_value)
        for request in received
        for part in request.resource_spans
        for each in part.resource.attributes
        if each.key == "service.name"
    }
    assert resource == ("service.name", "flamehaven-filesearch")
    spans = [
        span
        for request in received
        for part in request.resource_spans
        for scope in part.scope_spans
        for span in scope.spans
    ]
    (asked,) = [span for span in spans if span.trace_id.hex() == TRACE and span.name == "GET /api/search"]
    assert asked.parent_span_id.hex() == PARENT
    assert attributes(asked)["http.response.status_code"] == "200"
    (generated,) = [span for span in spans if span.trace_id.hex() == TRACE and span.name.startswith("gemini ")]
    assert generated.parent_span_id == asked.span_id
    assert generated.kind == Span.SPAN_KIND_CLIENT
    (reconciled,) = [span for span in spans if attributes(span).get("flamehaven.request_id") == "put-1"]
    assert attributes(reconciled)["flamehaven.object"] == "hr/a.md"
    assert attributes(reconciled)["flamehaven.outcome"] == "indexed"
    assert "gemini upload" in {span.name for span in spans if span.parent_span_id == reconciled.span_id}
    assert not [span for span in spans if "health" in span.name]
    text = str(spans)
    for secret in ("secret", "noon", "the-key-of-the-admin"):
        assert secret not in text, "neither questions nor documents nor keys are for other machines"


def test_lines_name_the_trace_as_cloud_logging_wants_it(tmp_path: Path) -> None:
    with flamehaven(tmp_path, **PRODUCTION, GOOGLE_CLOUD_PROJECT="acme") as server:
        server.get("/api/stores", headers=AS_ADMIN | {"X-Cloud-Trace-Context": f"{TRACE}/67667974448284343;o=1"})
        server.get("/api/documents", headers=AS_ADMIN)
    lines = [json.loads(line) for line in (tmp_path / "server.log").read_text().splitlines()]
    (within,) = [line for line in lines if line["message"] == "GET /api/stores 200"]
    assert within["logging.googleapis.com/trace"] == f"projects/acme/traces/{TRACE}"
    assert within["logging.googleapis.com/spanId"] == PARENT
    assert within["logging.googleapis.com/trace_sampled"] is True
    (without,) = [line for line in lines if line["message"] == "GET /api/documents 200"]
    assert not [key for key in without if key.startswith("logging.googleapis.com/")]
