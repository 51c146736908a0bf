"""The directory watch: what a bucket's notifications do for the functions, for a folder of this machine."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from watchfiles import Change, awatch

from flamehaven.pump import Pump
from shared.buckets.directory import DirectoryBucket
from shared.failures import DependencyFailure
from shared.names import described_by, is_document

log = logging.getLogger(__name__)

QUIET_MS = 50
"""Milliseconds without a change after which a burst of changes is reported."""
BURST_MS = 1000
"""Milliseconds after which a burst is reported even while it goes on."""
RESTART_DELAY = 2.0
"""Seconds before a watch that ended begins anew."""


class DirectoryWatch:
    """Tells the pump of every file of the folder that changes."""

    def __init__(self, bucket: DirectoryBucket, pump: Pump) -> None:
        self._root = bucket.root
        self._bucket = bucket
        self._pump = pump
        self._seen: set[str] = set()

    async def run(self) -> None:
        """Watch until cancelled."""
        polling = False
        await self._note_names()
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
        for name in await self._note_names():
            await self._pump.add(name)

    async def _note_names(self) -> set[str]:
        try:
            names = {info.name async for info in self._bucket.list() if is_document(info.name)}
        except DependencyFailure:
            return set()  # the folder is not there: the watch says so when it begins
        self._seen |= names
        return names

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
