"""The process that `LimitedParser` starts: one JSON request a line on stdin, JSON lines of sections on stdout.

Run as `python -P -m file_search_emulator.parsing.child MEMORY_BYTES CPU_SECONDS NICENESS`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from file_search_emulator.parsing import ParseError, parse
from file_search_emulator.parsing.section import pieces

_LONGEST = 1 << 18
"""Characters of one reply: the parent holds few of them at once, however long the file."""
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
    limited = _limit(resource.RLIMIT_AS, memory_bytes)
    watched = None if limited else memory_bytes
    threading.Thread(target=_watch, args=(os.getppid(), watched), daemon=True).start()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    for line in requests:
        used = resource.getrusage(resource.RUSAGE_SELF)
        _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + cpu_seconds)
        try:
            for reply in _reply(json.loads(line)):
                replies.write(json.dumps(reply, ensure_ascii=False) + "\n")
            replies.flush()
        except MemoryError:
            os.abort()  # as a library would


def _reply(request: dict[str, str]) -> Iterator[dict[str, Any]]:
    try:
        for section in parse(Path(request["path"]), request["mime_type"], request["name"]):
            for piece in pieces(section, _LONGEST):
                yield {"text": piece.text, "page": piece.page, "heading": piece.heading}
        yield {"end": True}
    except ParseError as error:
        yield {"refused": str(error)}
    except (ImportError, OSError) as error:
        yield {"failed": f"{type(error).__name__}: {error}"}


def _private_streams() -> tuple[TextIO, TextIO]:
    """The two pipes under other descriptors, so that nothing a library prints gets between the replies."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace", newline="\n")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    return requests, replies


def _limit(kind: int, value: int) -> bool:
    """Limit what this process may use; False where the system refuses, as macOS does for memory."""
    hard = resource.getrlimit(kind)[1]
    try:
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    except (ValueError, OSError):
        return False
    return True


def _watch(parent: int, memory_bytes: int | None) -> None:
    """End this process when its parent is gone, or when it has used more memory than it may (None: not looked at)."""
    while os.getppid() == parent:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
        if memory_bytes is not None and used > memory_bytes:
            os.abort()  # as a library would that gets no more
        time.sleep(_LOOK_EVERY)
    os._exit(1)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
