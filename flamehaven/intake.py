"""Taking files in: every document that comes over HTTP is checked, kept in the bucket and handed to the pump here."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterable, AsyncIterator
from urllib.parse import quote

from pydantic import BaseModel, Field
from starlette.requests import Request

from flamehaven.pump import Pump
from functions.health.readiness import indexing_trouble
from functions.ingest.acceptance import GEMINI_MAX_BYTES, refusal
from shared import metrics
from shared.access import caller, check_store
from shared.bodies import whole
from shared.buckets import InvalidObjectName, ObjectInfo
from shared.buckets.metadata_file import MAX_BYTES, parse_metadata
from shared.errors import ServiceError
from shared.logs import request_id
from shared.names import METADATA_SUFFIX, described_by, object_problem, store_of
from shared.quotas import Room
from shared.records import Reason, Status
from shared.runtime import Runtime

MAX_WAIT = 60
"""Seconds that a sender may wait for the final state."""
_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)


class Accepted(BaseModel):
    """A file that is in the bucket now; `status` is final where the sender waited for it, else see `status_url`."""

    status: str = Field(description="`accepted`, or after a wait `indexed` or `failed`.")
    reason: Reason | None = Field(description="Why it could not be indexed; null unless `status` is `failed`.")
    trouble: str | None = Field(description="Why no document can be indexed now; null where they can, or it is done.")
    object: str = Field(description="The document's name in the bucket.")
    store: str
    filename: str
    size: int = Field(description="Bytes.")
    size_mb: float
    status_url: str
    message: str
    request_id: str

    @property
    def http_status(self) -> int:
        """200 once everything is done, 202 before."""
        return 202 if self.status == "accepted" else 200


def seconds_to_wait(request: Request) -> int | None:
    """What `Prefer: wait=N` asks for (RFC 7240, section 4.3), at most `MAX_WAIT`; None where it asks for nothing."""
    found = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return min(int(found[1]), MAX_WAIT) if found else None


def applied(waited: int | None) -> dict[str, str]:
    """The header that says which preference was kept (RFC 7240, section 3)."""
    return {} if waited is None else {"Preference-Applied": f"wait={waited}"}


def largest_file(parts: Runtime) -> int:
    """The largest document that is taken, in bytes."""
    return min(parts.settings.max_file_bytes, GEMINI_MAX_BYTES)


async def keep(
    parts: Runtime, pump: Pump, name: str, data: AsyncIterable[bytes], *, size: int | None = None
) -> ObjectInfo:
    """Keep a document as the object `name`, and have it indexed.

    `size` is what its sender says, in bytes. Raises ServiceError, and keeps nothing, for a name, a type or a size that
    cannot be.
    """
    started = time.monotonic()
    try:
        check_store(store_of(name))
        if problem := object_problem(name):
            raise ServiceError("INVALID_FILENAME", problem)
        name = await parts.documents.find(name)
        _check(name, 1 if size is None else size, parts)
        async with parts.quotas.room(store_of(name), size or 0) as room:
            info = await _put(parts, name, _checked(name, data, parts, room))
    except BaseException:
        metrics.UPLOADS.add("failure", "other")  # of a store that there may not be
        raise
    store = metrics.store_label(store_of(name))
    metrics.UPLOADS.add("success", store)
    metrics.UPLOAD_BYTES.observe(info.size, store)
    metrics.UPLOAD_SECONDS.observe(time.monotonic() - started, store)
    await pump.add(name, request_id.get(), caller.get().id)
    return info


async def keep_metadata(parts: Runtime, pump: Pump, name: str, data: AsyncIterable[bytes]) -> ObjectInfo:
    """Keep the metadata file `name`, and have the document that it describes indexed with it. Raises ServiceError."""
    document = described_by(name)
    check_store(store_of(document))
    if problem := object_problem(document):
        raise ServiceError("INVALID_FILENAME", problem)
    document = await parts.documents.find(document)
    too_large = ServiceError("FILE_SIZE_EXCEEDED", f"A metadata file has at most {MAX_BYTES:,} bytes.")
    content = await whole(data, MAX_BYTES, too_large)
    metadata, notes = parse_metadata(content)
    if notes and not metadata:
        raise ServiceError("INVALID_METADATA", " ".join(notes))
    info = await _put(parts, document + METADATA_SUFFIX, content)
    await pump.add(document, request_id.get(), caller.get().id)
    return info


async def accepted(parts: Runtime, info: ObjectInfo, *, wait: int | None) -> Accepted:
    """What to tell the sender of an object that was kept, after at most `wait` seconds."""
    status, reason = await _settled(parts, info, wait) if wait else (Status.PENDING, None)
    what = "file" if info.name == described_by(info.name) else "metadata"
    trouble = await indexing_trouble(parts) if status is Status.PENDING else None
    kept = (
        f"The {what} is kept. {held_up(trouble)}"
        if trouble
        else f"The {what} is kept, and will be searchable in a moment."
    )
    messages = {Status.INDEXED: "The document is searchable.", Status.FAILED: reason.message if reason else ""}
    return Accepted(
        status="accepted" if status is Status.PENDING else status,
        reason=reason,
        object=info.name,
        store=store_of(info.name),
        filename=info.name.rpartition("/")[2],
        size=info.size,
        size_mb=round(info.size / (1 << 20), 3),
        status_url=document_url(described_by(info.name)),
        trouble=trouble,
        message=messages.get(status, kept),
        request_id=request_id.get() or "",
    )


def held_up(trouble: str) -> str:
    """What to say of a change that was taken and cannot show in the answers yet."""
    return f"The index cannot be changed at the moment: {trouble}"


def document_url(name: str) -> str:
    """Where this API tells of a document."""
    return f"/api/documents/{quote(name)}"


async def _put(parts: Runtime, name: str, data: bytes | AsyncIterable[bytes]) -> ObjectInfo:
    try:
        return await parts.documents.put(name, data)
    except InvalidObjectName as error:
        raise ServiceError("INVALID_FILENAME", str(error)) from error


async def _checked(name: str, data: AsyncIterable[bytes], parts: Runtime, room: Room) -> AsyncIterator[bytes]:
    """The parts of a file, whose real size is checked too: an error that is raised in here keeps it from being kept."""
    size = 0
    async for part in data:
        size += len(part)
        if size > largest_file(parts):
            _check(name, size, parts)
        room.grow(size)
        yield part
    _check(name, size, parts)


def _check(name: str, size: int, parts: Runtime) -> None:
    if refused := refusal(name, size, parts.settings.max_file_bytes):
        raise ServiceError(refused.code, refused.message)


async def _settled(parts: Runtime, info: ObjectInfo, seconds: int) -> tuple[Status, Reason | None]:
    """The final state of this version of an object; PENDING where it is not there within `seconds`."""
    delay = 0.02
    try:
        async with asyncio.timeout(seconds):
            while True:
                record = await parts.records.current(info.name)
                if record and record.status is not Status.PENDING:
                    if record.version == info.version:
                        return record.status, record.reason
                    present = await parts.documents.stat(info.name)
                    if present is None or present.version != info.version:
                        return Status.PENDING, None  # it was replaced or deleted meanwhile
                await asyncio.sleep(delay)
                delay = min(delay * 1.5, 0.5)
    except TimeoutError:
        return Status.PENDING, None
