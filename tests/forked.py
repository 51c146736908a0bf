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
    """What `subprocess.Popen` is for a program, for `flamehaven` with some words.

    It appends its output to the file `log`, and its errors too, or to `errors` if that is given.
    """

    def __init__(
        self, words: Sequence[str], *, environment: Mapping[str, str], log: Path, cwd: Path, errors: Path | None = None
    ) -> None:
        arguments = (list(words), dict(environment), log, errors or log, cwd)
        self._process = ForkServerProcess(target=_run, args=arguments)
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


def _run(words: list[str], environment: dict[str, str], log: Path, errors: Path, cwd: Path) -> None:
    """Be `flamehaven` in this process, with nothing of the environment that it was forked in."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for stream, file in ((1, log), (2, errors)):
        output = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(output, stream)
        os.close(output)
    sys.argv = ["flamehaven", *words]
    from flamehaven.cli import main

    main()
