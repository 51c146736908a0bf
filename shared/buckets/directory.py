"""A folder of this machine as a bucket.

Other programs write into the folder too, so nothing here trusts what a path was a moment ago: every step opens relative
to the folder before it and follows no symbolic link.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import secrets
import stat as st
import time
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from shared.buckets import (
    ABSENT,
    InvalidObjectName,
    MetadataValue,
    ObjectInfo,
    ObjectNotFound,
    PreconditionFailed,
    Stability,
    Unreadable,
)
from shared.buckets.metadata_file import MAX_BYTES, parse_metadata
from shared.buckets.writers import Changes, open_elsewhere
from shared.failures import Misconfigured, Transient
from shared.names import METADATA_SUFFIX, name_problem, normal, spellings

log = logging.getLogger(__name__)

READ_SIZE = 1 << 20
CLOCK_TICK = 0.02
"""Seconds within which two writes may carry the same timestamp: Linux stamps files at its timer's pace, 1 to 10 ms."""
STALE_UPLOAD = 3600
"""Seconds after which a temporary file was left by a process that died."""
LINK = "It is a link, and links are not followed: they could lead out of the folder. Put the file itself here."
MOST_PLACES = 16
"""Folders of one name, in different Unicode forms, that are looked into."""
SPECIAL = "It is a pipe, a socket or a device. Put a file here."


class DirectoryBucket:
    """Objects are the files below `root`; a name is the path relative to it.

    Links and special files are objects that cannot be read.

    The metadata of the object `NAME` is what the file `NAME.metadata.json` beside it says.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._changes = Changes()
        self._closed: set[str] = set()
        """Folders that could not be entered when they were listed."""

    async def make(self) -> None:
        """Make the folder where it is missing. Nothing else does: a missing folder may be one that is not mounted."""
        await asyncio.to_thread(self.root.mkdir, parents=True, exist_ok=True)

    async def stat(self, name: str) -> ObjectInfo | None:
        """The file as it is now; a file written within the last clock tick is looked at again once the tick is over,

        so that any later write changes its generation.
        """
        info, age = await asyncio.to_thread(self._stat, name)
        if info is not None and 0 <= age < CLOCK_TICK:
            await asyncio.sleep(CLOCK_TICK - age)
            info, _ = await asyncio.to_thread(self._stat, name)
        return info

    def _stat(self, name: str) -> tuple[ObjectInfo | None, float]:
        try:
            with self._parent(name) as (folder, leaf):
                status = os.stat(leaf, dir_fd=folder, follow_symlinks=False)
                if not st.S_ISDIR(status.st_mode):
                    return _info(name, status, *_metadata(folder, leaf)), time.time() - status.st_ctime
        except ObjectNotFound:
            pass
        return None, 0.0

    @asynccontextmanager
    async def open(self, name: str, generation: str | None = None) -> AsyncIterator[FileReader]:
        fd = await asyncio.to_thread(self._open_file, name)
        try:
            info = _info(name, os.fstat(fd))
            if generation not in (None, info.generation):
                raise PreconditionFailed(f"{name} has changed")
            yield FileReader(fd, info)
        finally:
            os.close(fd)

    async def put(
        self, name: str, data: bytes | AsyncIterable[bytes], *, if_generation: str | None = None
    ) -> ObjectInfo:
        if problem := name_problem(name):
            raise InvalidObjectName(problem)
        with _translating(name):
            temporary = await asyncio.to_thread(self._new_temporary)
            try:
                with temporary.open("wb", buffering=0) as file:
                    async for chunk in _chunks(data):
                        await asyncio.to_thread(file.write, chunk)
                    await asyncio.to_thread(os.fsync, file.fileno())
                    return await asyncio.to_thread(self._place, file.fileno(), temporary, name, if_generation)
            except ObjectNotFound as error:
                raise InvalidObjectName("A file stands where this name needs a folder.") from error
            finally:
                temporary.unlink(missing_ok=True)

    async def delete(self, name: str, *, if_generation: str | None = None) -> bool:
        return await asyncio.to_thread(self._delete, name, if_generation)

    async def find(self, name: str) -> str:
        return name if name.isascii() or name_problem(name) else await asyncio.to_thread(self._find, name)

    async def stability(self, info: ObjectInfo) -> Stability:
        """Whether another program may still be writing the file; what this bucket wrote is whole at once."""
        if info.problem or self._changes.ours(info):
            return Stability.STABLE
        try:
            age, open_ = await asyncio.to_thread(self._writers, info)
        except (ObjectNotFound, Unreadable):
            return Stability.STABLE  # there is nothing to wait for
        return self._changes.judge(info, age=age, open_=open_)

    async def links(self, names: Collection[str]) -> list[str]:
        """The other names of the files that have any of these names (hard links)."""
        return await asyncio.to_thread(self._links, names)

    def locate(self, bucket: str, key: str) -> str | None:
        """The key: a folder has no name that events could give, and is the only bucket that they can mean."""
        return key

    async def closed_folders(self) -> list[str]:
        """The folders that this process may not enter: those of stores as they are now, deeper ones as last listed."""
        return await asyncio.to_thread(self._closed_now)

    async def aclose(self) -> None:
        """Nothing is kept open."""

    # What follows blocks, and runs in threads.

    def _find(self, name: str) -> str:
        """The exact name, folder by folder; the same folder may be there in several forms."""
        segments, places = name.split("/"), [""]
        for depth, segment in enumerate(segments):
            further = [f"{place}{form}/" for place in places for form in _forms(self.root / place, segment)]
            if not further:
                return places[0] + normal("/".join(segments[depth:]))
            places = further[:MOST_PLACES]
        return places[0].removesuffix("/")

    def _writers(self, info: ObjectInfo) -> tuple[float, bool | None]:
        """How many seconds ago the file changed, and whether it is open for writing; None where nothing tells."""
        fd = self._open_file(info.name)
        try:
            status = os.fstat(fd)
            return time.time() - max(status.st_mtime, status.st_ctime), open_elsewhere(fd)
        finally:
            os.close(fd)

    def _links(self, names: Collection[str]) -> list[str]:
        files = set()
        for name in names:
            with contextlib.suppress(OSError):
                status = (self.root / name).lstat()
                if st.S_ISREG(status.st_mode) and status.st_nlink > 1:
                    files.add(_inode(_generation(status)))
        if not files:
            return []
        return [info.name for info in self._walk("") if _inode(info.generation) in files and info.name not in names]

    @contextmanager
    def _parent(self, name: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """The open folder that holds `name`, and its last segment."""
        if name_problem(name):
            raise ObjectNotFound(name)
        *folders, leaf = name.split("/")
        fd = -1
        with _translating(name):
            try:
                fd = self._open_root()
                for folder in folders:
                    if create:
                        with contextlib.suppress(FileExistsError):
                            os.mkdir(folder, dir_fd=fd)
                    outer, fd = fd, _open_folder(folder, fd)
                    os.close(outer)
                yield fd, leaf
            finally:
                if fd >= 0:
                    os.close(fd)

    def _open_root(self) -> int:
        """The open folder of the bucket. That it is missing must not read as if every object had been deleted."""
        try:
            return os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Misconfigured(f"The folder {self.root} is not there.") from error

    def _open_file(self, name: str) -> int:
        with self._parent(name) as (folder, leaf):
            try:
                fd = os.open(leaf, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            except PermissionError as error:
                raise Unreadable("The server may not read this file: give it the right to.") from error
        if not st.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise ObjectNotFound(name)
        return fd

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock that every conditional change of this bucket takes, in every process."""
        with (self.root / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _new_temporary(self) -> Path:
        os.close(self._open_root())
        folder = self.root / ".tmp"
        folder.mkdir(exist_ok=True)
        for left in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process may clean up too
                if time.time() - left.stat().st_mtime > STALE_UPLOAD:
                    left.unlink()
        return folder / secrets.token_hex(8)

    def _place(self, fd: int, temporary: Path, name: str, if_generation: str | None) -> ObjectInfo:
        with self._parent(name, create=True) as (folder, leaf), self._locked():
            current = self._current(folder, leaf)
            self._check(name, current, if_generation)
            after = 0 if current is None else current.st_mtime_ns + 1
            modified = max(time.time_ns(), after)
            os.utime(fd, ns=(modified, modified))
            os.rename(temporary, leaf, dst_dir_fd=folder)
            os.fsync(folder)
            info = _info(name, os.fstat(fd), *_metadata(folder, leaf))
            self._changes.wrote(info)
            return info

    def _delete(self, name: str, if_generation: str | None) -> bool:
        try:
            with self._parent(name) as (folder, leaf), self._locked():
                current = self._current(folder, leaf)
                self._check(name, current, if_generation)
                if current is None:
                    return False
                os.unlink(leaf, dir_fd=folder)
                return True
        except ObjectNotFound:
            return False

    def _current(self, folder: int, leaf: str) -> os.stat_result | None:
        try:
            status = os.stat(leaf, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return None if st.S_ISDIR(status.st_mode) else status

    def _check(self, name: str, current: os.stat_result | None, if_generation: str | None) -> None:
        generation = ABSENT if current is None else _generation(current)
        if if_generation not in (None, generation):
            raise PreconditionFailed(f"{name} has changed")

    def _walk(self, prefix: str) -> list[ObjectInfo]:
        os.close(self._open_root())
        found: list[ObjectInfo] = []
        folders = [""]
        while folders:
            inside = folders.pop()
            with self._entries(inside) as entries:
                for leaf, entry in entries.items():
                    name = inside + leaf
                    if leaf.startswith("."):
                        continue
                    if problem := name_problem(name):
                        _warn_once("The file %a was passed over: %s", name, problem)
                    elif entry.is_dir(follow_symlinks=False):
                        if name.startswith(prefix) or prefix.startswith(name + "/"):
                            folders.append(name + "/")
                    elif name.startswith(prefix):
                        described = not entries.keys().isdisjoint(_described_in(leaf))
                        found += self._listed(name, entry, described=described)
        return sorted(found, key=lambda info: info.name)

    @contextmanager
    def _entries(self, folder: str) -> Iterator[dict[str, os.DirEntry[str]]]:
        """What is in a folder, which stays open meanwhile, so that nothing else can take its place."""
        with contextlib.ExitStack() as stack:
            yield self._scanned(folder, stack)

    def _scanned(self, folder: str, stack: contextlib.ExitStack) -> dict[str, os.DirEntry[str]]:
        try:
            fd, _ = stack.enter_context(self._parent(f"{folder}any"))
            with os.scandir(fd) as entries:
                return {entry.name: entry for entry in entries}
        except ObjectNotFound:
            return {}
        except (PermissionError, Transient) as error:
            if isinstance(error, Transient) and not isinstance(error.__cause__, PermissionError):
                raise
            self._closed.add(folder)
            _warn_once("The folder %a was passed over: %s", folder, "this server may not read it")
            return {}

    def _closed_now(self) -> list[str]:
        found = {name.rstrip("/") for name in list(self._closed)}
        with contextlib.suppress(OSError), os.scandir(self.root) as entries:
            found |= {entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name[0] != "."}
        return sorted(name for name in found if not os.access(self.root / name, os.R_OK | os.X_OK))

    def _listed(self, name: str, entry: os.DirEntry[str], *, described: bool) -> list[ObjectInfo]:
        """The object, unless it has gone in the meantime."""
        if described:
            info, _ = self._stat(name)
            return [info] if info else []
        try:
            return [_info(name, entry.stat(follow_symlinks=False))]
        except FileNotFoundError:
            return []

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        for info in await asyncio.to_thread(self._walk, prefix):
            yield info


class FileReader:
    """An open file; reading it to the end checks that nobody wrote to it meanwhile."""

    def __init__(self, fd: int, info: ObjectInfo) -> None:
        self._fd = fd
        self._info = info
        self.generation = info.generation

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._info.size  # and no more, even of a file that grows as fast as it is read
        while left and (chunk := await asyncio.to_thread(os.read, self._fd, min(left, READ_SIZE))):
            left -= len(chunk)
            yield chunk
        if _generation(os.fstat(self._fd)) != self.generation:
            raise PreconditionFailed(f"{self._info.name} changed while it was read")


def _forms(folder: Path, segment: str) -> list[str]:
    """The entries of a folder that are called so in any Unicode form, the exact one first."""
    if segment.isascii():
        return [segment] if os.path.lexists(folder / segment) else []
    try:
        entries = [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
    same = [entry for entry in entries if normal(entry) == normal(segment)]
    return sorted(same, key=lambda entry: (entry != segment, entry))


def _described_in(leaf: str) -> list[str]:
    """The names that the metadata file of a file may have, in the Unicode forms that are in use."""
    return [f"{spelling}{METADATA_SUFFIX}" for spelling in ([leaf] if leaf.isascii() else spellings(leaf))]


def _open_folder(folder: str, inside: int) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=inside)
    except PermissionError as error:  # what is in it stays as it was, and everything else goes on
        raise Transient(f"The server may not enter the folder {folder!r}: give it the right to.") from error


@lru_cache(maxsize=1000)
def _warn_once(message: str, name: str, problem: str) -> None:
    """Folders are listed again and again; what is passed over is said once."""
    log.warning(message, name, problem)


def _metadata(folder: int, leaf: str) -> tuple[dict[str, MetadataValue], tuple[str, ...]]:
    """What the metadata file of the file `leaf` says, and what of it is none; nothing where there is no such file."""
    for name in _described_in(leaf):
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except PermissionError:
            return {}, ("The metadata file may not be read by this server.",)
        except OSError:  # there is none, or it is a link, or its name would be too long
            continue
        try:
            if st.S_ISREG(os.fstat(fd).st_mode):
                return parse_metadata(os.read(fd, MAX_BYTES + 1))
        finally:
            os.close(fd)
    return {}, ()


def _generation(status: os.stat_result) -> str:
    """Time of content, time of inode, inode and size: a copy that keeps times still changes one of them."""
    return f"{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_ino:x}-{status.st_size:x}"


def _inode(generation: str) -> str:
    return generation.rsplit("-", 2)[1]


def _info(
    name: str,
    status: os.stat_result,
    metadata: Mapping[str, MetadataValue] | None = None,
    notes: tuple[str, ...] = (),
) -> ObjectInfo:
    return ObjectInfo(
        name=name,
        generation=_generation(status),
        size=status.st_size,
        updated=datetime.fromtimestamp(status.st_mtime, UTC),
        metadata=metadata or {},
        metadata_notes=notes,
        problem=None if st.S_ISREG(status.st_mode) else LINK if st.S_ISLNK(status.st_mode) else SPECIAL,
    )


async def _chunks(data: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(data, bytes):
        yield data
    else:
        async for chunk in data:
            yield chunk


@contextmanager
def _translating(name: str) -> Iterator[None]:
    """Say what an error of the file system means for a bucket."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            raise ObjectNotFound(name) from error
        if error.errno in (errno.ENAMETOOLONG, errno.EISDIR):
            raise InvalidObjectName(f"The folder cannot hold a file of that name: {error.strerror}.") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
            raise Misconfigured(f"The folder of this bucket refuses: {error.strerror}.") from error
        raise Transient(f"The folder of this bucket failed: {error.strerror}.") from error
