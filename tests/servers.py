"""Real servers for tests and benchmarks: started on a free loopback port, logged to a file, stopped by process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx2

from tests.forked import Forked

T = TypeVar("T")
ROOT = Path(__file__).parents[1]
UNLIMITED = {"SEARCH_RATE_LIMIT": "", "UPLOAD_RATE_LIMIT": "", "UPLOAD_MULTI_RATE_LIMIT": "", "API_RATE_LIMIT": ""}
"""For tests and benchmarks that ask more than a person does."""
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")
FLAMEHAVEN = [sys.executable, "-m", "flamehaven.cli"]

Process = subprocess.Popen[bytes] | Forked


class Server(httpx2.Client):
    """A client for a server of ours that can also end it."""

    def __init__(self, process: Process, *, base_url: str, timeout: float) -> None:
        super().__init__(base_url=base_url, timeout=timeout)
        self._process = process

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def workers(self) -> set[int]:
        """The process ids of its workers, where it has some (proc(5): task/[tid]/children)."""
        return {int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()}

    def signal(self, number: int) -> None:
        """Send the server a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float = 40) -> int:
        """Wait until the server has ended; its exit code."""
        return self._process.wait(seconds)

    def kill(self) -> None:
        """End the server at once, as a power cut would."""
        self._process.kill()
        self._process.wait()


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: list[str],
    *,
    environment: Mapping[str, str],
    url: str,
    log: Path,
    cwd: Path = ROOT,
) -> Iterator[Process]:
    """Run a server until the block ends; it is ready once `url` answers at all."""
    process = _start(command, environment=environment, log=log, cwd=cwd)
    try:
        _wait_until_ready(process, url, log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)  # does nothing where it has ended
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"The server did not stop on SIGTERM:\n{log.read_text()[-3000:]}") from None


def _start(command: list[str], *, environment: Mapping[str, str], log: Path, cwd: Path) -> Process:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    whole = {**inherited, **environment}
    if command[: len(FLAMEHAVEN)] == FLAMEHAVEN:
        return Forked(command[len(FLAMEHAVEN) :], environment=whole, log=log, cwd=cwd)
    with log.open("ab") as output:
        return subprocess.Popen(command, env=whole, stdout=output, stderr=subprocess.STDOUT, cwd=cwd)


def _wait_until_ready(process: Process, url: str, log: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx2.get(url, timeout=2)
        except httpx2.TransportError:
            time.sleep(0.05)
        else:
            return
    process.kill()
    process.wait()
    raise AssertionError(f"The server did not start:\n{log.read_text()[-3000:]}")


@contextmanager
def flamehaven(data: Path, *, prefix: Sequence[str] = (), **settings: str) -> Iterator[Server]:
    """`flamehaven serve` in development on the data folder, started by `prefix`, and a client for it."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    environment = {
        "ENVIRONMENT": "development",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DATA_DIR": str(data),
        **UNLIMITED,
        **settings,
    }
    data.mkdir(parents=True, exist_ok=True)
    command = [*prefix, *FLAMEHAVEN, "serve"]
    with (
        running(command, environment=environment, url=f"{base}/health/live", log=data / "server.log") as process,
        Server(process, base_url=base, timeout=30) as client,
    ):
        yield client


@contextmanager
def function(
    name: str, target: str, source: Path, log: Path, *, port: int = 0, **settings: str
) -> Iterator[httpx2.Client]:
    """One function of the tree at `source` under plain functions-framework; PYTHONPATH alone leads to that tree."""
    port = port or free_port()
    base = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "functions_framework", "--source", f"functions/{name}/main.py", "--target", target]
    environment = {"PYTHONPATH": str(source), **settings}
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with (
        running(command, environment=environment, url=f"{base}/robots.txt", log=log, cwd=source),
        httpx2.Client(base_url=base, timeout=30) as client,
    ):
        yield client


def until(condition: Callable[[], T], seconds: float = 20.0, every: float = 0.1) -> T:
    """Call `condition` until it returns something true, and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {result!r}"
        time.sleep(every)
    return result
