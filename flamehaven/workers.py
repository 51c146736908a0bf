"""The processes that serve: one uvicorn, or several under gunicorn, and how they end without losing a request.

A server that stops lets go of its listening socket at once. uvicorn then closes every connection on which no request is
under way, also where one has been sent and not been read; here such a connection stays until it was idle for as long as
always, and each answer says that it is the connection's last (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType
from typing import Any
from urllib.parse import quote

import uvicorn
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config
from gunicorn.glogging import Logger
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn_worker import UvicornWorker

from flamehaven.addresses import is_in
from flamehaven.heads import LimitedHeads
from flamehaven.metrics import forget_process, share_between_processes
from shared.settings import Settings, settings

log = logging.getLogger(__name__)

IDLE = 5
"""Seconds after which a connection is closed on which nothing comes. A proxy that keeps connections must be quicker."""
GRACE = 18
"""Seconds that a server which stops gives to the requests that it has, before it ends them."""
CLOSING = 10
"""Seconds more for all else that ends with it (what a queue delivered is given back within 8), before it is killed."""
STUCK = 60
"""Seconds after which a worker is replaced whose event loop stands still; a long request does not hold it up."""
RETRY = 1
"""Seconds before a worker is replaced once more that could not start in the place of another."""
BOOT_FAILED = 3
"""The exit code of a server that could not start: uvicorn's, and gunicorn's."""


ASCII = "".join(map(chr, range(128)))


class Connection(LimitedHeads):
    """A connection that outlives the beginning of a stop until its next answer, or until it is idle as always.

    It also takes addresses with unescaped characters, as `curl '...?q=Büro'` sends them.
    """

    _in_request_line = True

    def data_received(self, data: bytes) -> None:
        if self._in_request_line:
            line, end, rest = data.partition(b"\n")
            self._in_request_line = not end
            # The parser takes only ASCII (RFC 3986, section 2.1); the bytes mean the same when they are escaped.
            data = quote(line, safe=ASCII).encode() + end + rest
        super().data_received(data)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_request_line = True

    def trusts(self, host: str) -> bool:
        return is_in(host, settings().trusted_proxies)

    def shutdown(self) -> None:
        if self.cycle is not None:
            self.cycle.default_headers = [*self.cycle.default_headers, CLOSE_HEADER]
        elif self.headers is None:  # nothing has come yet
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )


class Server(uvicorn.Server):
    """uvicorn, whose answers end their connections while it stops."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state = self.server_state
        state.default_headers = [*state.default_headers, CLOSE_HEADER]
        await super().shutdown(sockets)


SHARED_MEMORY = "/dev/shm"  # noqa: S108 - gunicorn makes its files there by mkstemp
"""Where workers show that they live: no disk that is busy delays it."""


UVICORN: dict[str, Any] = {
    "http": Connection,
    "ws": "none",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,  # flamehaven/proxies.py reads them
    "reset_contextvars": True,  # else asyncio starts a request in the context of the one before it
    "timeout_keep_alive": IDLE,
    "timeout_graceful_shutdown": GRACE,
}
"""How uvicorn serves, alone and under gunicorn."""


class Worker(UvicornWorker):  # type: ignore[misc]  # it ships no types
    """One of several processes, under gunicorn."""

    CONFIG_KWARGS = {**UVICORN, "timeout_notify": 1}  # noqa: RUF012 - declared so by its parent

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        server = Server(self.config)
        self._install_sigquit_handler()
        try:
            await server.serve(sockets=self.sockets)
        except SystemExit:
            if self.age <= self.cfg.workers:
                raise
            # gunicorn would end all workers; a replacement is tried again instead, until the trouble is over.
            await asyncio.sleep(RETRY)
            sys.exit(1)


class SharedLog(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's lines, and what its workers take from it, in the form of all others."""

    def setup(self, cfg: Config) -> None:
        self.cfg = cfg
        for log in (self.error_log, self.access_log):
            log.handlers = logging.root.handlers
        self.error_log.setLevel(logging.root.level)
        self.access_log.setLevel(logging.CRITICAL)


class Workers(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn with the app; its code is loaded once, and the app opens nothing before its lifespan, in each worker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        host, port = self._settings.host, self._settings.port
        options = {
            "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "workers": self._settings.workers,
            "worker_class": Worker,
            "preload_app": True,
            "timeout": STUCK,
            "graceful_timeout": GRACE + CLOSING,
            "keepalive": IDLE,
            "logger_class": SharedLog,
            "worker_tmp_dir": SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None,
            "control_socket_disable": True,
            "child_exit": _forget,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        from flamehaven.app import create_app

        return create_app()


def _forget(arbiter: Any, worker: Any) -> None:
    """Take the gauges of a process that ended out of the metrics."""
    forget_process(worker.pid)


def serve(settings: Settings) -> None:
    """Serve until a signal ends it: SIGTERM and SIGINT gracefully; SIGHUP exchanges the workers, where there are some.

    Raises SystemExit where the server cannot start.
    """
    if settings.workers > 1:
        share_between_processes()
        Workers(settings).run()
        return
    if settings.environment == "production":
        signal.signal(signal.SIGHUP, _nothing_to_exchange)
    app = "flamehaven.app:create_app"
    server = Server(uvicorn.Config(app, factory=True, host=settings.host, port=settings.port, **UVICORN))
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(BOOT_FAILED)


def _nothing_to_exchange(number: int, frame: FrameType | None) -> None:
    """Left to itself, SIGHUP would end the server at once."""
    log.warning("SIGHUP exchanges workers; with WORKERS=1 it does nothing.")
