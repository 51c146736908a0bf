"""Documents over HTTP: what is in the bucket, and how far each has come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from pathlib import PurePosixPath
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.ingest.acceptance import refusal
from shared.buckets import InvalidObjectName, ObjectInfo
from shared.errors import ServiceError
from shared.gemini.mime import mime_type_of
from shared.http import endpoint
from shared.logs import request_id
from shared.names import DEFAULT_STORE, file_name_problem, is_document, store_of, store_problem
from shared.reading import read_query
from shared.records import Reason, Record, Status
from shared.runtime import Runtime, runtime

MAX_FORM_OVERHEAD = 64 << 10
"""Bytes of a multipart body that are not the file."""
READ_SIZE = 1 << 20


class Document(BaseModel):
    """One document: where it is, and whether its current version answers questions."""

    object: str = Field(description="Its name in the bucket.")
    store: str
    title: str
    status: Status
    reason: Reason | None = Field(description="Why it could not be indexed; null unless `status` is `failed`.")
    size: int | None = Field(description="Bytes.")
    mime_type: str | None
    updated: datetime | None = Field(description="When the file last changed.")
    indexed: datetime | None = Field(description="When it last became searchable.")
    attempts: int = Field(description="How often indexing was tried since it last succeeded or failed for good.")
    uri: str


class DocumentQuery(BaseModel):
    """Which documents to list."""

    model_config = ConfigDict(extra="forbid")

    store: str | None = Field(None, max_length=255, description="Only documents of this store.")
    page_size: int = Field(100, ge=1, le=1000)
    page_token: str | None = Field(None, description="`next_page_token` of the page before.")


class DocumentPage(BaseModel):
    """Documents in the order of their names."""

    documents: list[Document]
    next_page_token: str | None
    request_id: str


class Accepted(BaseModel):
    """A file that is in the bucket now and will be indexed; `status_url` tells how far it has come."""

    status: str = "accepted"
    store: str
    file: str = Field(description="The document's name in the bucket.")
    filename: str
    size_mb: float
    status_url: str
    message: str
    request_id: str


@endpoint
async def list_documents(request: Request) -> Response:
    """List the documents of the bucket, a page at a time."""
    asked = read_query(request, DocumentQuery)
    parts = await runtime()
    folder = f"{asked.store}/" if asked.store and asked.store != DEFAULT_STORE else ""
    found = [info async for info in parts.documents.list(folder) if _wanted(info.name, asked)]
    page, rest = found[: asked.page_size], found[asked.page_size :]
    documents = [_document(info.name, info, await _record(parts, info.name)) for info in page]
    answer = DocumentPage(
        documents=documents,
        next_page_token=page[-1].name if rest else None,
        request_id=request_id.get() or "",
    )
    return JSONResponse(answer.model_dump(mode="json"))


@endpoint
async def get_document(request: Request) -> Response:
    """Say where one document stands."""
    parts = await runtime()
    name = request.path_params["object"]
    info = await parts.documents.stat(name) if is_document(name) else None
    if info is None:
        raise ServiceError("FILE_NOT_FOUND", f"There is no document {name!r} in the bucket.")
    return JSONResponse(_document(name, info, await _record(parts, name)).model_dump(mode="json"))


@endpoint
async def upload_single(request: Request) -> Response:
    """Put one file into the bucket, as `STORE/FILE`; it is indexed from there."""
    parts = await runtime()
    form = await _read_form(request, parts.settings.max_file_bytes)
    file, store = form.get("file"), form.get("store", DEFAULT_STORE) or DEFAULT_STORE
    if not isinstance(file, UploadFile) or not isinstance(store, str):
        raise ServiceError("VALIDATION_ERROR", "Send multipart/form-data with the file in `file`, and text in `store`.")
    file_name = file.filename or ""
    if problem := store_problem(store) or file_name_problem(file_name):
        raise ServiceError("INVALID_FILENAME", problem)
    name, size = f"{store}/{file_name}", file.size or 0
    if refused := refusal(name, size, parts.settings.max_file_bytes):
        raise ServiceError(refused.code, refused.message)
    try:
        await parts.documents.put(name, _read(file))
    except InvalidObjectName as error:
        raise ServiceError("INVALID_FILENAME", str(error)) from error
    answer = Accepted(
        store=store,
        file=name,
        filename=file_name,
        size_mb=round(size / (1 << 20), 3),
        status_url=f"/api/documents/{quote(name)}",
        message="The file is stored and will be searchable in a moment.",
        request_id=request_id.get() or "",
    )
    return JSONResponse(answer.model_dump(), status_code=202, headers={"Location": answer.status_url})


def _wanted(name: str, asked: DocumentQuery) -> bool:
    return (
        is_document(name)
        and asked.store in (None, store_of(name))
        and (asked.page_token is None or name > asked.page_token)
    )


async def _record(parts: Runtime, name: str) -> Record | None:
    saved = await parts.records.get(name)
    return saved.record if saved else None


def _document(name: str, info: ObjectInfo, record: Record | None) -> Document:
    """What is known of an object; a record of an older version, or of none, says nothing of the present one."""
    current = record is not None and record.version == info.version
    return Document(
        object=name,
        store=store_of(name),
        title=PurePosixPath(name).name,
        status=record.status if record and current else Status.PENDING,
        reason=record.reason if record and current else None,
        size=info.size,
        mime_type=mime_type_of(name),
        updated=info.updated,
        indexed=record.indexed if record else None,
        attempts=record.attempts if record else 0,
        uri=f"/api/documents/{quote(name)}",
    )


async def _read_form(request: Request, max_file_bytes: int) -> FormData:
    """The form in a request's body. Raises ServiceError before more than the largest file has been taken."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ServiceError("VALIDATION_ERROR", "Send the file as multipart/form-data, in the field `file`.")
    limit = max_file_bytes + MAX_FORM_OVERHEAD
    too_large = ServiceError("FILE_SIZE_EXCEEDED", f"A file may have {max_file_bytes} bytes. Split it and try again.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large

    async def limited() -> AsyncGenerator[bytes, None]:
        taken = 0
        async for part in request.stream():
            taken += len(part)
            if taken > limit:
                raise too_large
            yield part

    try:
        return await MultiPartParser(request.headers, limited(), max_files=1, max_fields=10).parse()
    except (MultiPartException, KeyError) as error:
        raise ServiceError("VALIDATION_ERROR", f"The body is not the form that it says it is: {error}.") from error


async def _read(file: UploadFile) -> AsyncIterator[bytes]:
    while part := await file.read(READ_SIZE):
        yield part
