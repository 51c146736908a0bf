"""Files from strangers are read in a child process that may die of them.

A plain child with a socket and a pipe, and not multiprocessing: that would import the parent's `__main__` again, which
starts a second server where the parent is a script without a main guard.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

from file_search_emulator.parsing.section import ParseError, Section, TookTooLong

logger = logging.getLogger(__name__)

_CHILD = "file_search_emulator.parsing.child"
_FILES_PER_CHILD = 200
_TOO_MUCH = (
    "The file could not be read: it is damaged, or needs more memory or time than any file is given."
    " Open it, save it again, and upload the copy; split it if it is very large."
)


class LimitedParser:
    """`parse` in a child process that can do nothing else, kept from file to file; safe to call from several threads.

    Limits: bytes of memory, seconds of CPU and of waiting for each file, bytes of text that a file may yield;
    `niceness` lets other work go first (nice(2)). A child that met a bad file is replaced; it ends with its parent,
    however that ends, and is given none of its environment.
    """

    def __init__(
        self,
        *,
        memory_bytes: int = 1 << 30,
        cpu_seconds: int = 30,
        wall_seconds: float = 90,
        output_bytes: int = 128 << 20,
        niceness: int = 0,
    ) -> None:
        self._limits = [str(memory_bytes), str(cpu_seconds), str(niceness)]
        self._wall_seconds = wall_seconds
        self._output_bytes = output_bytes
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._files = 0

    def sections(self, path: Path, mime_type: str, name: str = "") -> Generator[Section, None, None]:
        """The text of a file as sections, one after the other as they are read; see `parsing.parse`.

        Long sections come in pieces. The parser serves nobody else before the last section, or before this is closed.
        Raises ParseError when the file is at fault (TookTooLong when it needs more time than it is given), and
        RuntimeError when the parser is: it cannot start, a library is missing, or it died of what it had read before,
        and should be asked again.
        """
        request = json.dumps({"mime_type": mime_type, "name": name or path.name}).encode() + b"\n"
        with self._lock:
            try:
                with _opened(path) as file:
                    yield from self._read(request, file)
            except BaseException:
                self._stop()
                raise

    def parse(self, path: Path, mime_type: str, name: str = "") -> list[Section]:
        """All sections of a file at once; see `sections`."""
        return list(self.sections(path, mime_type, name))

    def close(self) -> None:
        """End the child process; a file being read is waited for."""
        with self._lock:
            self._stop()

    def _read(self, request: bytes, file: BinaryIO) -> Iterator[Section]:
        """Ask the child; when one that served before dies at once, ask a fresh one, for it may have died of those."""
        begun = False
        for last_try in (False, True):
            try:
                for section in self._ask(request, file):
                    begun = True
                    yield section
            except _DiedError:
                was_fresh = self._files == 1
                self._stop()
                if was_fresh or last_try:
                    raise ParseError(_TOO_MUCH) from None
                if begun:
                    raise RuntimeError("The parser's process died; a fresh one may read the file.") from None
            else:
                return

    def _ask(self, request: bytes, file: BinaryIO) -> Iterator[Section]:
        child = self._running()
        assert self._requests is not None
        try:
            sent = socket.send_fds(self._requests, [request], [file.fileno()])
            self._requests.sendall(request[sent:])
        except (BrokenPipeError, ConnectionResetError):
            raise _died(child) from None
        for line in self._lines(child):
            reply = json.loads(line)
            if "missing" in reply:
                _say_missing(" and ".join(reply["missing"]))
                continue
            if "refused" in reply:
                raise ParseError(reply["refused"])
            if "failed" in reply:
                raise RuntimeError(reply["failed"])
            if "end" in reply:
                return
            yield Section(reply["text"], reply["page"], reply["heading"])

    def _lines(self, child: subprocess.Popen[bytes]) -> Iterator[bytes]:
        """The lines that the child writes; only the time that they are waited for counts."""
        assert child.stdout is not None
        patience, room = self._wall_seconds, self._output_bytes
        unread = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while True:
                started = time.monotonic()
                if patience <= 0 or not selector.select(patience):
                    raise TookTooLong(_TOO_MUCH)
                patience -= time.monotonic() - started
                data = os.read(child.stdout.fileno(), 1 << 16)
                if not data:
                    raise _died(child)
                room -= len(data)
                if room < 0:
                    raise ParseError("There is more text in the file than can be indexed: split it into several files.")
                unread += data
                if b"\n" in data:
                    *whole, rest = bytes(unread).split(b"\n")
                    unread = bytearray(rest)
                    yield from whole

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None or self._files >= _FILES_PER_CHILD:
            self._stop()
            self._requests, theirs = socket.socketpair()
            with theirs:
                self._child = subprocess.Popen(  # noqa: S603 (our own module, with numbers for arguments)
                    [sys.executable, "-P", "-m", _CHILD, *self._limits],
                    stdin=theirs.fileno(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=_environment(),
                    cwd="/",
                    start_new_session=True,  # Ctrl-C is for the parent
                )
        self._files += 1
        return self._child

    def _stop(self) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            child.kill()
            with child:  # closes its pipe, with what was never read, and waits
                pass
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        self._files = 0


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from None
    with file:
        yield file


@cache
def _say_missing(what: str) -> None:
    logger.warning(
        "This system offers no %s: the process that reads documents is limited in memory, time and output, but nothing"
        " keeps it from other files (Landlock) or from the network and other processes (seccomp).",
        what,
    )


class _DiedError(Exception):
    """The child was ended by a signal: by a limit, by a fault in a library, or by somebody."""


def _died(child: subprocess.Popen[bytes]) -> Exception:
    """What the end of a child means: it ends with a status of its own only when it could not start.

    Its CPU time is counted for each file, so that what it read before is no excuse.
    """
    status = child.wait(timeout=10)
    if status > 0:
        return RuntimeError("The parser's process does not start: is the program installed whole?")
    if status == -signal.SIGXCPU:
        return TookTooLong(_TOO_MUCH)
    return _DiedError()


def _environment() -> dict[str, str]:
    """Where to import from, and nothing else: a parser of hostile files has no use for keys."""
    places = os.pathsep.join(str(Path(place).absolute()) for place in sys.path)
    return {"PYTHONPATH": places, "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
