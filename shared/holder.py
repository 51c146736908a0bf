"""Who holds a lease, and whether a holder of this machine has died, so that nobody waits for its lease to expire.

Taking a lease from a holder that lives after all is safe, only wasteful: it is what happens when a lease expires.
"""

from __future__ import annotations

import os
import secrets
import socket
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


@cache
def this_process() -> str:
    """A name for this process that no other has had: its machine, its process id, and when it started."""
    pid = os.getpid()
    return f"{_machine()}/{pid}/{_started(pid) or secrets.token_hex(4)}"


def is_gone(holder: str) -> bool:
    """Whether `holder` was a process of this machine and is no more; False where that cannot be known."""
    machine, _, process = holder.partition("/")
    pid, _, started = process.partition("/")
    if machine != _machine() or not pid.isdecimal() or not _PROC.joinpath("self").exists():
        return False
    return _started(int(pid)) != started


@cache
def _machine() -> str:
    """This host since it booted, and the process ids that this process sees: containers have their own."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()[:8]
        processes = (_PROC / "self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        boot = processes = "unknown"
    return f"{socket.gethostname()}-{boot}-{processes}"


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since the boot (proc(5): field 22 of stat); None where there is none."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
