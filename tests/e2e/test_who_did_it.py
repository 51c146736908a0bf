"""The log says who did what: each request's line and each change has its caller and address, and no secret."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shared.access import Scope
from tests.provider import AUDIENCE, provider
from tests.servers import FLAMEHAVEN, INHERITED, ROOT, Server, flamehaven

ADMIN_KEY = "the-admin-key-of-this-test"
TEXT = "The safe's code is zebra-quartz."
PROXIED = {"X-Forwarded-For": "198.51.100.9, 203.0.113.7"}
"""What the proxy on this machine, which is trusted, says of a client that says something itself."""


class Row(NamedTuple):
    """A request that changes something, and the lines that the log has of it."""

    method: str
    route: str
    address: str
    sent: dict[str, Any]
    said: list[tuple[str, str]]


def form(field: str, *names: str) -> dict[str, Any]:
    return {"data": {"store": "hr"}, "files": [(field, (name, TEXT.encode())) for name in names]}


CHANGES = [
    Row("POST", "/api/stores", "/api/stores", {"json": {"name": "hr"}}, [("store created", "hr")]),
    Row("POST", "/api/stores", "/api/stores", {"json": {"name": "hr"}}, []),  # it is there
    Row(
        "PUT",
        "/api/documents/{object}",
        "/api/documents/hr/a.md",
        {"content": TEXT.encode()},
        [("document uploaded", "hr/a.md")],
    ),
    Row(
        "PUT",
        "/api/documents/{object}",
        "/api/documents/hr/a.md.metadata.json",
        {"content": b'{"team": "red"}'},
        [("document uploaded", "hr/a.md.metadata.json")],
    ),
    Row(
        "POST",
        "/api/upload/single",
        "/api/upload/single",
        form("file", "b.md"),
        [("document uploaded", "hr/b.md")],
    ),
    Row(
        "POST",
        "/api/upload/multiple",
        "/api/upload/multiple",
        form("files", "c.md", "refused.exe", "d.md"),
        [("document uploaded", "hr/c.md"), ("document uploaded", "hr/d.md")],
    ),
    Row(
        "POST",
        "/api/documents/{object}/retry",
        "/api/documents/hr/a.md/retry",
        {},
        [("document retried", "hr/a.md")],
    ),
    Row("POST", "/api/stores/{store}/reindex", "/api/stores/hr/reindex", {}, [("store reindexed", "hr")]),
    Row("DELETE", "/api/documents/{object}", "/api/documents/hr/b.md", {}, [("document deleted", "hr/b.md")]),
    Row("DELETE", "/api/documents/{object}", "/api/documents/hr/none.md", {}, []),
    Row("DELETE", "/api/stores/{store}", "/api/stores/hr", {}, []),  # it holds documents
    Row("DELETE", "/api/stores/{store}", "/api/stores/hr?force=true", {}, [("store deleted", "hr")]),
    Row("POST", "/api/reconcile", "/api/reconcile?dry_run=true&yes=true", {}, []),
    Row("POST", "/api/reconcile", "/api/reconcile", {}, []),
    Row(
        "POST",
        "/api/reconcile",
        "/api/reconcile?yes=true",
        {},
        [("sweep with all deletions", "every store")],
    ),
    Row(
        "POST",
        "/api/reconcile",
        "/api/reconcile?yes=true&store=it",
        {},
        [("sweep with all deletions", "it")],
    ),
    Row("POST", "/api/admin/keys", "/api/admin/keys", {"json": {"name": "Bob"}}, [("key created", "ID (Bob)")]),
    Row("DELETE", "/api/admin/keys/{id}", "/api/admin/keys/ID", {}, [("key revoked", "ID (Bob)")]),
    Row("DELETE", "/api/admin/keys/{id}", "/api/admin/keys/none", {}, []),
]
ONLY_ASKS = {("POST", "/api/search")}


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server in production, and its log."""
    folder = tmp_path_factory.mktemp("who")
    settings = {"ENVIRONMENT": "production", "GEMINI_BASE_URL": "emulator:", "FLAMEHAVEN_METRICS_ENABLED": "1"}
    with flamehaven(folder, **settings, FLAMEHAVEN_ADMIN_KEY=ADMIN_KEY) as server:
        yield server, folder / "server.log"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def made(server: Server, **asked: Any) -> dict[str, Any]:
    """A key that was just made."""
    answer = server.post("/api/admin/keys", json=asked, headers=bearer(ADMIN_KEY))
    answer.raise_for_status()
    return dict(answer.json())


def lines_of(log: Path, request_id: str) -> list[dict[str, Any]]:
    """The lines of one request."""
    return [line for line in map(json.loads, log.read_text().splitlines()) if line["request_id"] == request_id]


def sender(line: dict[str, Any]) -> tuple[str | None, str | None]:
    return line["caller"], line["address"]


@pytest.mark.parametrize("with_key", [False, True], ids=["the admin key", "an API key through a proxy"])
def test_each_change_has_a_line_that_says_who_and_from_where(production: tuple[Server, Path], with_key: bool) -> None:
    server, log = production
    if with_key:
        key = made(server, name="Ann's laptop", scopes=["admin"])
        headers, expected = bearer(key["key"]) | PROXIED, (f"key {key['id']} (Ann's laptop)", "203.0.113.7")
    else:
        headers, expected = bearer(ADMIN_KEY), ("admin key", "127.0.0.1")
    key_id = ""
    for row in CHANGES:
        answer = server.request(row.method, row.address.replace("ID", key_id), headers=headers, **row.sent)
        key_id = answer.json().get("id", key_id)
        lines = lines_of(log, answer.headers["x-request-id"])
        (access,) = [line for line in lines if "path" in line]
        assert sender(access) == expected, row
        changes = [line for line in lines if "change" in line]
        said = [(change, target.replace("ID", key_id)) for change, target in row.said]
        assert [(line["change"], line["target"]) for line in changes] == said, row
        assert {sender(line) for line in changes} <= {expected}
        assert bool(said) <= answer.is_success, row
    for secret in (TEXT, "zebra-quartz", headers["Authorization"].partition(" ")[2]):
        assert secret not in log.read_text()


def test_every_route_that_changes_something_is_in_the_table(production: tuple[Server, Path]) -> None:
    paths = production[0].get("/openapi.json").json()["paths"]
    changing = {(method.upper(), path) for path, methods in paths.items() for method in methods if method != "get"}
    assert {(row.method, row.route) for row in CHANGES if row.said} == changing - ONLY_ASKS


def test_the_line_of_a_refused_request_names_its_caller(production: tuple[Server, Path]) -> None:
    """By it the runbook finds the owner of a client that does not heed its limit."""
    server, log = production
    key = made(server, name="loop", scopes=["search"], rate_limit_per_minute=1)
    answers = [server.get("/api/stores", headers=bearer(key["key"]) | PROXIED) for _ in range(3)]
    answers.append(server.delete("/api/stores/hr", headers=bearer(key["key"]) | PROXIED))
    assert {answer.status_code for answer in answers[1:]} == {429}
    last = made(server, name="last", scopes=["search"])
    answers.append(server.delete("/api/stores/hr", headers=bearer(last["key"])))
    assert answers[-1].status_code == 403
    for answer in answers:
        (line,) = lines_of(log, answer.headers["x-request-id"])
        named = ("last", last["id"], "127.0.0.1") if answer is answers[-1] else ("loop", key["id"], "203.0.113.7")
        assert sender(line) == (f"key {named[1]} ({named[0]})", named[2])


def test_the_runbook_finds_the_owner_of_a_client_in_a_loop(production: tuple[Server, Path]) -> None:
    server, log = production
    key = made(server, name="nightly loader", scopes=["search"], rate_limit_per_minute=1)
    for _ in range(20):
        server.get("/api/stores", headers=bearer(key["key"]) | PROXIED)
    server.delete("/api/stores/hr", headers=bearer(ADMIN_KEY))
    guide = (ROOT / "docs/operations.md").read_text()
    (command,) = re.findall(r"^### FlamehavenRateLimited\n[^#]*?^```sh\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    logs = "docker compose logs --no-log-prefix flamehaven"
    assert logs in command
    ran = subprocess.run(
        ("bash", "-c", command.replace(logs, f"cat {log}")), capture_output=True, text=True, timeout=60
    )
    first = ran.stdout.splitlines()[0]
    assert first.split(maxsplit=1) == [
        "19",
        f'"caller": "key {key["id"]} (nightly loader)", "address": "203.0.113.7"',
    ]


@pytest.mark.parametrize("path", ["/api/stores", "/metrics", "/"])
def test_nobody_is_named_who_is_not_known(production: tuple[Server, Path], path: str) -> None:
    server, log = production
    answer = server.get(path, headers=bearer("sk_live_" + "0" * 48) | PROXIED)
    (line,) = lines_of(log, answer.headers["x-request-id"])
    assert sender(line) == (None, "203.0.113.7")


def test_an_address_from_a_proxy_that_is_not_trusted_is_not_believed(tmp_path: Path) -> None:
    with flamehaven(tmp_path, TRUSTED_PROXIES="192.0.2.1") as server:
        server.get("/api/stores", headers={"X-Forwarded-For": "203.0.113.7"})
    log = (tmp_path / "server.log").read_text()
    assert re.search(r"GET /api/stores 401 .*127\.0\.0\.1\)", log), "a proxy's header closes the open door too"
    assert "203.0.113.7" not in log


def test_a_token_is_named_by_its_subject(tmp_path: Path) -> None:
    with provider() as oidc:
        token = oidc.token(roles=["manage"], stores=["hr"], sub="ann\n\ud800@example.com")
        with flamehaven(tmp_path, OAUTH_ISSUER=oidc.issuer, OAUTH_AUDIENCE=AUDIENCE) as server:
            server.post("/api/stores", json={"name": "hr"}, headers=bearer(token)).raise_for_status()
    log = (tmp_path / "server.log").read_text()
    who = r"(token of ann\x0a\ud800@example.com, 127.0.0.1)"
    assert f"store created: 'hr' {who}" in log
    assert f"POST /api/stores 201 {who}" in log
    assert token not in log


def test_a_key_in_the_name_of_a_target_is_not_logged(production: tuple[Server, Path]) -> None:
    server, log = production
    secret = "sk_live_0123456789ab" + "c" * 36
    made(server, name=secret, scopes=[Scope.SEARCH])
    assert "sk_live_0123456789ab)" in log.read_text()
    assert secret not in log.read_text()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param(("stores", "create", "hr"), "store created: 'hr'", marks=pytest.mark.slow),
        (("keys", "create", "Ann"), r"key created: '\w{12} \(Ann\)'"),
        pytest.param(("reconcile", "--yes"), "sweep with all deletions: 'every store'", marks=pytest.mark.slow),
    ],
    ids=["a store", "a key", "a sweep"],
)
def test_a_command_on_this_machine_says_so(tmp_path: Path, words: tuple[str, ...], line: str) -> None:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment = {**inherited, "ENVIRONMENT": "development", "DATA_DIR": str(tmp_path), "LOG_LEVEL": "info"}
    (tmp_path / "documents").mkdir()
    ran = subprocess.run((*FLAMEHAVEN, *words), env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert re.search(rf"{line} \(this machine, 127\.0\.0\.1\)$", ran.stderr, re.MULTILINE), ran.stderr
