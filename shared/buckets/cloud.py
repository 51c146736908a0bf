"""What the buckets of Cloud Storage and S3 have in common: names below a prefix, blocking clients in threads, metadata.

The clients of both are synchronous. Their calls run in threads of the bucket's own, of which there is a fixed number.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO, UnsupportedOperation
from typing import IO, Protocol, TypeVar

from shared.buckets import (
    InvalidObjectName,
    MetadataValue,
    ObjectInfo,
    ObjectNotFound,
    PreconditionFailed,
    Stability,
    Unreadable,
)
from shared.buckets.metadata_file import MAX_BYTES, normalized, parse_metadata
from shared.encodings import UnknownEncoding
from shared.failures import Misconfigured, Transient
from shared.names import EMPTY_SEGMENTS, MAX_NAME_BYTES, METADATA_SUFFIX, described_by, name_problem, normal, spellings

T = TypeVar("T")
Page = tuple[list[ObjectInfo], str | None]
"""What a listing gives at once, and the token of the next page."""

THREADS = 32
"""Calls that one bucket has under way at once."""
PART = 1 << 20
"""Bytes that are handed on at once while an object is read."""
WAITING_PARTS = 2
"""Parts of one object that wait to be taken before the download has to wait."""
SPOOLED = 1 << 20
"""Bytes of an object to be written that are kept in memory; more go to a temporary file."""
CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 60.0
"""Seconds to reach the service, and that it may be silent."""


class Sink(Protocol):
    """Where a download is written to."""

    def write(self, data: bytes, /) -> int: ...


def unknown_encoding(error: UnknownEncoding) -> Unreadable:
    """The refusal of an object whose Content-Encoding is not undone here."""
    return Unreadable(
        f"The object is stored with Content-Encoding {str(error)!r}, which is not understood here. Store it as it is, "
        "or compressed with gzip."
    )


def not_gzip(error: Exception) -> Unreadable:
    """The refusal of an object that says wrongly that it is gzip."""
    return Unreadable(f"The object's Content-Encoding is gzip, and its content is not: {error}. Store it again.")


class CloudBucket(ABC):
    """The objects of a cloud's bucket whose names start with `prefix`, by their names after it.

    An object's metadata is what the cloud keeps with it and what the object `NAME.metadata.json` says, which wins.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self._prefix = prefix
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"bucket-{bucket}")

    async def aclose(self) -> None:
        await self._run(self._close)
        self._threads.shutdown(wait=False)

    def locate(self, bucket: str, key: str) -> str | None:
        if bucket != self.bucket or not key.startswith(self._prefix):
            return None
        return key.removeprefix(self._prefix)

    async def find(self, name: str) -> str:
        if not name.isascii():
            for spelling in spellings(name):
                if not self._problem(spelling) and await self._run(self._head, spelling) is not None:
                    return spelling
        return normal(name)

    async def stability(self, info: ObjectInfo) -> Stability:
        """Stable: an object appears when all of it was written."""
        return Stability.STABLE

    async def closed_folders(self) -> list[str]:
        """None: rights in the cloud are those of the whole bucket."""
        return []

    async def stat(self, name: str) -> ObjectInfo | None:
        if self._problem(name):
            return None
        info, described = await asyncio.gather(self._run(self._head, name), self._description(name))
        if info is None:
            return info
        own = {normal(key): normalized(value) for key, value in info.metadata.items()}
        metadata, notes = described or ({}, ())
        return replace(info, metadata={**own, **metadata}, metadata_notes=notes)

    @asynccontextmanager
    async def open(self, name: str, generation: str | None = None) -> AsyncIterator[CloudReader]:
        if self._problem(name):
            raise ObjectNotFound(name)
        reader = CloudReader(partial(self._read, name, generation), generation, self._threads)
        try:
            yield reader
        finally:
            reader.abandon()

    async def put(
        self, name: str, data: bytes | AsyncIterable[bytes], *, if_generation: str | None = None
    ) -> ObjectInfo:
        if problem := name_problem(name) or self._problem(name):
            raise InvalidObjectName(problem)
        if isinstance(data, bytes):
            return await self._put_bytes(name, data, if_generation)
        with tempfile.SpooledTemporaryFile(max_size=SPOOLED) as file:
            async for part in data:
                await self._run(file.write, part)
            size = file.tell()
            await self._run(file.seek, 0)
            return await self._run(self._upload, name, file, size, if_generation)

    async def delete(self, name: str, *, if_generation: str | None = None) -> bool:
        return not self._problem(name) and await self._run(self._remove, name, if_generation)

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """The objects in the order of their names, page by page; what has a metadata file is not `metadata_known`."""
        waiting: dict[str, ObjectInfo] = {}
        async for info in self._every(prefix):
            described = waiting.get(described_by(info.name))
            if described is not None:
                waiting[described.name] = replace(described, metadata_known=False)
            waiting[info.name] = info
            while (first := next(iter(waiting))) + METADATA_SUFFIX <= info.name:
                yield waiting.pop(first)
        for info in waiting.values():
            yield info

    async def _every(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        token: str | None = None
        last: str | None = None
        while True:
            page, token = await self._run(self._page, prefix, token)
            if last is not None and page and page[0].name <= last:
                raise Transient(f"The listing of bucket {self.bucket!r} does not go on after {last!r}.")
            for info in page:
                yield info
            last = page[-1].name if page else last
            if not token:
                return

    async def _put_bytes(self, name: str, data: bytes, if_generation: str | None) -> ObjectInfo:
        """A write that finds that it was done already succeeded: its first answer was lost, and the client tried again.

        That is safe for records, as no two workers ever write the same: each holds an attempt of its own.
        """
        try:
            return await self._run(self._upload, name, BytesIO(data), len(data), if_generation)
        except PreconditionFailed:
            written, info = BytesIO(), await self._run(self._head, name)
            if info is None:
                raise
            with contextlib.suppress(ObjectNotFound):
                await self._run(self._download, name, info.generation, written)
            if written.getvalue() != data:
                raise
            return info

    async def _description(self, name: str) -> tuple[dict[str, MetadataValue], tuple[str, ...]] | None:
        """What the object's metadata file says; None where there is no such object."""
        metadata_file = name + METADATA_SUFFIX
        if self._problem(metadata_file):
            return None
        content = _Limited(MAX_BYTES + 1)
        try:
            await self._run(self._download, metadata_file, None, content)
        except ObjectNotFound:
            return None
        except Unreadable:
            return {}, ("The metadata file may not be read by this server.",)
        except _Full:
            pass
        return parse_metadata(content.getvalue())

    async def _run(self, call: Callable[..., T], *arguments: object) -> T:
        def translated() -> T:
            with self._translating():
                return call(*arguments)

        return await asyncio.get_running_loop().run_in_executor(self._threads, translated)

    def _read(self, name: str, generation: str | None, sink: Sink) -> str:
        with self._translating():
            try:
                return self._download(name, generation, sink)
            except ObjectNotFound:
                self._missing(name)
                raise

    def _problem(self, name: str) -> str | None:
        """Why there can be no such object here, as a sentence for its owner; others may put some that this does not."""
        problem = name_problem(name)
        if problem == EMPTY_SEGMENTS and {".", ".."}.isdisjoint(name.split("/")):
            problem = None
        if problem is None and len(self._key(name).encode()) > MAX_NAME_BYTES:
            return f"With this bucket's prefix, the name takes more than {MAX_NAME_BYTES} bytes of UTF-8."
        return problem

    def _key(self, name: str) -> str:
        return self._prefix + name

    def _missing(self, name: str) -> None:
        """Make sure that it is the object that is not there, and not the whole bucket: nothing was deleted then.

        Raises Misconfigured.
        """
        self._page(name, None, 1)

    def _no_bucket(self) -> Misconfigured:
        return Misconfigured(f"There is no bucket {self.bucket!r}, or this service may not see it.")

    # What follows blocks, and runs in threads.

    @abstractmethod
    def _close(self) -> None: ...

    @abstractmethod
    def _head(self, name: str) -> ObjectInfo | None:
        """The object as it is now, without what its metadata file says."""

    @abstractmethod
    def _download(self, name: str, generation: str | None, sink: Sink) -> str:
        """Write the content to `sink` and return its generation. Raises ObjectNotFound, PreconditionFailed."""

    @abstractmethod
    def _upload(self, name: str, file: IO[bytes], size: int, if_generation: str | None) -> ObjectInfo:
        """Write the object. Raises PreconditionFailed."""

    @abstractmethod
    def _remove(self, name: str, if_generation: str | None) -> bool:
        """Delete the object; False where there was none. Raises PreconditionFailed."""

    @abstractmethod
    def _page(self, prefix: str, token: str | None, size: int = 1000) -> Page:
        """A page of the listing. Raises Misconfigured where there is no such bucket."""

    @abstractmethod
    def _translating(self) -> AbstractContextManager[None]:
        """Say what an error of the client means for a bucket."""


class CloudReader:
    """One generation of an object, downloaded while it is read."""

    generation: str

    def __init__(self, download: Callable[[Sink], str], generation: str | None, threads: ThreadPoolExecutor) -> None:
        self._download = download
        self._asked = generation
        self._threads = threads
        self._pipe: _Pipe | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        self._pipe = pipe = _Pipe(loop)
        downloading = loop.run_in_executor(self._threads, pipe.fill, self._download)
        while part := await pipe.read():
            yield part
        result = await downloading
        if isinstance(result, Exception):
            raise result
        if self._asked not in (None, result):
            raise PreconditionFailed(f"Generation {self._asked} was asked for, and {result} came")
        self.generation = result

    def abandon(self) -> None:
        """End the download, where it goes on."""
        if self._pipe is not None:
            self._pipe.abandon()


class _Pipe:
    """What a thread writes, for a coroutine to read; a thread that is faster waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parts: asyncio.Queue[bytes] = asyncio.Queue(WAITING_PARTS)
        self._buffer = bytearray()
        self._written = 0
        self._abandoned = False

    async def read(self) -> bytes:
        """The next part; empty at the end."""
        return await self._parts.get()

    def abandon(self) -> None:
        """Nobody reads any more: the thread's next part is its last."""
        self._abandoned = True
        while not self._parts.empty():
            self._parts.get_nowait()

    # What follows is called in the thread.

    def fill(self, download: Callable[[Sink], str]) -> str | Exception:
        try:
            result: str | Exception = download(self)
            if self._buffer:
                self._hand_over()
        except Exception as error:
            result = error
        with contextlib.suppress(BrokenPipeError):
            self._buffer.clear()
            self._hand_over()
        return result

    def write(self, data: bytes) -> int:
        self._written += len(data)
        self._buffer += data
        if len(self._buffer) >= PART:
            self._hand_over()
        return len(data)

    def seek(self, position: int) -> int:
        """Cloud Storage's client goes to the start of what it unpacks; it can where nothing was handed on yet."""
        if position or self._written > len(self._buffer):
            raise UnsupportedOperation("This was read already.")
        self._buffer.clear()
        self._written = 0
        return 0

    def _hand_over(self) -> None:
        if self._abandoned:
            raise BrokenPipeError
        part = bytes(self._buffer)
        self._buffer.clear()
        asyncio.run_coroutine_threadsafe(self._parts.put(part), self._loop).result()


class _Full(Exception):
    """More was written than was to be kept."""


class _Limited(BytesIO):
    """Keeps up to `limit` bytes, and raises _Full at the next."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: bytes) -> int:  # type: ignore[override]  # of a download, which has only bytes
        super().write(data[: self._limit - self.tell()])
        if self.tell() == self._limit:
            raise _Full
        return len(data)
