"""What runs the server on a virtual machine: the systemd unit and nginx in front, each checked by the real program."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from tests.nginx import CONFIGURATION, NAMED, needs, nginx
from tests.schemas import read
from tests.servers import ROOT, Server, flamehaven

UNIT = ROOT / "infra/systemd/flamehaven.service"


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Server]:
    settings = {
        "ENVIRONMENT": "production",
        "GEMINI_BASE_URL": "emulator:",
        "FLAMEHAVEN_ADMIN_KEY": "the-key-of-the-admin",
    }
    with flamehaven(data, **settings) as client:
        client.headers["Authorization"] = "Bearer the-key-of-the-admin"
        yield client


def verified(folder: Path, text: str) -> str:
    """What systemd says of a unit whose program is there; it may find fault and yet end with 0."""
    program = folder / "flamehaven-api"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = folder / "flamehaven.service"
    unit.write_text(text.replace("/opt/flamehaven/.venv/bin/flamehaven-api", str(program)))
    ran = subprocess.run((needs("systemd-analyze"), "verify", unit), capture_output=True, text=True, timeout=60)
    return "\n".join(line for line in ran.stderr.splitlines() if unit.name in line)


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    assert verified(tmp_path, UNIT.read_text()) == ""


@pytest.mark.parametrize("mistake", ["ProtectSytem=strict", "Restart=sometimes", "SystemCallFilter=@no-such-set"])
def test_systemd_notices_a_mistake(tmp_path: Path, mistake: str) -> None:
    assert verified(tmp_path, UNIT.read_text().replace("UMask=0077", mistake)) != ""


def test_the_unit_is_not_exposed(tmp_path: Path) -> None:
    command = (needs("systemd-analyze"), "security", "--offline=true", "--threshold=12", "--no-pager", str(UNIT))
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout[-500:]


def test_nginx_passes_on_what_it_should_and_nothing_else(server: Server, tmp_path: Path) -> None:
    with nginx(tmp_path, server) as (client, plain):
        moved = httpx2.get(f"http://127.0.0.1:{plain}/api/stores?x=1", headers={"Host": "search.example.com"})
        assert (moved.status_code, moved.headers["location"]) == (301, "https://search.example.com/api/stores?x=1")
        challenge = tmp_path / ".well-known/acme-challenge"
        challenge.mkdir(parents=True)
        (challenge / "token").write_text("proof")
        proof = httpx2.get(
            f"http://127.0.0.1:{plain}/.well-known/acme-challenge/token", headers={"Host": "search.example.com"}
        )
        assert proof.text == "proof", "or else the certificate is not renewed"
        form = {"files": {"file": ("a.md", b"The boiler is serviced every April.")}, "data": {"store": "house"}}
        kept = client.post("/api/upload/single", headers={"Prefer": "wait=20"}, extensions=NAMED, **form)
        assert kept.json()["status"] == "indexed", kept.text
        question = {"q": "When is the boiler serviced?", "store": "house"}
        answer = client.get("/api/search", params=question, headers={"X-Request-ID": "mine"}, extensions=NAMED)
        assert "April" in answer.json()["answer"]
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"]), "nginx's own, which its log can have too"
        assert "server" not in answer.headers or "/" not in answer.headers["server"]
        events = client.get("/api/search", params={**question, "stream": "true"}, extensions=NAMED)
        assert "event: answer" in events.text
        put = client.put("/api/documents/house/b.md", content=b"The roof is new.", extensions=NAMED)
        assert put.status_code == 202


def test_nginx_refuses_uploads_that_are_none(server: Server, tmp_path: Path) -> None:
    with nginx(tmp_path, server) as (client, _), ExitStack() as open_lines:

        def upload(content_length: int) -> bytes:
            """The first line of the answer to an upload whose body does not come, or nothing while it is awaited."""
            plain = socket.create_connection((client.base_url.host, client.base_url.port or 443), timeout=10)
            line = open_lines.enter_context(trusted.wrap_socket(plain, server_hostname="search.example.com"))
            line.sendall(
                b"POST /api/upload/single HTTP/1.1\r\nHost: search.example.com\r\n"
                b"Authorization: Bearer the-key-of-the-admin\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n" % content_length
            )
            line.settimeout(0.5)
            try:
                return line.recv(1000).partition(b"\r\n")[0]
            except TimeoutError:
                return b""

        trusted = ssl.create_default_context(cafile=str(tmp_path / "fullchain.pem"))
        form = {"files": {"file": ("a.md", b"")}}
        assert client.get("/api/upload/single", extensions=NAMED).status_code == 403
        assert client.post("/api/upload/single", content=b"x", extensions=NAMED).status_code == 415
        assert client.post("/api/upload/single?store=hr", extensions=NAMED, **form).status_code == 400
        assert client.post("/api/upload/single/../other", extensions=NAMED, **form).status_code == 404
        assert b" 413 " in upload(60 << 20)
        assert [upload(100) for _ in range(4)] == [b""] * 4
        assert b" 429 " in upload(100)
        open_lines.close()
        statuses = [client.post("/api/upload/single", extensions=NAMED, **form).status_code for _ in range(14)]
        assert 429 in statuses


@pytest.mark.parametrize(
    "path", ["/prometheus", "/metrics", "/metrics/", "//prometheus", "/%70rometheus", "/x/../metrics"]
)
def test_nginx_lets_nobody_outside_ask_for_metrics(passing: httpx2.Client, path: str) -> None:
    target = {**NAMED, "target": path.encode()}
    answer = passing.get("/", extensions=target)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html"), "of nginx, not of the server"


@pytest.mark.parametrize("path", ["/prometheus", "/api/upload/none"])
def test_nginx_s_own_answers_carry_the_headers_once_and_the_server_s_are_not_doubled(
    passing: httpx2.Client, path: str
) -> None:
    for address in (path, "/health/live"):
        headers = passing.get(address, extensions=NAMED).headers
        for name in ("x-content-type-options", "x-frame-options", "content-security-policy", "referrer-policy"):
            assert len(headers.get_list(name)) == 1, (address, name)
        assert headers.get_list("strict-transport-security") == ["max-age=31536000; includeSubDomains"]
        assert headers.get_list("cache-control") == ["no-store"]


def test_nginx_bounds_documents_that_are_put_and_not_those_that_are_read(passing: httpx2.Client) -> None:
    codes = {passing.put("/api/documents/house/x.exe", content=b"x", extensions=NAMED).status_code for _ in range(75)}
    assert 429 in codes
    read = [passing.get("/api/documents/house/none.md", extensions=NAMED).status_code for _ in range(20)]
    assert set(read) == {404}


def test_nginx_lets_other_addresses_through(passing: httpx2.Client) -> None:
    assert passing.get("/health/live", extensions=NAMED).status_code == 200
    assert passing.get("/metricsque", extensions=NAMED).json()["error"] == "RESOURCE_NOT_FOUND"


@pytest.fixture(scope="module")
def passing(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with nginx(tmp_path_factory.mktemp("nginx"), server) as (client, _):
        yield client


def configuration_in_compose(folder: Path) -> str:
    """What the command of nginx in compose.yaml writes, run here with a stand-in for nginx and with other folders."""
    needs("nginx")
    command = read((ROOT / "compose.yaml").read_text())["services"]["nginx"]["command"]
    assert command[:2] == ["sh", "-c"]
    script = command[2].replace("$$", "$").replace("/srv/flamehaven.conf", str(CONFIGURATION))
    script = script.replace("/etc/nginx/conf.d", str(folder))
    (folder / "nginx").write_text("#!/bin/sh\n")
    (folder / "nginx").chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "SERVER_NAME": "docs.example.org"}
    subprocess.run(("sh", "-c", script), env=environment, check=True, timeout=60)
    return (folder / "flamehaven.conf").read_text()


def test_compose_has_the_same_configuration_for_another_name_and_place(server: Server, tmp_path: Path) -> None:
    text = configuration_in_compose(tmp_path)
    assert text.count("docs.example.org") == CONFIGURATION.read_text().count("search.example.com")
    assert "server flamehaven:8000;" in text
    assert "resolver 127.0.0.11 " in text, "Docker's own"
    assert "127.0.0.1:8000" not in text
    assert "127.0.0.53" not in text
    here = text.replace("flamehaven:8000", "127.0.0.1:8000").replace("docs.example.org", "search.example.com")
    with nginx(tmp_path, server, here) as (client, _):
        assert client.get("/health/live", extensions=NAMED).status_code == 200
