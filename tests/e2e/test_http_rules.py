"""What HTTP asks of every server: HEAD beside GET, addresses as clients write them, and errors in the one shape."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from tests.servers import Server, flamehaven, function

ROOT = Path(__file__).parents[2]
CHANGING = {"content-length", "date", "ratelimit-remaining", "ratelimit-reset", "x-request-id", "cache-status"}
"""Headers that differ from one answer to the next, and the length of a body that holds the time."""


@pytest.fixture(scope="module", params=["1", "2"], ids=["uvicorn", "gunicorn"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("data")
    with flamehaven(data, WORKERS=request.param, FLAMEHAVEN_METRICS_ENABLED="1") as client:
        for name in ("hr/a.md", "hr/Büro/Öl.md"):
            kept = client.put(f"/api/documents/{quote(name)}", content="Das Büro öffnet um 8 Uhr.", headers=WAITING)
            assert kept.json()["status"] == "indexed", kept.text
        yield client


WAITING = {"Prefer": "wait=20"}
ADDRESSES = [
    *("/", "/health", "/health/live", "/docs", "/docs/start.js", "/docs/swagger-ui.css", "/openapi.json"),
    *("/metrics", "/prometheus", "/api/stores", "/api/documents", "/api/documents?store=hr", "/api/documents/hr/a.md"),
    *("/api/search?q=Wann+%C3%B6ffnet+das+B%C3%BCro&store=hr", "/api/admin/keys"),
    *("/nowhere", "/api/documents/hr/none.md", "/api/search?q=", "/api/search?q=x&store=none"),
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_head_says_what_get_would_and_sends_no_body(server: Server, address: str) -> None:
    full, bare = server.get(address), server.head(address)
    assert (bare.status_code, bare.content) == (full.status_code, b"")
    assert full.status_code != 405
    assert set(bare.headers) == set(full.headers)
    same = set(full.headers) - CHANGING
    assert {name: bare.headers[name] for name in same} == {name: full.headers[name] for name in same}
    assert int(bare.headers["content-length"]) > 0


def test_head_of_a_route_without_get_is_refused(server: Server) -> None:
    answer = server.head("/api/reconcile")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert server.put("/api/search").headers["allow"] == "GET, HEAD, POST"


def test_head_needs_the_key_that_get_needs_and_counts_as_get_does(tmp_path: Path) -> None:
    settings = {
        "ENVIRONMENT": "production",
        "GEMINI_BASE_URL": "emulator:",
        "FLAMEHAVEN_ADMIN_KEY": "the-key-of-the-admin",
    }
    with flamehaven(tmp_path, **settings, SEARCH_RATE_LIMIT="4/minute", FLAMEHAVEN_METRICS_ENABLED="1") as server:
        admin = {"Authorization": "Bearer the-key-of-the-admin"}
        server.put("/api/documents/hr/a.md", content="The party is on 18 July.", headers={**admin, **WAITING})
        for address in ("/api/stores", "/api/documents", "/api/search?q=x", "/api/admin/keys"):
            assert server.head(address).status_code == server.get(address).status_code == 401
        assert server.head("/metrics", headers={"X-Forwarded-For": "198.51.100.7"}).status_code == 401
        body = {"name": "small", "stores": ["hr"], "daily_tokens": 1, "rate_limit_per_minute": 3}
        made = server.post("/api/admin/keys", json=body, headers=admin).json()["key"]
        key, asked = {"Authorization": f"Bearer {made}"}, "/api/search?store=hr&q=When+is+the+"
        assert server.head("/api/search?q=x&store=it", headers=key).status_code == 403
        assert server.head(f"{asked}party", headers=key).status_code == 200
        refused = server.get(f"{asked}summer+party", headers=key)
        assert (refused.status_code, refused.json()["error"]) == (429, "BUDGET_EXCEEDED"), "HEAD used the tokens up"
        assert server.head(f"{asked}party", headers=key).status_code == 429, "and counts as a request"


@pytest.mark.parametrize(("name", "target", "address"), [("health", "health", "/live"), ("search", "search", "/?q=")])
def test_a_function_by_itself_answers_head(tmp_path: Path, name: str, target: str, address: str) -> None:
    settings = {"ENVIRONMENT": "development", "DATA_DIR": str(tmp_path)}
    with function(name, target, ROOT, tmp_path / "log", **settings) as client:
        full, bare = client.get(address), client.head(address)
        assert (bare.status_code, bare.content) == (full.status_code, b"")
        assert bare.headers["content-length"] == full.headers["content-length"]


def sent(server: Server, *parts: bytes) -> httpx2.Response:
    """What the server answers to these very bytes, the last on this connection."""
    with socket.create_connection((server.base_url.host, server.base_url.port or 80), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        received = connection.makefile("rb").read()
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return httpx2.Response(int(status.split()[1]), headers=headers, content=body)


REST = b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("at", [4, 30, 36, 60, 1000])
def test_an_address_may_hold_utf8_that_is_not_escaped(server: Server, at: int) -> None:
    """As `curl '...?q=Büro'` sends it, in one packet or split anywhere."""
    raw = "GET /api/search?store=hr&q=Wann öffnet das Büro?".replace(" öffnet das ", "+öffnet+das+").encode() + REST
    found = sent(server, raw[:at], raw[at:])
    assert (found.status_code, found.json()["answer"]) == (200, "Das Büro öffnet um 8 Uhr."), found.text
    assert found.json()["query"] == "Wann öffnet das Büro?"


def test_a_path_may_too_and_so_may_the_second_request_of_a_connection(server: Server) -> None:
    address = "/api/documents/hr/Büro/Öl.md".encode()
    assert sent(server, b"GET " + address + REST).json()["object"] == "hr/Büro/Öl.md"
    first = b"PUT /api/documents/hr/b.md HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nB\xc3\xbcro \xc3\xb6"
    with socket.create_connection((server.base_url.host, server.base_url.port or 80), timeout=20) as connection:
        connection.sendall(first)
        assert connection.recv(65536).startswith(b"HTTP/1.1 202 ")
        connection.sendall(b"GET " + address + REST)
        assert b"HTTP/1.1 200 " in connection.makefile("rb").read()
    assert server.get("/api/documents/hr/b.md").json()["size"] == 8, "a body is left as it is"


@pytest.mark.parametrize("address", [b"/api/documents/hr/B\xfcro.md", b"/api/search?store=hr&q=B\xfcro"])
def test_bytes_that_are_no_utf8_are_refused_in_words(server: Server, address: bytes) -> None:
    answer = sent(server, b"GET " + address + REST)
    assert 400 <= answer.status_code < 500, answer.text
    assert "UTF-8" in answer.json()["message"]


@pytest.mark.parametrize(
    "raw",
    [
        b"no HTTP at all\r\n\r\n",
        b"GET /api/search?q=two words HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"G\xc3\x96T /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n",
    ],
)
def test_what_is_no_http_request_gets_the_error_shape(server: Server, raw: bytes) -> None:
    answer = sent(server, raw)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.content)
    body = json.loads(answer.content)
    assert (body["error"], body["status_code"]) == ("BAD_REQUEST", 400)
    assert body["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "first line" in body["message"]
