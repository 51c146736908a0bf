"""Limits over HTTP: per key, else per address, and for Gemini tokens; nobody gets around them by a header."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from flamehaven.addresses import address_of
from tests.servers import Server, flamehaven, until

ADMIN = {"Authorization": "Bearer sk_admin_of_the_limits_test"}
LIMITS = {"SEARCH_RATE_LIMIT": "3/minute", "UPLOAD_RATE_LIMIT": "2/minute", "UPLOAD_MULTI_RATE_LIMIT": "1/minute"}


def ask(client: httpx2.Client, question: str = "When is the party?", **headers: str) -> httpx2.Response:
    return client.get("/api/search", params={"q": question}, headers=headers)


def fill(data: Path) -> None:
    path = data / "documents" / "party.md"
    path.parent.mkdir(parents=True)
    path.write_text("The summer party is on 18 July. The winter party is on 12 December.")


def indexed(client: httpx2.Client) -> bool:
    found = client.get("/api/documents", headers=ADMIN).json()["documents"]
    return bool(found) and all(document["status"] == "indexed" for document in found)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server in production with small limits, each test's own."""
    fill(tmp_path)
    settings = {"ENVIRONMENT": "production", "GEMINI_BASE_URL": "emulator:"}
    key = ADMIN["Authorization"].removeprefix("Bearer ")
    with flamehaven(tmp_path, FLAMEHAVEN_ADMIN_KEY=key, **settings, **LIMITS) as client:
        until(lambda: indexed(client))
        yield client


def make_key(server: httpx2.Client, **asked: Any) -> dict[str, str]:
    made = server.post("/api/admin/keys", json={"name": "somebody", **asked}, headers=ADMIN)
    assert made.status_code == 201, made.text
    return {"Authorization": f"Bearer {made.json()['key']}"}


def test_each_key_has_its_own_limit_and_is_told_how_much_is_left(server: Server) -> None:
    mine, yours = make_key(server), make_key(server)
    answers = [ask(server, **mine) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    left = [(answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]) for answer in answers]
    assert left == [("3", "2"), ("3", "1"), ("3", "0"), ("3", "0")]
    refused = answers[-1]
    assert refused.json()["error"] == "RATE_LIMIT_EXCEEDED"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert 0 <= int(refused.headers["RateLimit-Reset"]) <= 60
    assert ask(server, **yours).status_code == 200
    assert server.get("/api/documents", headers=mine).status_code == 200, "other requests count by themselves"
    assert {server.get("/health", headers=mine).status_code for _ in range(20)} == {200}


def test_uploads_of_one_and_of_several_documents_have_limits_of_their_own(server: Server) -> None:
    key = make_key(server, scopes=["upload"])
    single = [
        server.post("/api/upload/single", files={"file": ("a.md", b"Text.")}, headers=key).status_code,
        server.put("/api/documents/b.md", content=b"Text.", headers=key).status_code,
        server.put("/api/documents/c.md", content=b"Text.", headers=key).status_code,
    ]
    several = [
        server.post("/api/upload/multiple", files={"files": ("d.md", b"Text.")}, headers=key).status_code for _ in "12"
    ]
    assert (single, several) == ([202, 202, 429], [202, 429])
    names = {document["object"] for document in server.get("/api/documents", headers=ADMIN).json()["documents"]}
    assert names == {"party.md", "default/a.md", "b.md", "default/d.md"}, "what was refused was not kept"


def test_a_key_may_have_its_own_rate(server: Server) -> None:
    key = make_key(server, rate_limit_per_minute=5)
    assert [ask(server, **key).status_code for _ in range(6)] == [200] * 5 + [429]


def test_wrong_keys_count_for_the_address_they_come_from(server: Server) -> None:
    tries = [ask(server, Authorization=f"Bearer sk_live_{number:048x}") for number in range(4)]
    assert [answer.status_code for answer in tries] == [401, 401, 401, 429]
    elsewhere = {"X-Forwarded-For": "198.51.100.7"}
    assert ask(server, Authorization="Bearer wrong", **elsewhere).status_code == 401
    assert ask(server, **make_key(server)).status_code == 200, "who has a key is not kept out by who has none"


def test_a_proxy_is_believed_only_where_it_is_trusted(tmp_path: Path) -> None:
    clients = [{"X-Forwarded-For": f"198.51.100.{number}"} for number in range(4)]
    with flamehaven(tmp_path / "trusting", ENVIRONMENT="development", **LIMITS) as server:
        assert [ask(server, **client).status_code for client in clients] == [401] * 4, "open to this machine only"
        spoofed = [ask(server, **{"X-Forwarded-For": f"10.1.1.{number}, 198.51.100.9"}) for number in range(4)]
        assert [answer.status_code for answer in spoofed] == [401, 401, 401, 429], "the proxy's own word counts"
    with flamehaven(tmp_path / "wary", TRUSTED_PROXIES="192.0.2.0/24", **LIMITS) as server:
        assert [ask(server, **client).status_code for client in clients] == [401, 401, 401, 429]


def test_an_ipv6_network_counts_as_one() -> None:
    assert address_of("2001:db8:1:2::1") == address_of("2001:db8:1:2:ffff::9") != address_of("2001:db8:1:3::1")
    assert address_of("192.0.2.1") != address_of("192.0.2.2")
    assert address_of("no address") == address_of("")


def test_gemini_tokens_have_a_daily_budget(server: Server) -> None:
    key = make_key(server, daily_tokens=1, rate_limit_per_minute=100)
    first = until(lambda: (found := ask(server, **key)).json()["grounded"] and found)
    assert first.json()["usage"]["total_tokens"] > 1
    refused = ask(server, "When is the winter party?", **key)
    assert (refused.status_code, refused.json()["error"]) == (429, "BUDGET_EXCEEDED")
    assert 80_000 < int(refused.headers["Retry-After"]) <= 86_400
    streamed = ask(server, "When is the winter party?", Accept="text/event-stream", **key)
    assert (streamed.status_code, streamed.json()["error"]) == (429, "BUDGET_EXCEEDED")
    assert ask(server, **key).json()["cached"], "what costs nothing is still given"
    assert ask(server, "When is the winter party?", **make_key(server)).status_code == 200


def test_a_streamed_answer_is_paid_too(server: Server) -> None:
    key = make_key(server, daily_tokens=1, rate_limit_per_minute=100)
    assert ask(server, Accept="text/event-stream", **key).status_code == 200
    assert ask(server, "When is the winter party?", **key).json()["error"] == "BUDGET_EXCEEDED"


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(server: Server) -> None:
    host, port = server.base_url.host, server.base_url.port
    head = [
        "POST /api/search HTTP/1.1",
        f"Host: {host}",
        f"Authorization: {ADMIN['Authorization']}",
        "Content-Type: application/json",
        "Content-Length: 100000000",
        "",
        "",
    ]
    with socket.create_connection((host, port), timeout=20) as connection:
        connection.sendall("\r\n".join(head).encode())
        answer = connection.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 422 ")
    assert "The body is larger than" in answer


def test_the_command_line_waits_for_its_turn(tmp_path: Path) -> None:
    """Five documents where two a second are taken: all arrive."""
    source = tmp_path / "handbook"
    source.mkdir()
    for number in range(5):
        (source / f"{number}.md").write_text(f"Room {number} is locked.")
    with flamehaven(tmp_path / "data", UPLOAD_RATE_LIMIT="2/second") as server:
        command = [
            sys.executable,
            "-m",
            "flamehaven.cli",
            "ingest",
            str(source),
            "--url",
            str(server.base_url),
            "--json",
        ]
        ended = subprocess.run(command, capture_output=True, timeout=60)
        assert json.loads(ended.stdout)["counts"] == {"indexed": 5}, ended.stderr
