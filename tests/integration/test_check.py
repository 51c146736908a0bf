"""The synthetic check: it succeeds only if search answers with what was just written."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from functions.check.main import DOCUMENT
from tests.servers import ROOT, function

ANSWERS = {
    "right": (200, lambda written: {"answer": written}),
    "old": (200, lambda written: {"answer": "The code of the synthetic check is 0."}),
    "none": (404, lambda written: {"message": "There is no store 'synthetic-check'."}),
}


class Search(BaseHTTPRequestHandler):
    """A search function that answers in one of these ways, and the metadata server that signs its callers in."""

    document: Path
    kind = "right"

    def do_GET(self) -> None:
        assert self.headers["Metadata-Flavor"] == "Google"
        self._send(200, b"token-for-" + self.path.partition("audience=")[2].encode())

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert asked["store"] == "synthetic-check"
        if not self.headers["Authorization"].startswith("Bearer token-for-http"):
            self._send(403, b'{"message": "Who are you?"}')
            return
        status, answer = ANSWERS[self.kind]
        self._send(status, json.dumps(answer(self.document.read_text())).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def searching(document: Path) -> Iterator[tuple[type[Search], str]]:
    handler = type("OneSearch", (Search,), {"document": document})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield handler, f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[type[Search], str, httpx2.Client]]:
    folder = tmp_path_factory.mktemp("check")
    documents = folder / "documents"
    documents.mkdir()
    with searching(documents / DOCUMENT) as (search, host):
        settings = {
            "DOCUMENTS_URL": str(documents),
            "DATA_DIR": str(folder / "data"),
            "GEMINI_API_KEY": "k",
            "GCE_METADATA_HOST": host,
            "CHECK_SECONDS": "0.5",
            "CHECK_PAUSE_SECONDS": "0.1",
        }
        with function("check", "check", ROOT, folder / "check.log", **settings) as client:
            yield search, f"http://{host}/", client


def test_it_succeeds_with_what_was_written(deployed: tuple[type[Search], str, httpx2.Client]) -> None:
    search, address, client = deployed
    search.kind = "right"
    answer = client.post("/", params={"search": address})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(("kind", "said"), [("old", "is 0."), ("none", "There is no store")])
def test_it_fails_with_anything_else(deployed: tuple[type[Search], str, httpx2.Client], kind: str, said: str) -> None:
    search, address, client = deployed
    search.kind = kind
    answer = client.post("/", params={"search": address})
    assert answer.status_code == 504
    assert said in answer.json()["message"]


def test_a_wrong_request_is_refused(deployed: tuple[type[Search], str, httpx2.Client]) -> None:
    _, address, client = deployed
    assert client.get("/", params={"search": address}).status_code == 405
    assert client.post("/").status_code == 422
    assert client.post("/", params={"search": "ftp://x"}).status_code == 422
