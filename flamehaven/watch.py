"""The directory watch: what a bucket's notifications do for the functions, for a folder of this machine."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from watchfiles import Change, awatch

from flamehaven.pump import Pump
from shared.buckets.directory import DirectoryBucket
from shared.buckets.documents import documents_of
from shared.failures import DependencyFailure
from shared.names import described_by, is_document, normal, not_a_document
from shared.settings import WatchMode

log = logging.getLogger(__name__)

QUIET_MS = 50
"""Milliseconds without a change after which a burst of changes is reported."""
BURST_MS = 1000
"""Milliseconds after which a burst is reported even while it goes on."""
RESTART_DELAY = 2.0
"""Seconds before a watch that ended begins anew."""
POLLING = {"auto": None, "events": False, "polling": True}
"""What `WATCH_MODE` asks of watchfiles; None leaves it to watchfiles, and its variable `WATCHFILES_FORCE_POLLING`."""


class DirectoryWatch:
    """Tells the pump of every file of the folder that changes."""

    def __init__(self, bucket: DirectoryBucket, pump: Pump, mode: WatchMode = "auto") -> None:
        self._root = bucket.root
        self._polling: bool | None = POLLING[mode]
        self._bucket = bucket
        self._pump = pump
        self._seen: set[str] = set()

    async def run(self) -> None:
        """Watch until cancelled."""
        await self._note_names()
        while True:
            await self._root_there()
            try:
                await self._follow()
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("The folder cannot be watched (%s); it is polled instead.", error)
                self._polling = True
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

    async def _follow(self) -> None:
        """Pass changes on for as long as the folder is there."""
        root = await asyncio.to_thread(self._root.resolve)  # as which it is in what some systems report
        async for changes in awatch(
            root,
            watch_filter=None,
            step=QUIET_MS,
            debounce=BURST_MS,
            force_polling=self._polling,
            ignore_permission_denied=True,
        ):
            names = set()
            for change, path in sorted(changes):
                if Path(path) == root and change is Change.deleted:
                    return
                names |= await self._changed(change, Path(path).relative_to(root).as_posix())
            for name in names | set(await self._bucket.links(names)):
                self._seen.add(name)
                await self._pump.add(name)

    async def _look_at_everything(self) -> None:
        """See to what may have changed while nobody watched."""
        for name in await self._note_names():
            await self._pump.add(name)

    async def _note_names(self) -> set[str]:
        try:
            names = {info.name async for info in documents_of(self._bucket)}
        except DependencyFailure:
            return set()  # the folder is not there: the watch says so when it begins
        self._seen |= names
        return names

    async def _changed(self, change: Change, path: str) -> set[str]:
        """The documents that a change of this path concerns.

        A folder that came or went stands for everything in it: its files may not be reported one by one.
        """
        name = described_by(path)
        if not_a_document(name):
            return set()
        if change is Change.deleted:
            gone = normal(name)
            seen = {seen for seen in self._seen if normal(seen) == gone or normal(seen).startswith(f"{gone}/")}
            return {name} | seen if is_document(name) else seen
        name = await self._bucket.find(name)
        if await asyncio.to_thread(_is_folder, self._root / name):
            return {info.name async for info in documents_of(self._bucket, prefix=f"{name}/")}
        return {name} if is_document(name) else set()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
