"""Buckets: named objects with generations, behind one small protocol.

A bucket keeps the documents; another one, or a prefix, keeps the state. The conditional `put` guards every record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from shared.failures import Misconfigured
from shared.names import normal

ABSENT = "0"
"""The generation of an object that does not exist: `put(..., if_generation=ABSENT)` only creates."""

MetadataValue = str | int | float | tuple[str, ...]
"""What people say about an object under one key: a text, a number, or several texts."""


class ObjectNotFound(Exception):
    """There is no such object, or no longer in this generation."""


class PreconditionFailed(Exception):
    """The object is of another generation than the caller asked for: look again."""


class Unreadable(Misconfigured):
    """The bucket is in order, but this one object may not be read."""


class InvalidObjectName(ValueError):
    """This bucket cannot hold an object of this name; the message says why."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a bucket says about one object: its size in bytes, and a generation that changes with every change."""

    name: str
    generation: str
    size: int
    updated: datetime
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    metadata_notes: tuple[str, ...] = ()
    """What was given as metadata and is none, a sentence for each."""
    metadata_known: bool = True
    """False in a listing that does not say what metadata the object has: `stat` does."""
    problem: str | None = None
    """Why the object cannot be read, as a sentence for its owner: in a folder it is a link or no regular file."""

    @property
    def version(self) -> str:
        """What changes when the object must be indexed anew: its generation plus a digest of its metadata."""
        return f"{self.generation}{self.metadata_digest}"

    def is_version(self, version: str | None) -> bool:
        """Whether this is that version, as far as can be known."""
        if self.metadata_known:
            return version == self.version
        return version is not None and version.partition("+")[0] == self.generation

    @property
    def metadata_digest(self) -> str:
        """A short digest of the metadata, with a `+` before it; empty where there is none.

        It has the name in it where that is not in NFC, as the folder, which is metadata too, is indexed in NFC.
        """
        name = [] if normal(self.name) == self.name else [normal(self.name)]
        if not self.metadata and not self.metadata_notes and not name:
            return ""
        canonical = json.dumps([dict(self.metadata), *self.metadata_notes, *name], sort_keys=True).encode()
        return f"+{hashlib.sha256(canonical).hexdigest()[:16]}"


class ObjectReader(Protocol):
    """One generation of an object, being read; which one is known once it has been read to its end."""

    generation: str

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Stability(StrEnum):
    """Whether somebody may still be writing an object."""

    STABLE = "stable"
    RECENT = "recent"
    """It is whole as far as can be known, but was changed within the last seconds: more may follow."""
    CHANGING = "changing"
    """Somebody is writing it, or may be."""


class Bucket(Protocol):
    """Where objects are kept. Every method may raise `failures.Transient`."""

    async def stat(self, name: str) -> ObjectInfo | None:
        """The object as it is now, or None."""

    def open(self, name: str, generation: str | None = None) -> AbstractAsyncContextManager[ObjectReader]:
        """Read the object, in this very generation where one is given.

        Raises ObjectNotFound, Unreadable, and PreconditionFailed on entry or while reading when what is read is another
        generation.
        """

    async def stability(self, info: ObjectInfo) -> Stability:
        """Whether somebody may still be writing what was just seen of an object."""

    async def put(
        self, name: str, data: bytes | AsyncIterable[bytes], *, if_generation: str | None = None
    ) -> ObjectInfo:
        """Write the object whole or not at all; with `if_generation`, only over that generation (or `ABSENT`).

        Raises PreconditionFailed, InvalidObjectName.
        """

    async def delete(self, name: str, *, if_generation: str | None = None) -> bool:
        """Delete the object; False where there was none. Raises PreconditionFailed."""

    async def find(self, name: str) -> str:
        """The name of the object that `name` means, which may be in another Unicode form; else `name` in NFC."""

    async def closed_folders(self) -> list[str]:
        """The folders that this process may not enter."""

    def locate(self, bucket: str, key: str) -> str | None:
        """The name here of what an event calls `key` in `bucket`; None where that is no object of this bucket."""

    def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """The objects whose names start with `prefix`, in the order of their names."""

    async def aclose(self) -> None:
        """Close the connections."""
