"""Development's open door: programs of the server's own user get in, and a proxy of another user does not."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from flamehaven import loopback
from flamehaven.loopback import is_own
from tests.nginx import needs
from tests.servers import Server, flamehaven, free_port, running

PROXY = """
user {user}; pid {folder}/pid; error_log {folder}/error.log; events {{}}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream kept {{ server 127.0.0.1:{server}; keepalive 1; }}
    server {{ listen 127.0.0.1:{port}; location / {{ {more} }} }}
}}
"""
CONNECT = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); s.recv(1)"


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Server]:
    with flamehaven(data, FLAMEHAVEN_METRICS_ENABLED="1") as client:
        yield client


@contextlib.contextmanager
def proxy(folder: Path, server: Server, how: str) -> Iterator[str]:
    """nginx as a program of another user, with only this set; its address."""
    if os.getuid() != 0:
        pytest.skip("NOT CHECKED: only root can start a program as another user")
    user = next(each.pw_name for each in pwd.getpwall() if each.pw_name in ("www-data", "nginx", "nobody"))
    port, how = free_port(), how.replace("SERVER", str(server.base_url.port))
    text = PROXY.format(user=user, folder=folder, server=server.base_url.port, port=port, more=how)
    (folder / "nginx.conf").write_text(text)
    command = [needs("nginx"), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    with running(command, environment={}, url=f"http://127.0.0.1:{port}/", log=folder / "nginx.log"):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "how",
    [
        "proxy_pass http://127.0.0.1:SERVER;",
        "proxy_pass http://kept; proxy_set_header Host localhost; proxy_http_version 1.1; "
        "proxy_set_header Connection '';",
    ],
)
def test_a_proxy_of_another_user_does_not_open_the_door(server: Server, tmp_path: Path, how: str) -> None:
    with proxy(tmp_path, server, how) as address:
        for _ in range(2):
            answer = httpx2.get(f"{address}/api/stores")
            assert (answer.status_code, answer.json()["error"]) == (401, "INVALID_API_KEY")
            assert httpx2.post(f"{address}/api/admin/keys", json={"name": "x"}).status_code == 401
        assert server.get("/api/stores").status_code == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_server_s_own_user_gets_in_on_a_kept_connection_and_on_a_new_one(server: Server, host: str) -> None:
    address = f"http://{host}:{server.base_url.port}/api/stores"
    for _ in range(2):
        assert httpx2.get(address).status_code == 200
        assert server.get("/api/stores").status_code == 200


@pytest.mark.parametrize(
    "headers", [{"X-Real-IP": "127.0.0.1"}, {"Via": "1.1 x"}, {"Forwarded": "for=x"}, {"X-Forwarded-Host": "x"}]
)
def test_a_sign_of_a_proxy_closes_the_door(server: Server, headers: dict[str, str]) -> None:
    assert server.get("/api/stores", headers=headers).status_code == 401


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("tables", [True, False])
def test_whose_connection_it_is(host: str, tables: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not tables:  # as on other systems than Linux
        monkeypatch.setattr(loopback, "TABLES", (tmp_path / "none",))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection((host, port)) as client:
            accepted, _ = listening.accept()
            ends = (client.getsockname()[:2], accepted.getsockname()[:2])
            assert is_own(*ends)
            assert not is_own((host, 1), ends[1])
            client.close()
            assert not is_own(*ends), "nobody has it any more"
            accepted.close()


def test_a_dual_socket_s_ipv4_connection_is_recognised() -> None:
    both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    with both, socket.create_connection(("127.0.0.1", both.getsockname()[1])):
        accepted, peer = both.accept()
        assert peer[0] == "::ffff:127.0.0.1"
        assert is_own(peer[:2], accepted.getsockname()[:2])
        accepted.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a program as another user")
def test_another_user_s_connection_is_not_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [needs("python3"), "-c", CONNECT, str(listening.getsockname()[1])]
        other = subprocess.Popen(command, user="nobody", cwd="/")
        accepted, peer = listening.accept()
        assert not is_own(peer, accepted.getsockname())
        accepted.close()
        other.wait(20)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "flamehaven:8000"}, 200),
        ({"Host": "flamehaven.search.svc:80"}, 200),
        ({"Host": "rebound.example:8000"}, 401),
        ({"Origin": "https://evil.example"}, 401),
        ({"Sec-Fetch-Site": "cross-site"}, 401),
        ({"Via": "1.1 x"}, 401),
    ],
)
def test_metrics_are_not_for_pages_of_other_sites(server: Server, headers: dict[str, str], status: int) -> None:
    assert server.get("/metrics", headers=headers).status_code == status
