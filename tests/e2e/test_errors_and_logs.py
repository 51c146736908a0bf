"""Every error has one shape, on every route, and every line that the server writes is a JSON object of one form.

{"error": CODE, "message", "status_code", "request_id", "timestamp", "details" (at times)}
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from functions.search.models import MAX_STORES
from shared.errors import STATUS_OF_CODE
from shared.http import error_response
from tests.servers import Server, flamehaven, until

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
UNKNOWN_FIELD = b'{"query": "x", "search_mode": "hybrid"}'
TOO_MANY_STORES = json.dumps({"query": "x", "stores": list(map(str, range(MAX_STORES + 1)))}).encode()

ERRORS = [
    ("GET", "/metrics", b"", {}, 404, "RESOURCE_NOT_FOUND"),
    ("GET", "/prometheus", b"", {}, 404, "RESOURCE_NOT_FOUND"),
    ("GET", "/api/search?q=x&store=nowhere", b"", {}, 404, "STORE_NOT_FOUND"),
    ("GET", "/api/search?q=", b"", {}, 400, "EMPTY_SEARCH_QUERY"),
    ("GET", "/api/search?q=%20%20", b"", {}, 400, "EMPTY_SEARCH_QUERY"),
    ("GET", "/api/search", b"", {}, 422, "VALIDATION_ERROR"),
    ("GET", "/api/search?q=x&unknown=1", b"", {}, 422, "VALIDATION_ERROR"),
    ("GET", "/api/search?q=" + "x" * 1001, b"", {}, 422, "VALIDATION_ERROR"),
    ("GET", "/api/search?q=x&stream=perhaps", b"", {}, 422, "VALIDATION_ERROR"),
    ("GET", "/api/search?q=x&q=y", b"", {}, 422, "VALIDATION_ERROR"),
    ("GET", "/api/search?q=x&model=0/0", b"", {}, 422, "VALIDATION_ERROR"),
    ("GET", "/api/search?q=x&store=../../etc", b"", {}, 404, "STORE_NOT_FOUND"),
    ("POST", "/api/search", b"{", JSON, 422, "VALIDATION_ERROR"),
    ("POST", "/api/search", b"[" * 10_000, JSON, 422, "VALIDATION_ERROR"),
    ("POST", "/api/search", b"\xff\xfe", JSON, 422, "VALIDATION_ERROR"),
    ("POST", "/api/search", b"[]", JSON, 422, "VALIDATION_ERROR"),
    ("POST", "/api/search", b'{"query": 5}', JSON, 422, "VALIDATION_ERROR"),
    ("POST", "/api/search", b'{"query": "x", "temperature": 3}', JSON, 422, "VALIDATION_ERROR"),
    ("POST", "/api/search", UNKNOWN_FIELD, JSON, 422, "VALIDATION_ERROR"),
    ("POST", "/api/search", TOO_MANY_STORES, JSON, 422, "VALIDATION_ERROR"),
    ("POST", "/api/search", b'{"query": "' + b"x" * 1001 + b'"}', JSON, 422, "VALIDATION_ERROR"),
    ("POST", "/api/search", b'{"query": "' + b"x" * (1 << 20) + b'"}', JSON, 422, "VALIDATION_ERROR"),
    ("POST", "/api/upload/single", b"x", {}, 422, "VALIDATION_ERROR"),
    ("POST", "/api/upload/single", b"--b--", FORM, 422, "VALIDATION_ERROR"),
    ("POST", "/api/upload/multiple", b"x", {}, 422, "VALIDATION_ERROR"),
    ("POST", "/api/upload/multiple", b"--b--", FORM, 422, "VALIDATION_ERROR"),
    ("GET", "/api/documents?page_size=0", b"", {}, 422, "VALIDATION_ERROR"),
    ("GET", "/api/documents?status=lost", b"", {}, 422, "VALIDATION_ERROR"),
    ("GET", "/api/documents/hr/none.md", b"", {}, 404, "FILE_NOT_FOUND"),
    ("PUT", "/api/documents/hr/x.exe", b"x", {}, 400, "UNSUPPORTED_FILE_TYPE"),
    ("PUT", "/api/documents/hr/x.md", b"", {}, 400, "EMPTY_FILE"),
    ("PUT", "/api/documents/hr/x.md", b"x" * ((1 << 20) + 1), {}, 413, "FILE_SIZE_EXCEEDED"),
    ("DELETE", "/api/documents/hr/none.md", b"", {}, 404, "FILE_NOT_FOUND"),
    ("POST", "/api/documents/hr/none.md/retry", b"", {}, 404, "FILE_NOT_FOUND"),
    ("POST", "/api/documents/hr/none.md", b"", {}, 405, "METHOD_NOT_ALLOWED"),
    ("POST", "/api/stores", b"{}", JSON, 422, "VALIDATION_ERROR"),
    ("POST", "/api/stores", b'{"name": "../x"}', JSON, 400, "INVALID_FILENAME"),
    ("DELETE", "/api/stores/nowhere", b"", {}, 404, "STORE_NOT_FOUND"),
    ("DELETE", "/api/stores/nowhere?force=maybe", b"", {}, 422, "VALIDATION_ERROR"),
    ("POST", "/api/stores/nowhere/reindex", b"", {}, 404, "STORE_NOT_FOUND"),
    ("POST", "/api/reconcile?dry_run=perhaps", b"", {}, 422, "VALIDATION_ERROR"),
    ("POST", "/api/admin/keys", b"{}", JSON, 422, "VALIDATION_ERROR"),
    ("DELETE", "/api/admin/keys/none", b"", {}, 404, "RESOURCE_NOT_FOUND"),
    ("GET", "/nowhere", b"", {}, 404, "RESOURCE_NOT_FOUND"),
    ("GET", "/api/", b"", {}, 404, "RESOURCE_NOT_FOUND"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with flamehaven(tmp_path_factory.mktemp("data"), MAX_FILE_SIZE_MB="1") as client:
        yield client


def check(answer: httpx2.Response, status: int, code: str) -> None:
    body = answer.json()
    assert (answer.status_code, body["error"], body["status_code"]) == (status, code, status), answer.text
    assert STATUS_OF_CODE[code] == status
    assert set(body) - {"details"} == {"error", "message", "status_code", "request_id", "timestamp"}
    assert answer.headers["x-request-id"] == body["request_id"]
    assert len(body["message"]) > 10
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None


@pytest.mark.parametrize(("method", "path", "body", "headers", "status", "code"), ERRORS)
def test_an_error_has_the_one_shape(
    server: Server, method: str, path: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = server.request(method, path, content=body, headers={**headers, "X-Request-ID": "my-id-1"})
    check(answer, status, code)
    assert answer.json()["request_id"] == "my-id-1"


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("GET", "/api/search", b"", ["`query` or `q` is missing", "?q=How+much"]),
        ("POST", "/api/search", b"{}", ["`query` or `q` is missing", '{"query": "How much']),
        ("POST", "/api/search", b"[]", ["not a JSON object", '{"query": ']),
        ("POST", "/api/search", b"{", ["not JSON", '{"query": ']),
        ("POST", "/api/search", b'{"query": 5}', ["`query` or `q`: got 5", "a text of at most 1,000 characters"]),
        ("GET", "/api/search?q=x&storre=hr", b"", ["`storre` is not known", "Did you mean `store`?"]),
        ("GET", "/api/search?q=x&q=y", b"", ["there 2 times", "Send it once"]),
        ("GET", "/api/search?q=x&query=y", b"", ["both are there", "Send one"]),
        ("GET", "/api/search?q=x&stream=perhaps", b"", ["`stream`: got 'perhaps'", "true or false"]),
        ("GET", "/api/search?q=x&max_tokens=0", b"", ["`max_tokens`: got '0'", "from 1 to 8,192"]),
        ("GET", "/api/documents?status=lost", b"", ["`status`: got 'lost'", "pending, indexed, failed"]),
        ("POST", "/api/stores", b"{}", ["`name` is missing", '{"name": "plans"}']),
        (
            "POST",
            "/api/admin/keys",
            b'{"name": "x", "scopes": ["read"]}',
            ["got 'read'", "search, upload, manage, admin"],
        ),
        ("POST", "/api/upload/single", b"x", ["not a form", "multipart/form-data"]),
        ("GET", "/api/documents/hr/none.md", b"", ["'hr/none.md'", "/api/documents lists"]),
    ],
)
def test_what_is_refused_says_what_is_wrong_and_what_to_send(
    server: Server, method: str, path: str, body: bytes, says: list[str]
) -> None:
    message = server.request(method, path, content=body).json()["message"]
    assert all(each in message for each in says), message


def test_every_route_refuses_other_methods_in_the_one_shape(server: Server) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    assert len(paths) >= 12
    for path, operations in paths.items():
        address = path.replace("{object}", "hr/x.md").replace("{store}", "hr")
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - {name.upper() for name in operations}:
            if address == "/api/documents/hr/x.md/retry":
                continue  # another route takes these: it could be a document of that name
            answer = server.request(method, address)
            check(answer, 405, "METHOD_NOT_ALLOWED")
            taken = {name.upper() for name in operations} | ({"HEAD"} if "get" in operations else set())
            assert set(answer.headers["allow"].split(", ")) == taken


def test_every_route_is_in_the_table(server: Server) -> None:
    called = {(method, path.partition("?")[0]) for method, path, *_ in ERRORS}
    calm = {("get", path) for path in ("/", "/health", "/health/live", "/api/stores", "/api/admin/keys")}
    for path, operations in server.get("/openapi.json").json()["paths"].items():
        pattern = (
            re.escape(path).replace(r"\{object\}", ".+").replace(r"\{store\}", "[^/]+").replace(r"\{id\}", "[^/]+")
        )
        for method in operations:
            named = any(each == method.upper() and re.fullmatch(pattern, address) for each, address in called)
            assert named or (method, path) in calm, f"{method} {path}"


@pytest.mark.parametrize(
    ("status", "code"), [(429, "RATE_LIMIT_EXCEEDED"), (500, "INTERNAL_ERROR"), (418, "BAD_REQUEST")]
)
def test_what_a_library_raises_has_the_shape_too(status: int, code: str) -> None:
    body = json.loads(bytes(error_response(Request({"type": "http"}), HTTPException(status, "no tea")).body))
    assert body["error"] == code
    assert "no tea" in body["message"]


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Server]:
    """A server whose records turned into something that nobody expected."""
    with flamehaven(tmp_path, CACHE_TTL_SEC="0") as client:
        client.put("/api/documents/hr/x.md", content="x", headers={"Prefer": "wait=20"})
        for record in (tmp_path / "state" / "stores").iterdir():
            record.write_text("{}")
        yield client


def test_a_fault_of_ours_is_500_and_its_traceback_is_only_in_the_log(broken: Server, tmp_path: Path) -> None:
    answer = broken.get("/api/search", params={"q": "x", "store": "hr"})
    check(answer, 500, "INTERNAL_ERROR")
    assert "Traceback" not in answer.text
    assert "Traceback" in (tmp_path / "server.log").read_text()


def test_a_request_id_that_is_insane_is_replaced(server: Server) -> None:
    for insane in ("x" * 3000, "a b", "<script>", "é"):
        answer = server.get("/health/live", headers={"X-Request-ID": insane.encode()})
        assert len(answer.headers["x-request-id"]) == 36
    assert server.get("/health/live", headers={"X-Request-ID": "a.B_c-9"}).headers["x-request-id"] == "a.B_c-9"


KEYS = {"timestamp", "level", "severity", "logger", "message", "service", "version", "request_id", "environment"}


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_line_is_a_json_object_of_one_form(tmp_path: Path, workers: str) -> None:
    production = {"ENVIRONMENT": "production", "GEMINI_BASE_URL": "emulator:", "LOG_LEVEL": "debug", "WORKERS": workers}
    log = tmp_path / "server.log"
    with flamehaven(tmp_path, **production, FLAMEHAVEN_ADMIN_KEY="the-key-of-the-admin") as client:
        client.headers["Authorization"] = "Bearer the-key-of-the-admin"
        client.put(
            "/api/documents/hr/a.md",
            content="Lunch is at noon.",
            headers={"X-Request-ID": "put-1", "Prefer": "wait=20"},
        )
        client.put(
            "/api/documents/hr/b.pdf", content="%PDF-1.4 no", headers={"X-Request-ID": "put-2", "Prefer": "wait=20"}
        )
        client.get(
            "/api/search", params={"q": "When is the secret lunch?", "store": "hr"}, headers={"X-Request-ID": "ask-1"}
        )
        client.get("/api/search", params={"q": "x", "store": "nowhere"})
        (tmp_path / "documents" / "hr" / "evil\nname.md").write_text("x")
        (tmp_path / "documents" / "hr" / os.fsdecode(b"no\xfftext.md")).write_text("x")
        with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as line:
            line.sendall(b"no HTTP at all\r\n\r\n")
            line.recv(1000)
        until(lambda: [each for each in lines(log) if "evil" in each["message"]])
    found = lines(log)
    for each in found:
        assert each.keys() >= KEYS, each
        assert each["service"] == "flamehaven-filesearch"
        assert each["environment"] == "production"
        assert each["version"] not in ("", "unknown")
        assert each["level"] == each["severity"]
        assert datetime.fromisoformat(each["timestamp"]).tzinfo is not None
    by_id = {
        key: [each["message"] for each in found if each["request_id"] == key] for key in ("put-1", "put-2", "ask-1")
    }
    assert "PUT /api/documents/hr/a.md 200" in by_id["put-1"]
    if workers == "1":  # the other worker's watch may see the object before the one that was asked does
        assert "hr/a.md: indexed" in by_id["put-1"], "the id goes with the object into its indexing"
        assert any(message.startswith("hr/b.pdf: failed") for message in by_id["put-2"])
    assert by_id["ask-1"][-1:] == ["GET /api/search 200"]
    assert {"uvicorn.error", "shared.http", "functions.ingest.worker"} <= {each["logger"] for each in found}
    access = next(each for each in found if each["message"] == "GET /api/search 404")
    assert (access["method"], access["path"], access["status"]) == ("GET", "/api/search", 404)
    assert access["duration_ms"] >= 0
    searched = next(each for each in found if each["request_id"] == "ask-1" and "outcome" in each)
    assert (searched["outcome"], searched["stores"]) == ("refused", ["hr"])
    for secret in ("secret lunch", "Lunch is at noon", "the-key-of-the-admin"):
        assert secret not in log.read_text(), "neither questions nor documents are for the log"
