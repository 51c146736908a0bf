"""Whether another program is still writing a file of this machine.

Linux tells whether a file is open for writing, by the owner of the file or root. Elsewhere, and on network file
systems, nothing tells: there a file counts as whole once it was the same for a while.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

from shared.buckets import ObjectInfo, Stability

QUIET = 2.0
"""Seconds without a change after which a file is whole that nobody is known to write."""
QUIET_OPEN = 10.0
"""The same for one that is still open for writing."""
LONGEST = 60.0
"""Seconds after which a file that never rests, such as a log, is taken as it is."""
AGAIN = 5.0
"""Seconds within which another change means that more may follow."""
OLD = 60.0
"""Seconds after which a change is long ago: more than the clocks of this machine and a file server differ by."""
REMEMBERED = 20_000


@dataclass(slots=True)
class _Change:
    """The last change of a file that was seen, and since when it waits to be taken (seconds of the monotonic clock)."""

    generation: str
    seen: float
    waiting: float
    again: bool
    """It followed another change closely."""
    taken: bool = False


class Changes:
    """The changes of files as this process saw them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: LRUCache[str, _Change] = LRUCache(REMEMBERED)
        self._ours: LRUCache[str, str] = LRUCache(REMEMBERED)

    def wrote(self, info: ObjectInfo) -> None:
        """Note what this process wrote itself, at once and whole."""
        self._ours[info.name] = info.generation

    def ours(self, info: ObjectInfo) -> bool:
        """Whether this process wrote what was seen."""
        return self._ours.get(info.name) == info.generation

    def judge(self, info: ObjectInfo, *, age: float, open_: bool | None) -> Stability:
        """Whether a file may be taken as it was just seen.

        It changed `age` seconds ago by the clock of its file system; `open_` says whether it is open for writing, None
        where nothing tells.
        """
        if age > OLD and not open_:
            return Stability.STABLE
        now, last = self._clock(), self._last.get(info.name)
        if last is None or last.generation != info.generation:
            again = last is not None and now - last.seen < AGAIN
            waiting = now if last is None or last.taken or not again else last.waiting
            last = self._last[info.name] = _Change(info.generation, now, waiting, again)
        if now - last.seen >= (QUIET_OPEN if open_ else QUIET) or (age > OLD and not last.again):
            last.taken = True
            return Stability.STABLE
        if (open_ is False and not last.again) or now - last.waiting >= LONGEST:
            last.taken = True
            return Stability.RECENT
        return Stability.CHANGING


def open_elsewhere(fd: int) -> bool | None:
    """Whether the file of a descriptor (opened for reading) is open for writing anywhere; None where nothing tells.

    Only where it is not does Linux give a read lease (fcntl(2), "Leases"), which is given back at once.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # ignored by default, where SIGIO would end the process
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
