"""Files from strangers are read in a child process that may die of them.

A plain child with two pipes, and not multiprocessing: that would import the parent's `__main__` again, which starts a
second server where the parent is a script without a main guard.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from file_search_emulator.parsing.section import ParseError, Section, TookTooLong

_CHILD = "file_search_emulator.parsing.child"
_FILES_PER_CHILD = 200
_TOO_MUCH = (
    "The file could not be read: it is damaged, or needs more memory or time than any file is given."
    " Open it, save it again, and upload the copy; split it if it is very large."
)


class LimitedParser:
    """`parse` in a child process with limits, kept warm from file to file; safe to call from several threads.

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
        self._files = 0

    def sections(self, path: Path, mime_type: str, name: str = "") -> Generator[Section, None, None]:
        """The text of a file as sections, one after the other as they are read; see `parsing.parse`.

        Long sections come in pieces. The parser serves nobody else before the last section, or before this is closed.
        Raises ParseError when the file is at fault (TookTooLong when it needs more time than it is given), and
        RuntimeError when the parser is: it cannot start, a library is missing, or it died of what it had read before,
        and should be asked again.
        """
        request = json.dumps({"path": str(Path(path).absolute()), "mime_type": mime_type, "name": name})
        with self._lock:
            try:
                yield from self._read(request.encode() + b"\n")
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

    def _read(self, request: bytes) -> Iterator[Section]:
        """Ask the child; when one that served before dies at once, ask a fresh one, for it may have died of those."""
        begun = False
        for last_try in (False, True):
            try:
                for section in self._ask(request):
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

    def _ask(self, request: bytes) -> Iterator[Section]:
        child = self._running()
        assert child.stdin is not None
        try:
            child.stdin.write(request)
            child.stdin.flush()
        except BrokenPipeError:
            raise _died(child) from None
        for line in self._lines(child):
            reply = json.loads(line)
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
            self._child = subprocess.Popen(  # noqa: S603 (our own module, with numbers for arguments)
                [sys.executable, "-P", "-m", _CHILD, *self._limits],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the parent
            )
        self._files += 1
        return self._child

    def _stop(self) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            child.kill()
            with contextlib.suppress(BrokenPipeError), child:  # closes the pipes, with what was never read, and waits
                pass
        self._files = 0


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
