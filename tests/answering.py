"""An HTTP server in this process that answers as a test says, for what no real service does when it is asked to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Request(NamedTuple):
    """What came; `headers` finds names in any case."""

    method: str
    path: str
    headers: Message
    body: bytes


class Answer(NamedTuple):
    """What to answer; without a `Content-Length` that says otherwise, the body is whole."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


@contextmanager
def answering(answer: Callable[[Request], Answer]) -> Iterator[str]:
    """The address of a server that gives what `answer` has for each request."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(ConnectionError):
                super().handle()

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answered = answer(Request(self.command, self.path, self.headers, body))
            self.send_response(answered.status)
            for name, value in {"Content-Length": str(len(answered.body)), **answered.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answered.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 100

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
