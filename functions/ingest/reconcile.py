"""Make the index agree with one object of the bucket: the operation that every event and every sweep ends in.

The order is what keeps documents from being lost when workers, writers and crashes meet: take the lease, look at the
object, upload, commit, look again. Every write of the record is a compare-and-swap, so a worker whose lease was taken
over changes nothing; and a Gemini document is deleted only once its record says `retired`, so that no worker deletes
what another relies on. `tests/unit/test_reconcile_model.py` plays thousands of schedules against these rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from functions.ingest.acceptance import refusal
from shared.buckets import (
    ABSENT,
    Bucket,
    MetadataValue,
    ObjectInfo,
    ObjectNotFound,
    PreconditionFailed,
    Stability,
)
from shared.clock import Clock
from shared.content import Content
from shared.failures import DependencyFailure, Permanent, Transient
from shared.gemini.client import Document, DocumentState, Uploaded, UploadError
from shared.gemini.metadata import ATTEMPT, OBJECT, document_metadata, searchable_metadata
from shared.gemini.mime import mime_type_of
from shared.names import is_document, normal, store_of
from shared.records import Lease, Reason, Record, Records, Saved, Status, Upload

PATIENCE = 300.0
"""Seconds that one call waits for Gemini to finish indexing; after that the next sweep settles it."""
GRACE = 15.0
"""Seconds that FAILED must last before it counts: Gemini's documents have been seen to recover."""
CAS_TRIES = 20
ROUNDS = 20
"""How often one call follows an object that keeps changing before the queue has to bring it back."""


class Outcome(StrEnum):
    """What one call of `reconcile` did."""

    UNCHANGED = "unchanged"
    INDEXED = "indexed"
    FAILED = "failed"
    REMOVED = "removed"
    BUSY = "busy"
    """Another worker holds the lease, and has been told to look again."""
    PENDING = "pending"
    """Gemini is still indexing; the next sweep settles it."""
    CHANGING = "changing"
    """Somebody is still writing the object: nothing was done; look again in a moment."""


OF_THE_NAME = ("INVALID_FILENAME", "NOT_A_FILE", "UNSUPPORTED_FILE_TYPE")
"""Reasons that do not depend on what is in a file."""
TOLD = (Outcome.INDEXED, Outcome.FAILED, Outcome.REMOVED)


class Index(Protocol):
    """What reconcile needs of Gemini; `shared.gemini.client.Gemini` is it."""

    async def upload(
        self, store: str, path: Path, *, display_name: str, metadata: Mapping[str, MetadataValue]
    ) -> Uploaded: ...
    async def document(self, name: str) -> Document: ...
    async def upload_error(self, operation: str) -> UploadError | None: ...
    def documents(self, store: str) -> AsyncIterator[Document]: ...
    async def delete_document(self, name: str) -> None: ...


class Stores(Protocol):
    """What reconcile needs of the stores; `shared.stores.Stores` is it."""

    async def resource(self, store: str) -> str | None: ...
    async def ensure(self, store: str) -> str: ...


Fetch = Callable[[Bucket, ObjectInfo, int], AbstractAsyncContextManager[Content]]
Listed = Mapping[str, DocumentState]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose documents these are: the deployment, the Gemini project or emulator behind it, and this worker."""

    deployment: str
    backend: str
    holder: str


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Reconciles the objects of one bucket with one Gemini project."""

    documents: Bucket
    records: Records
    index: Index
    stores: Stores
    fetch: Fetch
    clock: Clock
    identity: Identity
    max_bytes: int
    lease_seconds: float
    """Must be longer than the longest upload: the lease is renewed between steps, not within one."""
    new_attempt: Callable[[], str] = lambda: f"{time.time_ns():016x}{secrets.token_hex(4)}"
    """Makes attempt ids; later ones sort after earlier ones, so that search can tell new from old."""
    holder_gone: Callable[[str], bool] = lambda holder: False
    """Knows of holders that died; the leases of all others are waited for."""
    patience: float = PATIENCE
    tell: Callable[[Record], Awaitable[None]] | None = None
    """Is told of every document that became indexed, failed or removed, after the fact."""

    async def reconcile(self, name: str, *, listed: Listed | None = None) -> Outcome:
        """Make the index agree with the object `name` as it is now.

        `listed` are the Gemini documents that say they are this object's, from a listing made before: what its record
        does not know of them is deleted, and what it names and the listing lacks is looked for. Raises
        DependencyFailure when the index may not agree yet and nobody else will see to it: deliver the event again.
        """
        for _ in range(ROUNDS):
            taken = await self._take(name, listed)
            if isinstance(taken, Outcome):
                return taken
            outcome = await taken.settle(listed)
            if outcome in TOLD and self.tell:
                await self.tell(taken.record)
            if outcome is not None:
                return outcome
            listed = None
        raise Transient(f"{name} keeps changing")

    async def renew(self, name: str) -> None:
        """Have the next reconcile index the object anew, as if it had changed; until then it answers as before.

        One that is being indexed at this moment, or has no record yet, is left alone.
        """
        for _ in range(CAS_TRIES):
            saved = await self.records.get(name)
            if saved is None or saved.record.status is Status.DELETED or self._leased(saved.record):
                return
            forgotten = {"status": Status.PENDING, "version": None, "digest": None, "reason": None}
            taken_over = {"lease": None, "uploads": _with_what_may_have_been_sent(saved.record)}
            record = _changed(saved.record, **forgotten, **taken_over, updated=self.time())
            with contextlib.suppress(PreconditionFailed):
                await self.records.save(record, saved.generation)
                return
        raise Transient(f"The record of {name} changed each time it was read")

    async def agrees(self, name: str, listed: Listed) -> bool:
        """Whether there is nothing to reconcile about an object, without changing anything."""
        return self.at_rest(await self.records.get(name), await self.look(name), listed)

    async def _take(self, name: str, listed: Listed | None) -> _Held | Outcome:
        """Take the lease, unless there is nothing to do or another worker holds it."""
        for _ in range(CAS_TRIES):
            saved = await self.records.get(name)
            try:
                if saved and self._leased(saved.record):
                    if not saved.record.dirty:
                        await self.records.save(_changed(saved.record, dirty=True), saved.generation)
                    return Outcome.BUSY
                info = await self.look(name)
                if self.at_rest(saved, info, listed):
                    return Outcome.UNCHANGED
                if await self._changing(saved, info):
                    return Outcome.CHANGING
                record = self._begun(name, saved.record if saved else None)
                return _Held(self, await self.records.save(record, saved.generation if saved else ABSENT))
            except PreconditionFailed:
                continue
        raise Transient(f"The record of {name} changed each time it was read")

    async def _changing(self, saved: Saved | None, info: ObjectInfo | None) -> bool:
        """Whether the object is to be indexed anew, and somebody is still writing it."""
        if info is None or (saved is not None and saved.record.version == info.version):
            return False
        return await self.documents.stability(info) is Stability.CHANGING

    def _leased(self, record: Record) -> bool:
        lease = record.lease
        return lease is not None and lease.expires > self.clock.now() and not self.holder_gone(lease.holder)

    def at_rest(self, saved: Saved | None, info: ObjectInfo | None, listed: Listed | None) -> bool:
        """Whether an object's record, the object and its Gemini documents (where they are known) agree."""
        if saved is None:
            return info is None and not listed
        record = saved.record
        ours = (record.deployment, record.backend) == (self.identity.deployment, self.identity.backend)
        half_done = record.lease or record.dirty or record.uploads or record.retired
        at_rest = record.status is not Status.PENDING and not half_done
        expected = {record.document: DocumentState.ACTIVE} if record.document else {}
        return ours and at_rest and record.version == _version(info) and listed in (None, expected)

    def _begun(self, name: str, record: Record | None) -> Record:
        """The record with this worker's lease; what an attempt that died may have left behind is noted in `uploads`."""
        me, now = self.identity, self.time()
        if record is None or (record.deployment, record.backend) != (me.deployment, me.backend):
            created = record.created if record else now
            record = Record(object=name, deployment=me.deployment, backend=me.backend, created=created, updated=now)
        return _changed(
            record,
            lease=self.lease(),
            uploads=_with_what_may_have_been_sent(record),
            dirty=False,
            attempts=record.attempts + 1,
            updated=now,
        )

    def lease(self, attempt: str | None = None) -> Lease:
        """A lease that starts now; a new attempt, or more time for the one that is named."""
        expires = self.clock.now() + self.lease_seconds
        return Lease(holder=self.identity.holder, attempt=attempt or self.new_attempt(), expires=expires)

    async def look(self, name: str) -> ObjectInfo | None:
        """The object as it is now, or None where there is no document of that name."""
        return await self.documents.stat(name) if is_document(name) else None

    def time(self) -> datetime:
        """The time as records note it."""
        return datetime.fromtimestamp(self.clock.now(), UTC)


class _LeaseLost(Exception):
    """Another worker took this object over, and looked at the object after it did."""


class _Held:
    """One object under this worker's lease."""

    def __init__(self, owner: Reconciler, saved: Saved) -> None:
        self._owner = owner
        self._index = owner.index
        self._name = saved.record.object
        self._saved = saved
        self._sent: Upload | None = None
        """What this worker sent and the record does not mention; without a document where no answer came."""

    @property
    def record(self) -> Record:
        return self._saved.record

    @property
    def _lease(self) -> Lease:
        assert self.record.lease is not None
        return self.record.lease

    async def settle(self, listed: Listed | None) -> Outcome | None:
        """Bring the index up to date and give the lease back; None when the object changed once more after that."""
        try:
            await self._inherit(listed or {})
            if listed is not None:
                await self._verify(listed)
            for round_ in range(ROUNDS):
                if round_:
                    await self._write(dirty=False, lease=self._owner.lease(), uploads=self._uploads())
                info = await self._owner.look(self._name)
                try:
                    outcome, changes = await self._agree(info)
                except (ObjectNotFound, PreconditionFailed):
                    continue
                if outcome in (Outcome.PENDING, Outcome.CHANGING):
                    if await self._release():
                        return outcome
                elif await self._commit(changes, info):
                    return outcome if await self._still(info) else None
            raise Transient(f"{self._name} keeps changing")
        except _LeaseLost:
            await self._disown()
            return Outcome.BUSY
        except (Exception, asyncio.CancelledError) as error:
            await self._give_up(str(error) if isinstance(error, DependencyFailure) else None)
            raise

    async def _inherit(self, listed: Listed) -> None:
        """Retire what attempts before this one sent to Gemini without living to write it down."""
        lost = {upload.attempt for upload in self.record.uploads if upload.document is None}
        strays = set(listed)
        resource = await self._owner.stores.resource(store_of(self._name)) if lost else None
        if resource:
            async for document in self._index.documents(resource):
                if document.metadata.get(OBJECT) == self._name and document.metadata.get(ATTEMPT) in lost:
                    strays.add(document.name)
        unknown = sorted(stray for stray in strays if not self.record.mentions(stray))
        if lost or unknown:
            known = tuple(upload for upload in self.record.uploads if upload.document is not None)
            await self._write(uploads=known, retired=(*self.record.retired, *unknown))

    async def _verify(self, listed: Listed) -> None:
        """Retire the documents that no longer answer and the uploads that are gone, so that others take their place."""
        for upload in self.record.uploads:
            if upload.document and upload.document not in listed and await self._gone(upload.document):
                left = tuple(other for other in self.record.uploads if other != upload)
                await self._write(uploads=left, retired=(*self.record.retired, upload.document))
        name = self.record.document
        if name is None or listed.get(name) is DocumentState.ACTIVE:
            return
        state = (await self._index.document(name)).state
        if state in (DocumentState.ABSENT, DocumentState.FAILED):
            await self._write(
                status=Status.PENDING,
                version=None,
                digest=None,
                document=None,
                retired=(*self.record.retired, name),
            )

    async def _gone(self, document: str) -> bool:
        return (await self._index.document(document)).state is DocumentState.ABSENT

    async def _agree(self, info: ObjectInfo | None) -> tuple[Outcome, dict[str, Any]]:
        """Do what the object's state asks for; returns what to commit."""
        if info is None:
            return Outcome.REMOVED, self._replaced_by(None, status=Status.DELETED, version=None, digest=None)
        if self.record.version == info.version:
            status = Status.INDEXED if self.record.document else Status.FAILED
            return Outcome.UNCHANGED, self._replaced_by(self.record.document, status=status)
        if await self._owner.documents.stability(info) is Stability.CHANGING:
            return Outcome.CHANGING, {}
        about = {
            "version": info.version,
            "size": info.size,
            "mime_type": mime_type_of(info.name),
            "notes": searchable_metadata(info)[1],
        }
        try:
            return await self._index_version(info, about)
        except Permanent as error:
            if error.code not in OF_THE_NAME and await self._owner.documents.stability(info) is not Stability.STABLE:
                return Outcome.CHANGING, {}  # a part of a file may fail where the whole will not
            reason = Reason(code=error.code, message=str(error))
        return Outcome.FAILED, self._replaced_by(None, status=Status.FAILED, digest=None, reason=reason, **about)

    async def _index_version(self, info: ObjectInfo, about: dict[str, Any]) -> tuple[Outcome, dict[str, Any]]:
        if info.problem:
            raise Permanent("NOT_A_FILE", info.problem)
        if refused := refusal(info.name, info.size, self._owner.max_bytes):
            raise Permanent(refused.code, refused.message)
        upload = next((sent for sent in self.record.uploads if sent.version == info.version), None)
        if upload is None:
            async with self._owner.fetch(self._owner.documents, info, self._owner.max_bytes) as content:
                digest = f"{content.digest}{info.metadata_digest}"
                if digest == self.record.digest and await self._answers(self.record.document):
                    return Outcome.UNCHANGED, self._replaced_by(self.record.document, status=Status.INDEXED, **about)
                upload = await self._send(info, content.path, digest)
        assert upload.document is not None
        if not await self._wait(upload):
            return Outcome.PENDING, {}
        done = {
            "status": Status.INDEXED,
            "digest": upload.digest,
            "reason": None,
            "indexed": self._owner.time(),
        }
        return Outcome.INDEXED, self._replaced_by(upload.document, **done, **about)

    async def _answers(self, document: str | None) -> bool:
        return document is not None and (await self._index.document(document)).state is DocumentState.ACTIVE

    async def _send(self, info: ObjectInfo, path: Path, digest: str) -> Upload:
        """Upload; what is sent is ours alone to answer for until the record mentions it."""
        resource = await self._owner.stores.ensure(store_of(self._name))
        attempt, deployment = self._lease.attempt, self._owner.identity.deployment
        metadata = document_metadata(info, attempt=attempt, deployment=deployment)
        self._sent = Upload(attempt=attempt)
        sent = await self._index.upload(
            resource, path, display_name=normal(PurePosixPath(info.name).name), metadata=metadata
        )
        self._sent = Upload(
            attempt=attempt,
            version=info.version,
            digest=digest,
            document=sent.document,
            operation=sent.operation,
        )
        return self._sent

    async def _note(self) -> None:
        """Have the record mention what was sent, so that whoever comes after this worker goes on with it."""
        more_time = self._owner.lease(self._lease.attempt)
        await self._write(status=Status.PENDING, uploads=self._uploads(), lease=more_time)

    def _uploads(self) -> tuple[Upload, ...]:
        """The record's uploads, and what was sent and it does not mention."""
        sent = self._sent
        if sent is None or (sent.document and self.record.mentions(sent.document)):
            return self.record.uploads
        return (*self.record.uploads, sent)

    async def _disown(self) -> None:
        """Delete what was sent under a lease that is lost, unless who took over answers for it."""
        if self._sent is None or self._sent.document is None:
            return
        saved = await self._owner.records.get(self._name)
        if saved is None or not saved.record.mentions(self._sent.document):
            await self._index.delete_document(self._sent.document)

    async def _wait(self, upload: Upload) -> bool:
        """Wait until the document answers; False when Gemini takes longer than our patience. Raises Permanent."""
        assert upload.document is not None
        clock = self._owner.clock
        started, bad_since, delay = clock.now(), None, 0.05
        while True:
            state = (await self._index.document(upload.document)).state
            now = clock.now()
            if state is DocumentState.ACTIVE:
                return True
            if self._sent is not None:
                await self._note()
            if state is DocumentState.PENDING:
                bad_since = None
            else:
                bad_since = bad_since or now
                await self._judge(upload, state, lasting=now - bad_since >= GRACE)
            if now - started > self._owner.patience:
                return False
            if self._lease.expires - now < self._owner.lease_seconds / 2:
                await self._write(lease=self._owner.lease(self._lease.attempt))
            await clock.sleep(delay)
            delay = min(delay * 1.5, 5.0)

    async def _judge(self, upload: Upload, state: DocumentState, *, lasting: bool) -> None:
        """Decide about a document that is FAILED or not there: raise Permanent or Transient, or let it recover."""
        error = await self._index.upload_error(upload.operation) if upload.operation else None
        failed = error is not None or state is DocumentState.FAILED
        if failed and (lasting or (error is not None and error.is_final)):
            message = error.message if error else "Gemini could not index this file. Check that it opens."
            raise Permanent("INDEXING_FAILED", message)
        if lasting:
            left = tuple(other for other in self.record.uploads if other != upload)
            await self._write(uploads=left)
            raise Transient(f"What was uploaded for {self._name} is not there.")

    def _replaced_by(self, document: str | None, **changes: Any) -> dict[str, Any]:
        """What to commit so that `document` alone stands for the object, and all others are retired."""
        record = self.record
        others = (record.document, *(upload.document for upload in record.uploads))
        retired = (*record.retired, *(other for other in others if other not in (None, document)))
        return {**changes, "document": document, "uploads": (), "retired": tuple(dict.fromkeys(retired))}

    async def _commit(self, changes: dict[str, Any], info: ObjectInfo | None) -> bool:
        """Write the outcome, delete what it replaced, and give the lease back; False when there is more to do first."""
        changes |= {"attempts": 0, "last_error": None, "updated": self._owner.time()}
        if not changes["retired"]:
            return await self._release(**changes)
        await self._write(**changes)
        if self.record.dirty or not await self._still(info):
            return False
        for document in self.record.retired:
            await self._index.delete_document(document)
        return await self._release(retired=())

    async def _still(self, info: ObjectInfo | None) -> bool:
        """Look again: whether the object is as it was when this worker looked."""
        return _version(await self._owner.look(self._name)) == _version(info)

    async def _release(self, **changes: Any) -> bool:
        """Give the lease back in the same write as `changes`; False when somebody wants the object looked at again."""
        while not self.record.dirty:
            try:
                await self._save(_changed(self.record, **changes, lease=None))
            except PreconditionFailed:
                await self._reload()
            else:
                return True
        return False

    async def _write(self, **changes: Any) -> None:
        """Change the record under the lease. Raises _LeaseLost when it is another worker's by now."""
        for _ in range(CAS_TRIES):
            try:
                await self._save(_changed(self.record, **changes))
            except PreconditionFailed:
                await self._reload()
            else:
                return
        raise Transient(f"The record of {self._name} changed each time it was written")

    async def _save(self, record: Record) -> None:
        self._saved = await self._owner.records.save(record, self._saved.generation)
        if self._sent and self._sent.document and record.mentions(self._sent.document):
            self._sent = None

    async def _reload(self) -> None:
        """Read what another worker wrote: a `dirty` mark is ours to honour, anything else means the lease is lost."""
        saved = await self._owner.records.get(self._name)
        if saved is None or saved.record.lease is None or saved.record.lease.attempt != self._lease.attempt:
            raise _LeaseLost
        self._saved = saved

    async def _give_up(self, error: str | None) -> None:
        """Give the lease back after a failure, so that the next delivery need not wait for it to expire.

        `error` is what the document's owner is told, if the failure is one of a bucket or of Gemini.
        """
        if self.record.lease is None:
            return
        with contextlib.suppress(Exception):
            await self._reload()  # the last write may have arrived though its answer did not
            await self._write(lease=None, uploads=self._uploads(), last_error=error)


def _with_what_may_have_been_sent(record: Record) -> tuple[Upload, ...]:
    """The uploads that the record knows of, and the one that the holder of its lease may not have lived to note."""
    if record.lease is None or any(upload.attempt == record.lease.attempt for upload in record.uploads):
        return record.uploads
    return (*record.uploads, Upload(attempt=record.lease.attempt))


def _version(info: ObjectInfo | None) -> str | None:
    return info.version if info else None


def _changed(record: Record, **changes: Any) -> Record:
    return record.model_copy(update=changes)
