"""The directory watch: what a bucket's notifications do for the functions, for a folder of this machine."""

from __future__ import annotations

import asyncio
import fcntl
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from watchfiles import Change, awatch

from flamehaven.pump import Pump
from functions.ingest.sweep import Report
from shared.buckets.directory import DirectoryBucket
from shared.failures import DependencyFailure
from shared.names import described_by, is_document

log = logging.getLogger(__name__)

QUIET_MS = 50
"""Milliseconds without a change after which a burst of changes is reported."""
BURST_MS = 1000
"""Milliseconds after which a burst is reported even while it goes on."""
SWEEP_EVERY = 600.0
"""Seconds between sweeps."""
RESTART_DELAY = 2.0
"""Seconds before a watch that ended begins anew."""
SOLE_RETRY = 5.0
"""Seconds after which a process that is not the one that watches asks again whether it should be."""


class DirectoryWatch:
    """Tells the pump of every file of the folder that changes, and sweeps at the start and now and then."""

    def __init__(
        self, bucket: DirectoryBucket, pump: Pump, sweep: Callable[[], Awaitable[Report]], *, lock: Path
    ) -> None:
        self._root = bucket.root
        self._bucket = bucket
        self._lock = lock
        self._pump = pump
        self._sweep = sweep
        self._seen: set[str] = set()

    async def run(self) -> None:
        """Watch until cancelled; of several processes with one lock, one does."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        async with _sole(self._lock), asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._sweep_now_and_then())

    async def _watch(self) -> None:
        polling = False
        while True:
            await self._root_there()
            try:
                await self._follow(polling=polling)
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("The folder cannot be watched (%s); it is polled instead.", error)
                polling = True
            except Exception as error:  # watchfiles ends at a name that is not UTF-8, for one
                cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
                log.warning("The watch of the folder begins anew: %s", cause)
            await asyncio.sleep(RESTART_DELAY)
            await self._look_at_everything()

    async def _root_there(self) -> None:
        """Wait until the folder is there: while it is not, its documents stay as they were."""
        if await asyncio.to_thread(self._root.is_dir):
            return
        log.error("The documents folder %s is not there: mount or make it", self._root)
        while not await asyncio.to_thread(self._root.is_dir):  # noqa: ASYNC110 - nothing tells of a mount
            await asyncio.sleep(RESTART_DELAY)
        log.info("The documents folder %s is there again", self._root)

    async def _follow(self, *, polling: bool) -> None:
        """Pass changes on for as long as the folder is there."""
        async for changes in awatch(
            self._root,
            watch_filter=None,
            step=QUIET_MS,
            debounce=BURST_MS,
            force_polling=polling,
            ignore_permission_denied=True,
        ):
            for change, path in sorted(changes):
                if Path(path) == self._root and change is Change.deleted:
                    return
                await self._changed(change, Path(path))

    async def _look_at_everything(self) -> None:
        """See to what may have changed while nobody watched."""
        try:
            names = {info.name async for info in self._bucket.list() if is_document(info.name)}
        except DependencyFailure:
            return  # the folder is not there: the watch says so when it begins again
        self._seen |= names
        for name in names:
            await self._pump.add(name)

    async def _changed(self, change: Change, path: Path) -> None:
        """A folder that came or went stands for everything in it: its files may not be reported one by one."""
        name = described_by(path.relative_to(self._root).as_posix())
        if not is_document(name):
            return
        names = [name]
        if change is Change.deleted:
            names += [seen for seen in self._seen if seen.startswith(name + "/")]
        elif await asyncio.to_thread(path.is_dir):
            names = [described_by(info.name) async for info in self._bucket.list(name + "/")]
        for each in filter(is_document, names):
            self._seen.add(each)
            await self._pump.add(each)

    async def _sweep_now_and_then(self) -> None:
        while True:
            try:
                self._seen |= {info.name async for info in self._bucket.list()}
                for name in (await self._sweep()).unsettled:
                    await self._pump.add(name)
            except DependencyFailure as error:
                log.warning("The sweep did not finish: %s", error)
            except Exception:
                log.exception("The sweep failed")
            await asyncio.sleep(SWEEP_EVERY)


@asynccontextmanager
async def _sole(lock: Path) -> AsyncIterator[None]:
    """Wait until no other process is in here; the system lets go of the lock when its process dies."""
    with lock.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(SOLE_RETRY)
        yield
