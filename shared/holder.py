"""Who holds a lease, and whether a holder of this machine is gone, so that nobody waits for its lease to expire.

A lease outlives its holder when the process died, and when it could not be given back: the disk was full, say.

Taking a lease from a holder that lives after all is safe, only wasteful: it is what happens when a lease expires.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


_holding: set[str] = set()


@contextmanager
def holding() -> Iterator[str]:
    """A name to hold leases under: no other has had it, and it is gone when the block ends or this process dies."""
    holder = f"{_this_process()}/{secrets.token_hex(4)}"
    _holding.add(holder)
    try:
        yield holder
    finally:
        _holding.discard(holder)


def is_gone(holder: str) -> bool:
    """Whether `holder` was of this machine and holds nothing any more; False where that cannot be known."""
    process, _, _ = holder.rpartition("/")
    if process == _this_process():
        return holder not in _holding
    machine, _, rest = process.partition("/")
    pid, _, started = rest.partition("/")
    if machine != _machine() or not pid.isdecimal():
        return False
    if not _PROC.joinpath("self").exists():
        return not _exists(int(pid))
    return _started(int(pid)) != started


@cache
def _this_process() -> str:
    """A name for this process: its machine, its process id, and when it started."""
    pid = os.getpid()
    return f"{_machine()}/{pid}/{_started(pid) or secrets.token_hex(4)}"


@cache
def _machine() -> str:
    """This host since it booted, and the process ids that this process sees: containers have their own."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()[:8]
        processes = (_PROC / "self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        boot = processes = "unknown"
    return f"{socket.gethostname()}-{boot}-{processes}"


def _exists(pid: int) -> bool:
    """Whether there is a process of this id (kill(2) with signal 0), for systems without /proc.

    It may be another by now; its lease is then waited for.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since the boot (proc(5): field 22 of stat); None where there is none."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
