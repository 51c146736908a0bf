"""Who may do what: keys with scopes and stores, on every route and inside answers, of servers with and without keys."""

from __future__ import annotations

import asyncio
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from flamehaven.access import guarded, open_door
from shared.access import Caller, Scope, caller
from shared.buckets.directory import DirectoryBucket
from shared.errors import ServiceError
from shared.keys import REMEMBERED, Keys
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
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("production") / "server.log"


@pytest.fixture(scope="module")
def production(log: Path) -> Iterator[Server]:
    folder = log.parent
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
    assert {path for _, path in listed - guarded} == {"/", "/health", "/health/live", "/metrics", "/prometheus"}
    for path in OPEN:
        assert production.get(path).status_code == 200, path


def test_another_store_can_neither_be_named_nor_listed_nor_cited(production: Server) -> None:
    headers = bearer(make_key(production, "search", "upload", "manage", stores=["it"])["key"])
    assert "8888" in production.get("/api/search?q=code+of+the+router&store=it", headers=headers).text
    both = {"query": "What is the code of the safe?", "stores": ["it", "hr"]}
    for refused in (
        production.get("/api/search?q=code+of+the+safe&store=hr", headers=headers),
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
        production.post("/api/stores", json={"name": "hr"}, headers=headers),
        production.post("/api/stores/hr/reindex", headers=headers),
        production.post("/api/documents/hr/codes.md/retry", headers=headers),
        production.post("/api/reconcile?store=it&dry_run=true", headers=headers),
        production.get("/api/documents/hr%2Fcodes.md", headers=headers),
        production.get("/api/search?q=code&store=it&stores=hr", headers=headers),
        production.get("/api/search?q=code&stores=it&stores=hr", headers=headers),
        production.get("/api/search?q=code&store=%20hr%20", headers=headers),
        production.get("/api/search?q=code&store=hr&stream=true", headers=headers),
        production.post("/api/upload/single", data={"store": "hr"}, files={"file": ("a.md", b"A")}, headers=headers),
        production.post("/api/upload/multiple", data={"store": "hr"}, files={"files": ("a.md", b"A")}, headers=headers),
    ):
        assert (refused.status_code, refused.json()["error"]) == (403, "PERMISSION_DENIED"), refused.request.url
        assert "4711" not in refused.text
    everywhere = production.get("/api/search?q=code+of+the+router", headers=headers)
    assert (everywhere.json()["stores"], "8888" in everywhere.json()["answer"]) == (["it"], True)
    everywhere = production.get("/api/search?q=code+of+the+safe", headers=headers)
    assert (everywhere.json()["stores"], "4711" in everywhere.text) == (["it"], False)
    listed = production.get("/api/documents", headers=headers).json()["documents"]
    assert [document["object"] for document in listed] == ["it/codes.md"]
    assert list(production.get("/api/stores", headers=headers).json()["stores"]) == ["it"]
    assert "4711" in production.get("/api/search?q=code+of+the+safe&store=hr", headers=bearer(ADMIN_KEY)).text
    assert "4711" in production.get("/api/search?q=code+of+the+safe", headers=bearer(ADMIN_KEY)).text


def test_an_error_names_no_other_store(production: Server) -> None:
    headers = bearer(make_key(production, "search", "manage", stores=["it", "planned"])["key"])
    for refused in (
        production.get("/api/search?q=x&store=planned", headers=headers),
        production.delete("/api/stores/planned", headers=headers),
    ):
        assert (refused.status_code, refused.json()["error"]) == (404, "STORE_NOT_FOUND")
        assert refused.json()["message"] == "There is no store 'planned'. You may use: 'it'."
    headers = bearer(make_key(production, "search", stores=["planned"])["key"])
    refused = production.get("/api/search?q=x", headers=headers)
    assert (refused.status_code, refused.json()["error"]) == (404, "STORE_NOT_FOUND")
    assert "hr" not in refused.text


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


HR = "/api/documents/it/{}hr/{}"
LEADS_ELSEWHERE = [
    *[("GET", HR.format(dots, "codes.md")) for dots in ("../", "%2e%2e/", "..%2f")],
    ("PUT", HR.format("../", "codes.md")),
    ("PUT", HR.format("%2e%2e/", "codes.md.metadata.json")),
    ("DELETE", HR.format("..%2f", "codes.md")),
    ("POST", HR.format("../", "codes.md/retry")),
    ("POST", "/api/stores/it%2f..%2fhr/reindex"),
    ("DELETE", "/api/stores/it%2f..%2fhr?force=true"),
    ("GET", "//api/documents/hr/codes.md"),
    ("GET", "/docs/../api/documents/hr/codes.md"),
    ("GET", "http://evil.example/api/documents/hr/codes.md"),
]


def sent(server: Server, method: str, target: str, *lines: bytes) -> tuple[int, bytes]:
    """The status and the whole of the answer to a request line and header lines that no client would tidy up."""
    head = [f"{method} {target} HTTP/1.1".encode(), b"Host: evil.example", b"Connection: close", b"Content-Length: 0"]
    with socket.create_connection((server.base_url.host, server.base_url.port or 80), timeout=20) as line:
        line.sendall(b"\r\n".join([*head, *lines, b"", b""]))
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    return int(answer.split(b" ", 2)[1]), answer


def test_no_path_leads_into_another_store(production: Server) -> None:
    key = make_key(production, "search", "upload", "manage", stores=["it"])["key"]
    for method, target in LEADS_ELSEWHERE:
        status, answer = sent(production, method, target, f"Authorization: Bearer {key}".encode())
        assert status in (400, 403, 404), (method, target)
        assert b"4711" not in answer
    for prefix in ("hr/", "../", "it/../hr/", "/", "it/%00"):
        found = production.get(f"/api/documents?prefix={prefix}", headers=bearer(key)).json()
        assert [document["object"] for document in found["documents"]] == [], prefix
    found = production.get("/api/documents?page_token=a&page_size=1", headers=bearer(key)).json()
    assert ([document["object"] for document in found["documents"]], found["next_page_token"]) == (
        ["it/codes.md"],
        None,
    )
    documents = production.get("/api/documents", headers=bearer(ADMIN_KEY)).json()["documents"]
    assert [document["object"] for document in documents] == ["hr/codes.md", "it/codes.md"]


@pytest.mark.parametrize(
    "wanted", ['flamehaven_object = "hr/codes.md"', 'type = "md" OR folder = "hr"', 'folder = "hr"', 'type = "md"']
)
def test_no_filter_leads_into_another_store(production: Server, wanted: str) -> None:
    key = make_key(production, "search", stores=["it"])["key"]
    asked = {"q": "What is the code of the safe and of the router?", "store": "it", "metadata_filter": wanted}
    answer = production.get("/api/search", params=asked, headers=bearer(key))
    assert answer.status_code == 200
    assert "4711" not in answer.text
    assert {source["store"] for source in answer.json()["sources"]} <= {"it"}


@pytest.mark.parametrize(
    "lines",
    [
        [b"Authorization: Bearer KEY", b"Authorization: Bearer KEY"],
        [b"Authorization: Bearer wrong", b"Authorization: Bearer KEY"],
        [b"Authorization: Bearer wrong, Bearer KEY"],
        [b"X-API-Key: KEY", b"X-API-Key: wrong"],
        [b"Authorization: Bearer\tKEY"],
        [b"Authorization: KEY"],
        [b"Authorization: Bearer KEY\xff"],
        [b"Authorization: Bearer sk_live_\xd9\xa1\xff" + b"\xd9\xa1" * 47],
        [b"Authorization: Bearer " + b"a" * 20_000],
        [b"Authorization: Bearer a.b.c"],
        [b"Authorization: Bearer"],
        [b"Cookie: key=KEY; access_token=KEY"],
    ],
)
def test_a_key_in_a_wrong_form_opens_nothing(production: Server, lines: list[bytes]) -> None:
    lines = [line.replace(b"KEY", ADMIN_KEY.encode()) for line in lines]
    status, answer = sent(production, "GET", "/api/admin/keys", *lines)
    assert (status, b"INVALID_API_KEY" in answer) == (401, True)
    assert ADMIN_KEY.encode() not in answer


def test_a_key_in_an_address_opens_nothing_and_is_in_no_log(production: Server, log: Path) -> None:
    made = make_key(production, "admin")
    query = "&".join(f"{name}={made['key']}" for name in ("key", "api_key", "access_token", "token"))
    assert production.get(f"/api/stores?{query}").status_code == 401
    assert production.delete(f"/api/admin/keys/{made['key']}", headers=bearer(ADMIN_KEY)).status_code == 404
    assert production.get("/health/live", headers={"X-Request-ID": made["key"]}).status_code == 200
    written = log.read_text()
    assert f"/api/admin/keys/{made['prefix']} 404" in written
    assert made["key"] not in written
    assert ADMIN_KEY not in written


def test_other_methods_and_methods_in_headers_open_nothing(production: Server) -> None:
    assert production.head("/api/admin/keys").status_code == 401
    for method in ("OPTIONS", "TRACE", "PATCH", "PROPFIND"):
        assert production.request(method, "/api/admin/keys").status_code == 405
    headers = {"X-HTTP-Method-Override": "DELETE", "X-Original-URL": "/api/admin/keys", "X-Rewrite-URL": "/"}
    assert production.get("/api/stores", headers=headers).status_code == 401


def test_a_slash_too_many_leads_nowhere_else(production: Server) -> None:
    status, answer = sent(production, "GET", "/api/stores/")
    assert status == 404
    assert b"evil.example" not in answer


def test_the_letters_of_the_header_s_name_and_scheme_do_not_matter(production: Server) -> None:
    assert sent(production, "GET", "/api/stores", f"aUTHORIZATION: bEARER  {ADMIN_KEY} ".encode())[0] == 200


@pytest.mark.parametrize("key_id", ["..", "%00", "a" * 3000, "%2e%2e%2fdeployment", "A" * 12])
def test_what_is_no_key_s_id_revokes_nothing(production: Server, key_id: str) -> None:
    assert production.delete(f"/api/admin/keys/{key_id}", headers=bearer(ADMIN_KEY)).status_code == 404


async def test_a_key_ends_the_moment_it_expires_and_elsewhere_soon_after_it_is_revoked(tmp_path: Path) -> None:
    state = DirectoryBucket(tmp_path / "state")
    await state.make()
    here, elsewhere = Keys(state), Keys(state)
    key, record = await here.create("x", (Scope.SEARCH,), days=1)
    assert record.active
    assert not record.model_copy(update={"expires": datetime.now(UTC)}).active
    assert await elsewhere.caller(key) is not None
    revoked = await asyncio.gather(here.revoke(record.id), elsewhere.revoke(record.id))
    assert [each is not None and each.revoked is not None for each in revoked] == [True, True]
    assert await here.caller(key) is None
    assert await Keys(state).caller(key) is None
    assert REMEMBERED <= 10


async def test_an_admin_key_that_cannot_be_read_keeps_the_door_shut_and_other_keys_going(tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    file.write_text("here when the server starts, and then no more")
    settings = Settings(environment="development", data_dir=tmp_path, flamehaven_admin_key=SecretStr(str(file)))
    file.unlink()
    parts = await open_runtime(settings)
    try:
        door = await asyncio.to_thread(open_door, parts)
        local: dict[str, Any] = {"type": "http", "path": "/", "query_string": b"", "client": ("127.0.0.1", 1)}
        for content in (None, ""):
            if content is not None:
                file.write_text(content)
            for sent in ([], [(b"x-api-key", b"")], [(b"x-api-key", b"wrong")]):
                with pytest.raises(ServiceError) as refused:
                    await door.caller(Request({**local, "headers": [(b"host", b"localhost"), *sent]}))
                assert refused.value.code == "INVALID_API_KEY"
        key, _ = await parts.keys.create("x", (Scope.SEARCH,))
        file.unlink()
        assert (await door.caller(Request({**local, "headers": [(b"x-api-key", key.encode())]}))).may(Scope.SEARCH)
    finally:
        await parts.aclose()


async def test_what_is_streamed_after_the_handler_is_still_its_caller_s() -> None:
    seen = []

    class Stranger:
        async def caller(self, request: Request) -> Caller:
            return Caller("a-stranger", frozenset({Scope.SEARCH}))

    async def handler(request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            seen.append(caller.get().id)
            yield b"x"

        return StreamingResponse(body())

    app = Starlette(routes=[Route("/", guarded(handler, Scope.SEARCH))])
    app.state.door, app.state.limits = Stranger(), None
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://app.local") as client:
        assert (await client.get("/")).text == "x"
    assert seen == ["a-stranger"]


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
        {"name": "x", "scopes": ["admin"], "stores": ["it"]},
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
        ("127.0.0.1", {"origin": "http://127.0.0.1:8000"}, True),
        ("127.0.0.1", {"origin": "https://evil.example"}, False),
        ("127.0.0.1", {"origin": "http://127.0.0.1:3000"}, False),
        ("127.0.0.1", {"origin": "null"}, False),
        ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}, False),
        ("127.0.0.1", {"x-forwarded-host": "x"}, False),
        ("127.0.0.1", {"x-real-ip": "127.0.0.1"}, False),
        ("127.0.0.1", {"forwarded": "for=127.0.0.1"}, False),
        ("127.0.0.1", {"via": "1.1 proxy"}, False),
    ],
)
async def test_development_is_closed_to_other_machines_and_to_sites_in_a_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, headers: dict[str, str], enters: bool
) -> None:
    monkeypatch.setattr("flamehaven.access.is_own", lambda client, server: True)  # there is no connection here
    parts = await open_runtime(Settings(environment="development", data_dir=tmp_path))
    try:
        sent = {"host": "127.0.0.1:8000", **headers}
        raw = [(name.encode(), value.encode()) for name, value in sent.items()]
        ends = {"client": (address, 1), "server": ("127.0.0.1", 8000)}
        scope = {"type": "http", "path": "/", "query_string": b"", "headers": raw, **ends}
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
    assert run("revoke", key) == f"Key {key[8:20]} (Ann) is revoked.\n"
    (line,) = run("list").splitlines()
    assert line.split("\t")[:4] == [key[8:20], "Ann", "search, upload", "hr"]
    assert line.endswith("revoked")
