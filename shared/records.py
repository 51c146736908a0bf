"""Records: one small JSON object per document, written only by compare-and-swap.

The record is the only place that says which Gemini document stands for an object. A Gemini document that an object has
is in one of three places of its record: `document` (it answers questions), `uploads` (on its way), or `retired` (to be
deleted). Nothing is deleted that was not first written down as retired, but for an upload that no record ever named.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cachetools import LRUCache
from pydantic import BaseModel, ConfigDict

from shared.answers import Answers, NoAnswers
from shared.buckets import Bucket, ObjectInfo, PreconditionFailed
from shared.failures import NewerSchema, Transient
from shared.names import digest_of, store_of
from shared.state.collection import read, read_each
from shared.state.stored import Stored

log = logging.getLogger(__name__)

KEPT = 20_000
"""How many records a process remembers, some 2 KB each, so that listings need not read them again."""


class Status(StrEnum):
    """What a document's owner sees."""

    PENDING = "pending"
    INDEXED = "indexed"
    FAILED = "failed"
    DELETED = "deleted"


class Lease(BaseModel):
    """The right of one worker to index and delete for one object, until `expires` (seconds since the epoch)."""

    model_config = ConfigDict(frozen=True)

    holder: str
    attempt: str
    expires: float


class Upload(BaseModel):
    """What one attempt sent to Gemini; `document` is None while it is not known whether anything arrived."""

    model_config = ConfigDict(frozen=True)

    attempt: str
    version: str | None = None
    digest: str | None = None
    document: str | None = None
    operation: str | None = None


class Reason(BaseModel):
    """Why a document could not be indexed: a stable code, and a sentence its owner can act on."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str


class Record(Stored):
    """All that is known of one object's place in the index. Immutable: a change is a new record."""

    object: str
    deployment: str
    backend: str
    status: Status = Status.PENDING
    version: str | None = None
    """The object's version that `status` speaks of; None while there is none."""
    digest: str | None = None
    """SHA-256 of the content that `document` was made from."""
    document: str | None = None
    uploads: tuple[Upload, ...] = ()
    retired: tuple[str, ...] = ()
    lease: Lease | None = None
    dirty: bool = False
    """Set by whoever found the lease taken: the holder must look at the object again."""
    reason: Reason | None = None
    notes: tuple[str, ...] = ()
    """What of the object's metadata could not be used, a sentence for each."""
    size: int | None = None
    mime_type: str | None = None
    attempts: int = 0
    last_error: str | None = None
    """Why the last attempt did not finish; None once one does."""
    created: datetime
    updated: datetime
    indexed: datetime | None = None

    @property
    def store(self) -> str:
        return store_of(self.object)

    def why_not_indexed(self, info: ObjectInfo) -> Reason | None:
        """Why this version of the object is not indexed; None if it is, or if nothing has gone wrong so far."""
        if info.is_version(self.version):
            return self.reason
        if self.last_error:
            return Reason(code="RETRYING", message=f"{self.last_error} Indexing is retried automatically.")
        if self.attempts > 1:
            started = f"Indexing was started {self.attempts} times and has not finished yet."
            message = f"{started} It is retried automatically; /health shows whether something blocks it."
            return Reason(code="RETRYING", message=message)
        return None

    def mentions(self, document: str) -> bool:
        """Whether this record already answers for the Gemini document."""
        return (
            document == self.document
            or document in self.retired
            or any(upload.document == document for upload in self.uploads)
        )


@dataclass(frozen=True, slots=True)
class Saved:
    """A record as it was read or written, with the generation that the next write must replace."""

    record: Record
    generation: str


def status_of(info: ObjectInfo, record: Record | None) -> Status:
    """How far an object has come; a record of an older version, or of none, says nothing of the present one."""
    return record.status if record is not None and info.is_version(record.version) else Status.PENDING


Snapshot = Callable[[str], Awaitable[Record | None]]
"""Gives the record that an object of that name had when the snapshot was taken, or a newer one."""


class Records:
    """The records of one deployment, in the state bucket under `records/`.

    `backend` is the Gemini project or emulator in use; what a record says of another one is history.
    """

    PREFIX = "records/"

    def __init__(self, state: Bucket, answers: Answers | None = None, *, backend: str = "") -> None:
        self._state = state
        self._backend = backend
        self._answers = answers or NoAnswers()
        self._read_before: LRUCache[str, Saved] = LRUCache(KEPT)

    async def get(self, name: str) -> Saved | None:
        """The record of the object `name`, or None. Raises NewerSchema."""
        return await self._read(self._place(name))

    async def current(self, name: str) -> Record | None:
        """What is known of the object `name` in this backend, or None. Raises NewerSchema."""
        return self._of_this_backend(await self.get(name))

    async def save(self, record: Record, generation: str) -> Saved:
        """Write the record over `generation` (`ABSENT` for the first). Raises PreconditionFailed when beaten to it."""
        data = record.encode(exclude_defaults=True)
        try:
            info = await self._state.put(self._place(record.object), data, if_generation=generation)
        finally:
            await self._answers.changed(record.store)
        return Saved(record, info.generation)

    async def drop(self, saved: Saved) -> None:
        """Delete the record if it is still as it was read. Raises PreconditionFailed otherwise."""
        try:
            await self._state.delete(self._place(saved.record.object), if_generation=saved.generation)
        finally:
            await self._answers.changed(saved.record.store)

    async def list(self) -> AsyncIterator[Saved]:
        """Every record of the deployment, one read after the other; `read_ahead` makes most reads unnecessary."""
        async for info in self._state.list(self.PREFIX):
            saved = await self._listed(info)
            if saved is not None:
                yield saved

    async def read_ahead(self) -> None:
        """Read all records, many at once, so that `list` need not: worth it where each read is a call to a cloud."""
        async for _ in read_each(self._state, self.PREFIX, self._listed):
            pass

    async def snapshot(self) -> Snapshot:
        """What is known of each object in this backend now, to be read one by one."""
        found = {info.name: info async for info in self._state.list(self.PREFIX)}

        async def record(name: str) -> Record | None:
            place = self._place(name)
            return self._of_this_backend(await self._listed(found[place]) if place in found else None)

        return record

    def _of_this_backend(self, saved: Saved | None) -> Record | None:
        return saved.record if saved is not None and saved.record.backend == self._backend else None

    async def _listed(self, info: ObjectInfo) -> Saved | None:
        """The record that a listing found, read only if this process did not read this generation before.

        None if a newer version of the program wrote it: listings leave it out, and `get` refuses it.
        """
        saved = self._read_before.get(info.name)
        if saved is None or saved.generation != info.generation:
            try:
                saved = await self._read(info.name)
            except NewerSchema:
                return None
            if saved is not None:
                self._read_before[info.name] = saved
        return saved

    def _place(self, name: str) -> str:
        return f"{self.PREFIX}{digest_of(name)}.json"

    async def _read(self, place: str) -> Saved | None:
        entry = await read(self._state, place)
        if entry is None:
            return None
        try:
            return Saved(Record.decode(entry.data, place), entry.generation)
        except ValueError:
            log.warning("An unreadable record was deleted; the next sweep restores it", extra={"place": place})
        try:
            await self._state.delete(place, if_generation=entry.generation)
        except PreconditionFailed as error:
            raise Transient(f"{place} changed while it was read.") from error
        return None
