"""`flamehaven` as a process of its own that is forked from one that has imported it: imports are most of a start."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["tests.warm"])


class Forked:
    """What `subprocess.Popen` is for a program, for `flamehaven` with some words."""

    def __init__(self, words: Sequence[str], *, environment: Mapping[str, str], log: Path, cwd: Path) -> None:
        self._process = ForkServerProcess(target=_run, args=(list(words), dict(environment), log, cwd))
        self._process.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code, once it has ended; the negative number of the signal that ended it."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it ends. Raises TimeoutExpired after so many seconds."""
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired("flamehaven", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _run(words: list[str], environment: dict[str, str], log: Path, cwd: Path) -> None:
    """Be `flamehaven` in this process, with nothing of the environment that it was forked in."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    sys.argv = ["flamehaven", *words]
    from flamehaven.cli import main

    main()
