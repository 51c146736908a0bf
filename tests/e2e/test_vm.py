"""What runs the server on a virtual machine: the systemd unit and nginx in front, each checked by the real program."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.servers import ROOT, Server, free_port, running

UNIT = ROOT / "infra/systemd/flamehaven.service"
NGINX = ROOT / "infra/nginx/flamehaven.conf"


def needs(tool: str) -> str:
    """The path of a program; skips, loudly, where it is missing."""
    found = shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.skip(f"NOT CHECKED: {tool} is not installed")
    return found


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
    assert verified(tmp_path, UNIT.read_text().replace("UMask=0027", mistake)) != ""


def test_the_unit_is_not_exposed(tmp_path: Path) -> None:
    command = (needs("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager", str(UNIT))
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout[-500:]


@contextmanager
def nginx(folder: Path, server: Server) -> Iterator[tuple[httpx2.Client, int]]:
    """nginx with our configuration in front of a server, and a client that trusts its certificate."""
    program, tls, plain = needs("nginx"), free_port(), free_port()
    key, certificate = folder / "privkey.pem", folder / "fullchain.pem"
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2")
    subject = ("-subj", "/CN=search.example.com", "-addext", "subjectAltName=DNS:search.example.com")
    subprocess.run((needs("openssl"), *made, *subject), check=True, capture_output=True, timeout=60)
    shutil.copy(certificate, folder / "chain.pem")
    text = NGINX.read_text().replace("/etc/letsencrypt/live/search.example.com", str(folder))
    text = text.replace("listen 443", f"listen 127.0.0.1:{tls}").replace("listen 80", f"listen 127.0.0.1:{plain}")
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{server.base_url.port}")
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = (
        f"pid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n{places}{text}}}\n"
    )
    (folder / "nginx.conf").write_text(whole)
    command = [program, "-c", str(folder / "nginx.conf"), "-g", "daemon off; master_process off;"]
    trusted = ssl.create_default_context(cafile=str(certificate))
    with (
        running(command, environment={}, url=f"http://127.0.0.1:{plain}/", log=folder / "nginx.log"),
        httpx2.Client(
            base_url=f"https://127.0.0.1:{tls}",
            headers={"Host": "search.example.com"},
            verify=trusted,
            timeout=30,
        ) as client,
    ):
        yield client, plain


NAMED = {"sni_hostname": "search.example.com"}


def test_nginx_passes_on_what_it_should_and_nothing_else(server: Server, tmp_path: Path) -> None:
    with nginx(tmp_path, server) as (client, plain):
        moved = httpx2.get(f"http://127.0.0.1:{plain}/api/stores?x=1", headers={"Host": "search.example.com"})
        assert (moved.status_code, moved.headers["location"]) == (301, "https://search.example.com/api/stores?x=1")
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
    with nginx(tmp_path, server) as (client, _):
        assert client.get("/api/upload/single", extensions=NAMED).status_code == 403
        assert client.post("/api/upload/single", content=b"x", extensions=NAMED).status_code == 415
        large = (
            "POST /api/upload/single HTTP/1.1\r\nHost: search.example.com\r\n"
            f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {60 << 20}\r\n\r\n"
        )
        trusted = ssl.create_default_context(cafile=str(tmp_path / "fullchain.pem"))
        with (
            socket.create_connection((client.base_url.host, client.base_url.port or 443), timeout=10) as plain,
            trusted.wrap_socket(plain, server_hostname="search.example.com") as line,
        ):
            line.sendall(large.encode())
            assert b" 413 " in line.recv(1000).partition(b"\r\n")[0]
        form = {"files": {"file": ("a.md", b"")}}
        statuses = [client.post("/api/upload/single", extensions=NAMED, **form).status_code for _ in range(14)]
        assert 429 in statuses
        assert client.get("/prometheus", extensions=NAMED).status_code == 404
