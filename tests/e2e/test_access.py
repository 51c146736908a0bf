"""Who may do what: keys with scopes and stores, on every route and inside answers, of servers with and without keys."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from flamehaven.access import open_door
from shared.access import Scope
from shared.errors import ServiceError
from shared.runtime import open_runtime
from shared.settings import Settings
from tests.servers import ROOT, Server, flamehaven, until

ADMIN_KEY = "the-admin-key-of-this-test"
ANYONE = {"search", "upload", "manage", "admin"}
ROUTES = {
    ("GET", "/api/search?q=x&store=hr"): {"search"},
    ("POST", "/api/search"): {"search"},
    ("POST", "/api/upload/single"): {"upload"},
    ("POST", "/api/upload/multiple"): {"upload"},
    ("GET", "/api/documents"): {"search", "upload", "manage"},
    ("GET", "/api/documents/hr/none.md"): {"search", "upload", "manage"},
    ("PUT", "/api/documents/hr/empty.md"): {"upload"},
    ("DELETE", "/api/documents/hr/none.md"): {"manage"},
    ("POST", "/api/documents/hr/none.md/retry"): {"manage"},
    ("GET", "/api/stores"): {"search", "upload", "manage"},
    ("POST", "/api/stores"): {"manage"},
    ("DELETE", "/api/stores/none"): {"manage"},
    ("POST", "/api/stores/none/reindex"): {"manage"},
    ("POST", "/api/reconcile?dry_run=true"): set(),
    ("GET", "/api/admin/keys"): set(),
    ("POST", "/api/admin/keys"): set(),
    ("DELETE", "/api/admin/keys/none"): set(),
}
"""Which scopes beside admin open each route; what else is in a request is wrong, and refused with another status."""
OPEN = ("/", "/health", "/health/live", "/docs", "/openapi.json")


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("production")
    for store, text in {"hr": "The safe's code is 4711.", "it": "The router's code is 8888."}.items():
        (folder / "documents" / store).mkdir(parents=True)
        (folder / "documents" / store / "codes.md").write_text(text)
    settings = {"ENVIRONMENT": "production", "GEMINI_BASE_URL": "emulator:", "FLAMEHAVEN_ADMIN_KEY": ADMIN_KEY}
    with flamehaven(folder, **settings) as server:
        until(lambda: indexed(server) == 2)
        yield server


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def indexed(server: Server) -> int:
    return len(server.get("/api/documents?status=indexed", headers=bearer(ADMIN_KEY)).json()["documents"])


def make_key(server: Server, *scopes: str, **asked: Any) -> dict[str, Any]:
    body = {"name": "test", "scopes": list(scopes), **asked}
    answer = server.post("/api/admin/keys", json=body, headers=bearer(ADMIN_KEY))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_every_route_is_open_to_the_scopes_that_it_takes_and_to_no_other(production: Server) -> None:
    keys = {scope: bearer(make_key(production, scope)["key"]) for scope in sorted(ANYONE)}
    for (method, path), scopes in ROUTES.items():
        refused = production.request(method, path)
        assert (refused.status_code, refused.json()["error"]) == (401, "INVALID_API_KEY"), path
        assert refused.headers["www-authenticate"] == "Bearer"
        for scope, headers in keys.items():
            status = production.request(method, path, headers=headers).status_code
            assert (status == 403) is (scope not in scopes | {"admin"}), (method, path, scope, status)
            assert status != 401
    described = production.get("/openapi.json").json()["paths"]
    listed = {(method.upper(), path) for path, methods in described.items() for method in methods}
    guarded = {(method, path) for method, path in listed if "security" in described[path][method.lower()]}
    assert len(guarded) == len(ROUTES)
    assert {path for _, path in listed - guarded} == {"/", "/health", "/health/live"}
    for path in OPEN:
        assert production.get(path).status_code == 200, path


def test_another_store_can_neither_be_named_nor_listed_nor_cited(production: Server) -> None:
    headers = bearer(make_key(production, "search", "upload", "manage", stores=["it"])["key"])
    assert "8888" in production.get("/api/search?q=code+of+the+router&store=it", headers=headers).text
    both = {"query": "What is the code of the safe?", "stores": ["it", "hr"]}
    for refused in (
        production.get("/api/search?q=code+of+the+safe&store=hr", headers=headers),
        production.get("/api/search?q=code+of+the+safe", headers=headers),
        production.post("/api/search", json=both, headers=headers),
        production.get("/api/documents?store=hr", headers=headers),
        production.get("/api/documents/hr/codes.md", headers=headers),
        production.put("/api/documents/hr/codes.md", content=b"Changed.", headers=headers),
        production.put("/api/documents/hr/codes.md.metadata.json", content=b'{"a": "b"}', headers=headers),
        production.put("/api/documents/none.md", content=b"Into the store default.", headers=headers),
        production.delete("/api/documents/hr/codes.md", headers=headers),
        production.delete("/api/stores/hr?force=true", headers=headers),
        production.delete("/api/stores/there-is-none", headers=headers),
        production.post("/api/stores", json={"name": "new"}, headers=headers),
        production.post("/api/upload/single", data={"store": "hr"}, files={"file": ("a.md", b"A")}, headers=headers),
        production.post("/api/upload/multiple", data={"store": "hr"}, files={"files": ("a.md", b"A")}, headers=headers),
    ):
        assert (refused.status_code, refused.json()["error"]) == (403, "PERMISSION_DENIED"), refused.request.url
        assert "4711" not in refused.text
    listed = production.get("/api/documents", headers=headers).json()["documents"]
    assert [document["object"] for document in listed] == ["it/codes.md"]
    assert list(production.get("/api/stores", headers=headers).json()["stores"]) == ["it"]
    assert "4711" in production.get("/api/search?q=code+of+the+safe&store=hr", headers=bearer(ADMIN_KEY)).text


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer sk_live_000000000000" + "0" * 36},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {ADMIN_KEY}"},
        {"Authorization": ""},
        {"X-API-Key": "wrong"},
        {"Authorization": "Bearer wrong", "X-API-Key": ADMIN_KEY},
        {"X-Forwarded-For": "127.0.0.1"},
    ],
)
def test_what_is_no_key_opens_nothing(production: Server, headers: dict[str, str]) -> None:
    assert production.get("/api/stores", headers=headers).status_code == 401


def test_the_original_s_header_is_taken_too(production: Server) -> None:
    assert production.get("/api/stores", headers={"X-API-Key": ADMIN_KEY}).status_code == 200


def test_the_original_s_names_of_scopes_are_taken_too(production: Server) -> None:
    body = {"name": "old", "permissions": ["search", "stores"]}
    made = production.post("/api/admin/keys", json=body, headers=bearer(ADMIN_KEY)).json()
    assert made["scopes"] == ["search", "manage"]


def test_a_key_with_one_letter_changed_is_none(production: Server) -> None:
    key = make_key(production, "search")["key"]
    assert production.get("/api/stores", headers=bearer(key)).status_code == 200
    for position in (7, 8, 20, len(key) - 1):
        changed = key[:position] + ("0" if key[position] != "0" else "1") + key[position + 1 :]
        assert production.get("/api/stores", headers=bearer(changed)).status_code == 401


def test_a_revoked_key_ends_and_a_key_is_shown_once(production: Server) -> None:
    made = make_key(production, "search")
    headers = bearer(made["key"])
    assert production.get("/api/stores", headers=headers).status_code == 200
    listed = production.get("/api/admin/keys", headers=bearer(ADMIN_KEY))
    assert made["prefix"] in listed.text
    assert made["key"] not in listed.text
    assert production.delete(f"/api/admin/keys/{made['id']}", headers=bearer(ADMIN_KEY)).json()["active"] is False
    assert production.get("/api/stores", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "stores": []},
        {"name": "x", "stores": ["a/b"]},
        {"name": "x", "expires_in_days": 0},
        {"name": "x", "rights": ["admin"]},
    ],
)
def test_a_key_that_cannot_be_is_refused(production: Server, body: dict[str, Any]) -> None:
    answer = production.post("/api/admin/keys", json=body, headers=bearer(ADMIN_KEY))
    assert (answer.status_code, answer.json()["error"]) == (422, "VALIDATION_ERROR")


def test_production_makes_an_admin_key_that_only_its_owner_can_read_and_no_log_holds(tmp_path: Path) -> None:
    with flamehaven(tmp_path, ENVIRONMENT="production", GEMINI_BASE_URL="emulator:", WORKERS="2") as server:
        path = tmp_path / "admin.key"
        key = path.read_text().strip()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert server.get("/api/stores").status_code == 401
        assert server.get("/api/stores", headers=bearer(key)).status_code == 200
        made = server.post("/api/admin/keys", json={"name": "x"}, headers=bearer(key)).json()["key"]
    log = (tmp_path / "server.log").read_text()
    assert str(path) in log
    assert log.count("There was no admin key") == 1
    assert key not in log
    assert made not in log
    assert made not in "".join(file.read_text() for file in (tmp_path / "state" / "keys").iterdir())
    with flamehaven(tmp_path, ENVIRONMENT="production", GEMINI_BASE_URL="emulator:") as server:
        assert server.get("/api/stores", headers=bearer(key)).status_code == 200
        assert server.get("/api/stores", headers=bearer(made)).status_code == 200


def test_development_is_open_on_this_machine_until_there_is_a_key(tmp_path: Path) -> None:
    with flamehaven(tmp_path) as server:
        assert server.get("/api/stores").status_code == 200
        key = server.post("/api/admin/keys", json={"name": "first", "scopes": ["admin"]}).json()["key"]
        assert server.get("/api/stores").status_code == 401
        assert server.get("/api/stores", headers=bearer(key)).status_code == 200
    assert not (tmp_path / "admin.key").exists()


@pytest.mark.parametrize(
    ("address", "headers", "enters"),
    [
        ("127.0.0.1", {}, True),
        ("127.0.0.1", {"host": "localhost:8000"}, True),
        ("127.0.0.1", {"sec-fetch-site": "same-origin"}, True),
        ("::1", {"host": "[::1]:8000"}, True),
        ("192.0.2.7", {}, False),
        ("", {}, False),
        ("127.0.0.1", {"host": "localhost.evil.example"}, False),
        ("127.0.0.1", {"host": "rebound.example:8000"}, False),
        ("127.0.0.1", {"host": ""}, False),
        ("127.0.0.1", {"host": "["}, False),
        ("127.0.0.1", {"sec-fetch-site": "cross-site"}, False),
        ("127.0.0.1", {"sec-fetch-site": "same-site"}, False),
    ],
)
async def test_development_is_closed_to_other_machines_and_to_sites_in_a_browser(
    tmp_path: Path, address: str, headers: dict[str, str], enters: bool
) -> None:
    parts = await open_runtime(Settings(environment="development", data_dir=tmp_path))
    try:
        sent = {"x-forwarded-for": "127.0.0.1", "host": "127.0.0.1:8000", **headers}
        raw = [(name.encode(), value.encode()) for name, value in sent.items()]
        scope = {"type": "http", "path": "/", "query_string": b"", "headers": raw, "client": (address, 1)}
        asking = (await asyncio.to_thread(open_door, parts)).caller(Request(scope))
        if enters:
            assert (await asking).may(Scope.ADMIN)
        else:
            with pytest.raises(ServiceError, match="needs a key"):
                await asking
    finally:
        await parts.aclose()


def test_the_command_makes_lists_and_revokes_keys(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "ENVIRONMENT": "production", "GEMINI_BASE_URL": "emulator:"}
    environment |= {"DATA_DIR": str(tmp_path)}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "flamehaven.cli", "keys", *arguments]
        ran = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    key = run("create", "Ann", "--scope", "search", "--scope", "upload", "--store", "hr", "--days", "30").strip()
    assert key.startswith("sk_live_")
    (line,) = run("list").splitlines()
    assert line.split("\t")[:4] == [key[8:20], "Ann", "search, upload", "hr"]
    assert line.endswith("active")
    assert run("revoke", key[8:20]) == f"Key {key[8:20]} (Ann) is revoked.\n"
    assert run().strip().endswith("revoked")
