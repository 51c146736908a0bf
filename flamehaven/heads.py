"""Limits on what a connection may cost before its request is whole: the size of the head, the time for it, and how many
connections wait for one.

httptools has no such limits, and uvicorn only one for h11. A head is the request line with all headers (RFC 9112,
section 2.1); nginx has limits of the same kind (`large_client_header_buffers`, `client_header_timeout`, `limit_conn`).
"""

from __future__ import annotations

import asyncio
import logging
import resource
import uuid
from collections.abc import Iterable
from typing import Any

from starlette.responses import JSONResponse
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from flamehaven.addresses import address_of, is_in
from flamehaven.headers import add_security
from shared.errors import ServiceError
from shared.http import REQUEST_ID
from shared.logs import request_id

log = logging.getLogger(__name__)

MAX_HEAD = 32 << 10
"""Bytes of the largest head, and of trailers. One that comes in pieces may have a read of the socket (256 KiB) more."""
MAX_HEADERS = 100
HEAD_SECONDS = 15.0
"""Seconds from the opening of a connection, or from the first byte of a later request, until the head is there."""
MAX_PER_ADDRESS = 100
"""Connections that one address may have, or one /64 network of IPv6; a trusted proxy has them for others."""
MAX_CONNECTIONS = 1000
"""Connections of one process; where it may open fewer than twice as many files, half of those."""
LINGER = 1.0
"""Seconds for which a refused client may still be sending."""
FACTS = "connection"
"""Where the state of each request has what is known of its connection, for whoever found it out to keep."""
LOOPBACK = "127.0.0.0/8, ::1"


class LimitedHeads(HttpToolsProtocol):
    """An HTTP connection with these limits."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._facts: dict[str, Any] = {}
        self.network: str | None = None
        """The address that counts as one; None where the connection has none."""
        self.waiting_since: float | None = None
        """When it began to wait for a head, in the event loop's time; None while a request is answered."""
        self._timer: asyncio.TimerHandle | None = None
        self._refused = False
        self._in_head = False
        self._told = self._untold = self._headers = 0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        super().connection_made(transport)
        self.network = address_of(self.client[0]) if self.client else None
        self.waiting_since = self.loop.time()
        self._start_timer()
        if problem := self._no_room():
            self._refuse(problem)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._untold += len(data)  # each callback of the parser sets it back
        super().data_received(data)
        if self._untold > MAX_HEAD:
            self._refuse(_too_large())

    # What the parser calls. What these raise comes back as an error of the parser, which ends in `send_400_response`.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"][FACTS] = self._facts
        self._in_head = True
        self._told = self._untold = self._headers = 0
        if self._timer is None:
            self._start_timer()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        self._headers += 1
        if self._headers > MAX_HEADERS:
            raise _too_large()
        if self._in_head:  # what comes after the body (RFC 9110, section 6.5.1) must not pass for a header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._untold = 0
        self.waiting_since = None
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._untold = 0
        super().on_body(body)

    def _count(self, size: int) -> None:
        self._told += size
        self._untold = 0
        if self._told > MAX_HEAD:
            raise _too_large()

    def send_400_response(self, msg: str) -> None:
        is_large = self._told > MAX_HEAD or self._headers > MAX_HEADERS
        self._refuse(_too_large() if is_large else ServiceError("BAD_REQUEST", NOT_HTTP))

    # Waiting for a head.

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_idle():
            self.waiting_since = self.loop.time()  # uvicorn's own timer closes it when nothing comes

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if not self._is_idle():  # what it sent of its next request waits for the answer to the last
            self._start_timer()
        elif self._in_head:
            self._refuse(ServiceError("REQUEST_TIMEOUT", f"No whole request came for {HEAD_SECONDS:.0f} s."))
        else:
            self.transport.close()

    def trusts(self, host: str) -> bool:
        """Whether an address may have any number of connections."""
        return is_in(host, LOOPBACK)

    def _is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return not cycle or (cycle.response_complete and not self.pipeline)

    def _no_room(self) -> ServiceError | None:
        """Why this connection cannot stay; where there are too many, the one that waited longest for a head goes."""
        others = [each for each in self.connections if isinstance(each, LimitedHeads) and each is not self]
        own = sum(each.network == self.network for each in others)
        if self.client and not self.trusts(self.client[0]) and own >= MAX_PER_ADDRESS:
            return ServiceError(
                "RATE_LIMIT_EXCEEDED", f"Your address has {MAX_PER_ADDRESS} connections. Close some.", headers=RETRY
            )
        if len(others) < _most():
            return None
        longest = _longest_waiting(others)
        if longest is None:
            return ServiceError(
                "SERVICE_UNAVAILABLE", "The server has too many connections. Try again in a moment.", headers=RETRY
            )
        longest.transport.abort()
        self.connections.discard(longest)
        return None

    def _refuse(self, problem: ServiceError) -> None:
        """Answer in the common error shape, unless another answer is under way, and close the connection.

        What the client goes on sending is thrown away for a moment: closing at once would take the answer from it
        (RFC 9112, section 9.6).
        """
        self._refused = True
        self._stop_timer()
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's own annotation leaves the None out
        if cycle and not cycle.response_complete:
            if cycle.response_started:  # a second answer would be read as part of the first
                self.transport.close()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        if not self.transport.is_closing():
            self.transport.write(self._refusal(problem))
            self.transport.write_eof()
            self._timer = self.loop.call_later(LINGER, self.transport.abort)

    def _refusal(self, problem: ServiceError) -> bytes:
        serving = str(uuid.uuid4())
        token = request_id.set(serving)
        log.warning("A request was refused with %d: %s", problem.status, problem.message)
        request_id.reset(token)
        headers = {REQUEST_ID: serving, "Connection": "close", **problem.headers}
        answer = JSONResponse(problem.body(serving), status_code=problem.status, headers=headers)
        add_security(answer.headers)
        lines = [name + b": " + value for name, value in [*self.server_state.default_headers, *answer.raw_headers]]
        return STATUS_LINE[problem.status] + b"\r\n".join(lines) + b"\r\n\r\n" + bytes(answer.body)


RETRY = {"Retry-After": "5"}
NOT_HTTP = (
    "This is not a valid HTTP request. Check its first line and its headers; in the address, write characters such as "
    "spaces as %20."
)


def _too_large() -> ServiceError:
    return ServiceError(
        "HEADERS_TOO_LARGE",
        f"The address and headers of a request may have {MAX_HEAD:,} bytes together, and {MAX_HEADERS} headers.",
    )


def _most() -> int:
    """Connections of this process, which leave it files for its work."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, files // 2)


def _longest_waiting(connections: Iterable[LimitedHeads]) -> LimitedHeads | None:
    waiting = [each for each in connections if each.waiting_since is not None]
    return min(waiting, key=lambda each: each.waiting_since or 0.0, default=None)
