"""The content of one generation of an object, as a file of this machine that Gemini's client can send."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shared.buckets import Bucket, ObjectInfo, ObjectReader, Unreadable
from shared.failures import Permanent
from shared.gemini.mime import suffix_of

PREFIX = "flamehaven-"
LEFT_AFTER = 3600.0
"""Seconds after which a temporary file was left by a process that was killed; no upload takes so long."""


@dataclass(frozen=True, slots=True)
class Content:
    """A temporary file with an ASCII name, and the SHA-256 of what is in it."""

    path: Path
    digest: str


@asynccontextmanager
async def fetch(bucket: Bucket, info: ObjectInfo, max_bytes: int) -> AsyncIterator[Content]:
    """Copy this very generation of an object to a temporary file, which lives as long as the context.

    Raises ObjectNotFound and PreconditionFailed when the object is no longer of that generation, and Permanent when it
    may not be read or turns out larger than `max_bytes`.
    """
    with tempfile.NamedTemporaryFile(prefix=PREFIX, suffix=suffix_of(info.name)) as file:
        try:
            async with bucket.open(info.name, info.generation) as reader:
                digest = await _copy(reader, file, max_bytes)
        except Unreadable as error:
            raise Permanent("FILE_UNREADABLE", str(error)) from error
        file.flush()
        yield Content(Path(file.name), digest)


async def _copy(reader: ObjectReader, file: IO[bytes], max_bytes: int) -> str:
    digest = hashlib.sha256()
    size = 0
    async for chunk in reader:
        size += len(chunk)
        if size > max_bytes:
            raise Permanent(
                "FILE_SIZE_EXCEEDED",
                f"The file is larger than {max_bytes:,} bytes. Split it, or raise MAX_FILE_SIZE_MB.",
            )
        digest.update(chunk)
        await asyncio.to_thread(file.write, chunk)
    return digest.hexdigest()


def clear_left() -> None:
    """Delete the temporary files of processes that were killed before they could."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another process deleted it, or it is another user's
            if time.time() - path.stat().st_mtime > LEFT_AFTER:
                path.unlink()
