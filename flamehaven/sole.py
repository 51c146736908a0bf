"""Work that one process of a machine does for all."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

RETRY = 5.0
"""Seconds after which a process that is not the one asks again whether it should be."""


@asynccontextmanager
async def sole(lock: Path) -> AsyncIterator[None]:
    """Wait until no other process is in here; the system lets go of the lock when its process dies."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(RETRY)
        yield
