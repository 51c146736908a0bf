"""nginx with our configuration, as an operator has it in front of the server."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.servers import ROOT, Server, free_port, running

NAMED = {"sni_hostname": "search.example.com"}
CONFIGURATION = ROOT / "infra/nginx/flamehaven.conf"


def needs(tool: str) -> str:
    """The path of a program; skips, loudly, where it is missing."""
    found = shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.skip(f"NOT CHECKED: {tool} is not installed")
    return found


@contextmanager
def nginx(folder: Path, server: Server, text: str = CONFIGURATION.read_text()) -> Iterator[tuple[httpx2.Client, int]]:
    """nginx with our configuration in front of a server, and a client that trusts its certificate and has its key."""
    program, tls, plain = needs("nginx"), free_port(), free_port()
    key, certificate = folder / "privkey.pem", folder / "fullchain.pem"
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2")
    subject = ("-subj", "/CN=search.example.com", "-addext", "subjectAltName=DNS:search.example.com")
    subprocess.run((needs("openssl"), *made, *subject), check=True, capture_output=True, timeout=60)
    shutil.copy(certificate, folder / "chain.pem")
    text = text.replace("/etc/letsencrypt/live/search.example.com", str(folder))
    text = text.replace("listen 443", f"listen 127.0.0.1:{tls}").replace("listen 80", f"listen 127.0.0.1:{plain}")
    text = text.replace("/var/www/letsencrypt", str(folder))
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
            headers={"Host": "search.example.com", "Authorization": server.headers["Authorization"]},
            verify=trusted,
            timeout=30,
        ) as client,
    ):
        yield client, plain
