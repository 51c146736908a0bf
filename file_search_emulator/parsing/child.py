"""The process that `LimitedParser` starts: JSON requests with open files on stdin, JSON lines of sections on stdout.

stdin is a socket, by which the files come: this process can open none itself.

Run as `python -P -m file_search_emulator.parsing.child MEMORY_BYTES CPU_SECONDS NICENESS`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

from file_search_emulator.parsing import ParseError, parse, sandbox
from file_search_emulator.parsing.section import pieces

_LONGEST = 1 << 18
"""Characters of one reply: the parent holds few of them at once, however long the file."""
_RECEIVED_AT_ONCE = 1 << 16
_LOOK_EVERY = 0.5  # seconds: how often to look whether the parent still lives, and how much memory is in use
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in one unit of `ru_maxrss` (getrusage(2) of each system)."""


def main(memory_bytes: int, cpu_seconds: int, niceness: int) -> None:
    """Answer requests until stdin ends or the parent is gone."""
    os.nice(niceness)
    requests, replies = _private_streams()
    signal.signal(
        signal.SIGTERM, signal.SIG_IGN
    )  # a stopping service must not fail the file being read: the parent ends us
    most_memory = None if sandbox.limit(memory_bytes) else _peak_memory() + memory_bytes
    files_left = sandbox.leave_files()
    threading.Thread(target=_watch, args=(os.getppid(), most_memory), daemon=True).start()
    if missing := [name for name, left in (("Landlock", files_left), ("seccomp", sandbox.leave_calls())) if not left]:
        replies.write(json.dumps({"missing": missing}) + "\n")
    for request, file in _received(requests):
        used = resource.getrusage(resource.RUSAGE_SELF)
        sandbox.limit_cpu(int(used.ru_utime + used.ru_stime) + 1 + cpu_seconds)
        try:
            with file:
                for reply in _reply(request, file):
                    replies.write(json.dumps(reply, ensure_ascii=False) + "\n")
            replies.flush()
        except MemoryError:
            os.abort()  # as a library would


def _received(requests: socket.socket) -> Iterator[tuple[dict[str, str], BinaryIO]]:
    """Each request and the file that came with it, until the parent closes its end."""
    while True:
        line, files, _, _ = socket.recv_fds(requests, _RECEIVED_AT_ONCE, 1)
        while line and not line.endswith(b"\n"):
            more = requests.recv(_RECEIVED_AT_ONCE)
            line = line + more if more else b""
        if not line:
            return
        yield json.loads(line), os.fdopen(files[0], "rb")


def _reply(request: dict[str, str], file: BinaryIO) -> Iterator[dict[str, Any]]:
    try:
        for section in parse(file, request["mime_type"], request["name"]):
            for piece in pieces(section, _LONGEST):
                yield {"text": piece.text, "page": piece.page, "heading": piece.heading}
        yield {"end": True}
    except ParseError as error:
        yield {"refused": str(error)}
    except (ImportError, OSError) as error:
        yield {"failed": f"{type(error).__name__}: {error}"}


def _private_streams() -> tuple[socket.socket, TextIO]:
    """Both streams under other descriptors, so that nothing a library prints gets between the replies."""
    requests = socket.socket(fileno=os.dup(0))
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace", newline="\n")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    return requests, replies


def _peak_memory() -> int:
    """The most memory that this process has used, in bytes. On Linux it starts at what its parent used (execve(2))."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


def _watch(parent: int, most_memory: int | None) -> None:
    """End this process when its parent is gone, or when its peak memory is over `most_memory` (None: not checked)."""
    while os.getppid() == parent:
        if most_memory is not None and _peak_memory() > most_memory:
            os.abort()  # as a library would that gets no more
        time.sleep(_LOOK_EVERY)
    os._exit(1)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
