"""What browsers get: headers on every answer, and a page at /docs that needs no other host."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.servers import Server, flamehaven, free_port, running

UNWANTED = {"server", "x-powered-by", "access-control-allow-origin"}
ANSWERS = [
    ("GET", "/", 200),
    ("GET", "/health", 200),
    ("GET", "/docs", 200),
    ("GET", "/docs/swagger-ui-bundle.js", 200),
    ("GET", "/openapi.json", 200),
    ("GET", "/api/documents", 200),
    ("GET", "/api/search", 422),
    ("GET", "/nowhere", 404),
    ("PATCH", "/api/stores", 405),
    ("GET", "/api/search?q=x&store=nowhere", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
def test_every_answer_says_what_browsers_may_do_with_it(server: Server, method: str, path: str, status: int) -> None:
    answer = server.request(method, path)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "max-age=" in answer.headers["strict-transport-security"]
    assert ("max-age" if "swagger" in path else "no-store") in answer.headers["cache-control"]
    assert not answer.headers.keys() & UNWANTED
    is_page = answer.headers["content-type"].startswith("text/html")
    assert ("script-src 'self'" in answer.headers["content-security-policy"]) is is_page


BROKEN = """
import sys
import uvicorn
from flamehaven.app import create_app

def fail():
    raise ValueError("a detail of ours")

app = create_app(watch=False)
app.openapi = fail
uvicorn.run(app, port=int(sys.argv[1]), server_header=False)
"""


def test_an_exception_outside_every_handler_tells_nothing_and_has_the_headers_too(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{(port := free_port())}"
    environment = {"ENVIRONMENT": "development", "DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-c", BROKEN, str(port)]
    with running(command, environment=environment, url=f"{address}/health/live", log=tmp_path / "log"):
        answer = httpx2.get(f"{address}/openapi.json")
    assert (answer.status_code, answer.json()["error"]) == (500, "INTERNAL_ERROR")
    assert "detail" not in answer.text
    assert "a detail of ours" in (tmp_path / "log").read_text()
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert not answer.headers.keys() & UNWANTED


def test_a_page_of_another_origin_may_not_read_answers(server: Server) -> None:
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    answer = server.request("OPTIONS", "/api/search", headers=asked)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_page_of_an_origin_that_is_set_may(tmp_path: Path) -> None:
    intranet = "https://intranet.example.com"
    with flamehaven(tmp_path, CORS_ORIGINS=f"{intranet}, https://other.example.com") as server:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        allowed = server.request("OPTIONS", "/api/search", headers={"Origin": intranet, **asked})
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, intranet)
        assert "access-control-allow-credentials" not in allowed.headers
        keyless = server.get("/api/search?q=x&store=nowhere", headers={"Origin": intranet})
        assert (keyless.status_code, keyless.headers["access-control-allow-origin"]) == (401, intranet)
        assert keyless.headers["x-frame-options"] == "DENY"
        key = server.post("/api/admin/keys", json={"name": "page", "scopes": ["search"]}).json()["key"]
        answer = server.get(
            "/api/search?q=x&store=nowhere", headers={"Origin": intranet, "Authorization": f"Bearer {key}"}
        )
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (404, intranet)
        assert answer.headers["x-frame-options"] == "DENY"
        for other in (
            "https://elsewhere.example",
            "http://intranet.example.com",
            f"{intranet}.elsewhere.example",
            "null",
        ):
            refused = server.get("/api/stores", headers={"Origin": other})
            assert "access-control-allow-origin" not in refused.headers
            assert server.request("OPTIONS", "/api/search", headers={"Origin": other, **asked}).status_code == 400


def test_the_page_loads_only_what_is_served_here(server: Server) -> None:
    page = server.get("/docs")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) == 4
    for address in addresses:
        assert server.get(f"/{address}").status_code == 200, address
    assert "<script>" not in page.text


@pytest.mark.slow
def test_a_browser_shows_every_route(server: Server, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("NOT CHECKED: /docs in a browser; no chromium is installed")
    quiet = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
    profile = (f"--user-data-dir={tmp_path}", "--no-sandbox", "--disable-component-update")
    look = ("--headless", "--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom")
    done = subprocess.run(
        (browser, *look, *quiet, *profile, f"{server.base_url}/docs"), capture_output=True, text=True, timeout=90
    )
    for path in server.get("/openapi.json").json()["paths"]:
        assert f'data-path="{path}"' in done.stdout, path
    assert "Content Security Policy" not in done.stderr
