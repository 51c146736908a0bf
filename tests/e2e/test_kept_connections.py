"""Requests that share a connection, as those of everybody behind a proxy do: each is answered for its own sender.

asyncio may start a request in the context of an earlier one on its connection, once that one had to wait for its body
(https://github.com/python/cpython/issues/140947). The functions run on plain asyncio and h11, as their requirements
bring nothing else.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.deployment import gemini
from tests.nginx import needs
from tests.servers import ROOT, flamehaven, free_port, function, running

ADMIN = {"FLAMEHAVEN_ADMIN_KEY": "the-admin-key-of-this-test"}
LONG = 100 << 10
"""Bytes of a body that uvicorn does not take in at once (its HIGH_WATER_LIMIT is 64 KiB)."""
PROXY = """
pid {folder}/pid; error_log {folder}/error.log; events {{}}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream search {{ server 127.0.0.1:{server}; keepalive 1; }}
    server {{
        listen 127.0.0.1:{port}; proxy_http_version 1.1; proxy_set_header Connection "";
        location / {{ proxy_pass http://search; }}
    }}
}}
"""


class Place:
    """The search function in production, on its own stack, over a store that one key may search."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        model = stack.enter_context(gemini(folder))
        settings = {"GEMINI_BASE_URL": model.address, "GEMINI_API_KEY": "k"}
        with flamehaven(folder / "data", **settings, **ADMIN) as server:
            server.headers["Authorization"] = f"Bearer {ADMIN['FLAMEHAVEN_ADMIN_KEY']}"
            put = server.put("/api/documents/legal/a.md", content="The fine is 900.", headers={"Prefer": "wait=20"})
            assert put.json()["status"] == "indexed"
            asked = {"name": "Ann", "scopes": ["search"], "stores": ["legal"]}
            self.key = server.post("/api/admin/keys", json=asked).json()["key"]
        hidden = folder / "hidden"
        hidden.mkdir()
        for package in ("httptools", "uvloop"):  # here for the server; the functions' requirements have neither
            (hidden / f"{package}.py").write_text("raise ImportError")
        own = {"DATA_DIR": str(folder / "data"), "ENVIRONMENT": "production", "SEARCH_ACCESS": "key", **settings}
        source = f"{hidden}:{ROOT}"
        own["PYTHONPATH"] = source
        client = stack.enter_context(function("search", "search", ROOT, folder / "search.log", **own))
        self.port = client.base_url.port or 0

    def request(self, key: str | None, *, padding: int = 0) -> bytes:
        """A question about the store, with spaces after it."""
        body = json.dumps({"query": "What is the fine?", "store": "legal"}).encode() + b" " * padding
        allowed = f"Authorization: Bearer {key}\r\n" if key else ""
        return f"POST / HTTP/1.1\r\nHost: x\r\n{allowed}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack, tmp_path_factory.mktemp("place"))


class Connection:
    """One connection, on which answers are read in turn."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._file = self.socket.makefile("rb")

    def send(self, *requests: bytes) -> None:
        self.socket.sendall(b"".join(requests))

    def status(self) -> int:
        """The status of the next answer, which is read to its end."""
        status = int(self._file.readline().split()[1])
        length = 0
        while line := self._file.readline().strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self._file.read(length)
        return status

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@pytest.fixture
def connection(place: Place) -> Iterator[Connection]:
    made = Connection(place.port)
    yield made
    made.close()


def test_the_functions_stack_is_the_one_that_is_meant(place: Place, connection: Connection) -> None:
    connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (70 << 10))
    assert connection.status() == 400, "h11 waits for no more than 64 KiB of a head, httptools for any number"


def test_a_request_without_a_key_is_refused_after_one_whose_body_had_to_be_waited_for(
    place: Place, connection: Connection
) -> None:
    connection.send(place.request(place.key, padding=LONG))
    assert connection.status() == 200
    for _ in range(3):
        connection.send(place.request(None))
        assert connection.status() == 401
    connection.send(place.request(place.key))
    assert connection.status() == 200


def test_a_pipelined_request_without_a_key_is_refused(place: Place, connection: Connection) -> None:
    connection.send(place.request(place.key), place.request(None), place.request(place.key), place.request(None))
    assert [connection.status() for _ in range(4)] == [200, 401, 200, 401]


def test_somebody_else_behind_the_same_proxy_is_refused(place: Place, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "nginx.conf").write_text(PROXY.format(folder=tmp_path, server=place.port, port=port))
    command = [needs("nginx"), "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off; master_process off;"]
    with running(command, environment={}, url=f"http://127.0.0.1:{port}/", log=tmp_path / "nginx.log"):
        ann, other = Connection(port), Connection(port)
        ann.send(place.request(place.key, padding=LONG))
        assert ann.status() == 200
        for _ in range(3):
            other.send(place.request(None))
            assert other.status() == 401
        ann.close()
        other.close()
