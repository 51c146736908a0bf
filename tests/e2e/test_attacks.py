"""Attacks by the hundred on a running server and on the function `ingest`: none finds another store, or makes a 5xx."""

from __future__ import annotations

import itertools
import json
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from tests.deployment import gemini
from tests.servers import ROOT, Server, flamehaven, function, until

pytestmark = pytest.mark.slow
ADMIN = {"Authorization": "Bearer the-admin-key-of-this-test"}
SECRET = "4711-the-code-of-the-safe"
SEED = 20261128
"""The attacks are the same in every run."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("attacked")
    for name, text in {"hr/safe.md": f"The code is {SECRET}.", "it/router.md": "The code is 8888."}.items():
        (data / "documents" / name).parent.mkdir(parents=True)
        (data / "documents" / name).write_text(text)
    production = {"ENVIRONMENT": "production", "GEMINI_BASE_URL": "emulator:"}
    with flamehaven(data, **production, FLAMEHAVEN_ADMIN_KEY=ADMIN["Authorization"].split()[1]) as running:
        listed = "/api/documents?status=indexed"
        until(lambda: len(running.get(listed, headers=ADMIN).json()["documents"]) == 2)
        yield running


@pytest.fixture(scope="module")
def stranger(server: Server) -> dict[str, str]:
    """The headers of a key for the other store."""
    asked = {"name": "it", "scopes": ["search", "upload", "manage"], "stores": ["it"]}
    made = server.post("/api/admin/keys", json=asked, headers=ADMIN).json()
    return {"Authorization": f"Bearer {made['key']}"}


def raw(server: Server, request: bytes) -> bytes:
    """Everything that the server answers to these bytes."""
    with socket.create_connection(("127.0.0.1", server.base_url.port or 0), timeout=30) as sock:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        found = b""
        try:
            while part := sock.recv(1 << 16):
                found += part
        except ConnectionResetError:
            pass
        return found


def spellings(store: str) -> list[str]:
    """Ways to write a store that are, or might be taken for, its name."""
    one = [store, store.upper(), f"{store} ", f" {store}", f"{store}%00", f"{store}%2f", f"{store}/", f"{store}//"]
    two = [f"./{store}", f"../{store}", f"it/../{store}", f"it/%2e%2e/{store}", f"it%2f..%2f{store}", f"%2f{store}"]
    three = [
        f"{store}%20",
        f"{store}.",
        f"{store}\\",
        f"it\\..\\{store}",
        "%68r",
        "h%72",
        "h\u200br",
        "\uff48\uff52",
    ]
    return (
        one + two + three + [f"{store}%0d%0a", f"{store};", f"{store}?", f"{store}%3f", f"{store}#", f"{store},it", "*"]
    )


def test_no_spelling_of_another_store_leads_into_it(server: Server, stranger: dict[str, str]) -> None:
    paths = ["/api/documents/{}/safe.md", "/api/documents/{}%2Fsafe.md", "/api/stores/{}", "/api/documents?store={}"]
    paths += [
        "/api/documents?prefix={}/",
        "/api/search?q=code+of+the+safe&store={}",
        "/api/search?q=code&stores=it&stores={}",
    ]
    for path, name, method in itertools.product(paths, spellings("hr"), ("GET", "POST", "PUT", "DELETE")):
        target = path.format(name).encode(errors="surrogatepass")
        key = stranger["Authorization"].encode()
        head = b"%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\nAuthorization: %s\r\n\r\nx"
        answer = raw(server, head % (method.encode(), target, key))
        assert SECRET.encode() not in answer, (method, target)
        assert b'"object":"hr/safe.md"' not in answer, (method, target)
        assert answer[9:12] < b"500", (method, target, answer[:300])
    left = server.get("/api/documents?store=hr", headers=ADMIN).json()["documents"]
    assert [document["object"] for document in left] == ["hr/safe.md"]
    assert SECRET in server.get("/api/search?q=What+is+the+code&store=hr", headers=ADMIN).text


def test_no_body_of_a_search_leads_into_another_store(server: Server, stranger: dict[str, str]) -> None:
    filters = [
        'flamehaven_object = "hr/safe.md"',
        'folder = "hr" OR type = "md"',
        'NOT type = "x"',
        "*",
        '"' * 400,
        "(" * 400,
    ]
    fields: list[dict[str, Any]] = [{"metadata_filter": each} for each in filters]
    fields += [{"store": name} for name in spellings("hr")] + [{"stores": ["it", name]} for name in spellings("hr")]
    fields += [{"store": each} for each in (None, 0, True, [], {}, ["hr"], {"$ne": ""}, "x" * 255)]
    fields += [{"model": each} for each in ("../x", "models/x?store=hr", "x" * 100)]
    for extra in fields:
        answer = server.post(
            "/api/search", json={"query": "What is the code of the safe?", "store": "it", **extra}, headers=stranger
        )
        assert SECRET not in answer.text, extra
        assert answer.status_code < 500, (extra, answer.text)


def test_odd_requests_make_no_error_of_ours(server: Server, stranger: dict[str, str]) -> None:
    chance = random.Random(SEED)
    routes = [path for path in server.get("/openapi.json").json()["paths"] if path != "/health"]
    methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY", "X" * 40]
    kinds = [
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=b",
        "text/plain",
        "",
        "a/b;c",
    ]
    pieces = [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"query":',
        b"--b\r\n",
        b"\xff\xfe",
        b"0" * 70_000,
        b'{"query":"' + b"\\u0000" * 9 + b'"}',
    ]
    for _ in range(1500):
        path = chance.choice(routes)
        for name in ("object", "store", "id"):
            word = "".join(chance.choice("ab/.%2e\\:;?*~$ \u00e9\u0000\ud83d") for _ in range(chance.randrange(1, 12)))
            path = path.replace(
                f"{{{name}}}", "".join(each if each in "ab/.~" else "%%%02X" % (ord(each) % 256) for each in word)
            )
        headers = {**stranger, "Content-Type": chance.choice(kinds)}
        headers |= chance.choice(
            [{}, {"Prefer": "wait=x"}, {"Accept": "text/event-stream"}, {"Range": "bytes=-1"}, {"Expect": "x"}]
        )
        answer = server.request(chance.choice(methods), path, content=chance.choice(pieces), headers=headers)
        assert answer.status_code < 500, (path, headers, answer.text)
        assert SECRET not in answer.text


HIDDEN = b"GET /api/admin/keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer the-admin-key-of-this-test\r\n\r\n"
FRAMINGS = [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding:\x0bchunked",
    b'Transfer-Encoding: "chunked"',
    b" Transfer-Encoding: chunked",
    b"X: y\r\n Transfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 5, 5",
    b"Content-Length: +5",
    b"Content-Length: 0x5",
    b"Content-Length: -1",
    b"Content-Length: 5 ",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length:\t5\x00",
    b"Content_Length: 5",
]
BODIES = [
    b"0\r\n\r\n",
    b"5\r\nxxxxx\r\n0\r\n\r\n",
    b"5;a=b\r\nxxxxx\r\n0\r\n\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"5\nxxxxx\n0\n\n",
    b"xxxxx",
]


@pytest.mark.parametrize("framing", FRAMINGS, ids=repr)
def test_a_request_of_two_lengths_is_one_request_or_none(server: Server, framing: bytes) -> None:
    """A proxy passes on what it takes for one body; the server must not find a request in it that the proxy did not.

    Where both lengths are given, the connection has to end after the answer (RFC 9112, section 6.3).
    """
    for body in BODIES:
        head = b"POST /api/search HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n"
        answer = raw(server, head + body)
        assert answer.count(b"HTTP/1.1 ") <= 1 + body.count(b"\r\n\r\n"), (framing, body, answer)
        both = b"Content-Length" in framing and b"Transfer-Encoding" in framing
        found = raw(server, head + body + HIDDEN)
        assert found[9:12] < b"500"
        if both:
            assert found.count(b"HTTP/1.1 ") == 1, (framing, body, found)


@pytest.fixture(scope="module")
def ingest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("ingest")
        (folder / "data/documents").mkdir(parents=True)
        model = stack.enter_context(gemini(folder))
        settings = {"GEMINI_BASE_URL": model.address, "GEMINI_API_KEY": "k", "DATA_DIR": str(folder / "data")}
        yield stack.enter_context(function("ingest", "ingest", ROOT, folder / "ingest.log", **settings))


def test_a_forged_event_is_refused_or_finds_nothing(ingest: httpx2.Client) -> None:
    chance = random.Random(SEED)
    names: list[Any] = [
        "hr/a.md",
        "../state/deployment",
        "/etc/passwd",
        "..%2fstate",
        ".state/keys/x.json",
        "a\x00b",
        "x" * 3000,
        "",
    ]
    names += [
        None,
        0,
        True,
        [],
        {},
        ["hr/a.md"],
        {"name": "x"},
        "\ud800",
        "hr/../../state/x",
        "C:\\x",
        "file:///etc/passwd",
    ]
    buckets: list[Any] = ["documents", "", None, 7, ["x"], "x" * 500, "../state"]
    types = [
        "google.cloud.storage.object.v1.finalized",
        "google.cloud.storage.object.v1.deleted",
        "com.evil",
        "",
        "\u00e9",
    ]
    for _ in range(700):
        name, bucket = chance.choice(names), chance.choice(buckets)
        data: Any = {"bucket": bucket, "name": name, "generation": chance.choice(["1", 1, None, "x" * 99])}
        shape = chance.randrange(4)
        headers = {"content-type": "application/json"}
        if shape == 0:
            headers |= {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "//storage"}
            headers["ce-type"] = chance.choice(types).encode("ascii", "replace").decode()
        elif shape == 1:
            headers["content-type"] = "application/cloudevents+json"
            data = {
                "specversion": chance.choice(["1.0", "9", None]),
                "id": "1",
                "source": "x",
                "type": chance.choice(types),
                "data": data,
            }
        elif shape == 2:
            attributes = {
                "eventType": chance.choice(["OBJECT_FINALIZE", "OBJECT_DELETE", "", None]),
                "bucketId": bucket,
                "objectId": name,
            }
            data = {
                "message": {"attributes": attributes, "data": chance.choice(["", "!!", "e30=", None, 5])},
                "subscription": "s",
            }
        body = json.dumps(data).encode()
        body = body[: chance.choice([len(body)] * 9 + [len(body) // 2])]
        answer = ingest.post("/", content=body, headers=headers)
        assert answer.status_code in (200, 400, 422), (headers, body, answer.text)
        if answer.status_code == 200:
            assert answer.json()["outcome"] not in ("indexed", "removed"), (headers, body, answer.text)
