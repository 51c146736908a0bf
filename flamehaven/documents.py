"""Documents over HTTP: what is in the bucket, how far each has come, and changes to single ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flamehaven.intake import (
    accepted,
    applied,
    document_url,
    held_up,
    keep,
    keep_metadata,
    seconds_to_wait,
)
from flamehaven.pump import Pump
from functions.health.readiness import indexing_trouble
from functions.ingest.worker import renew
from shared.access import caller, check_store
from shared.bodies import body, declared_length
from shared.buckets import MetadataValue, ObjectInfo
from shared.buckets.documents import documents_of
from shared.changes import log_change
from shared.errors import ServiceError
from shared.gemini.metadata import searchable_metadata
from shared.gemini.mime import mime_type_of, suffix_of
from shared.http import endpoint
from shared.logs import request_id
from shared.names import DEFAULT_STORE, METADATA_SUFFIX, is_document, name_problem, normal, not_a_document, store_of
from shared.reading import read_query
from shared.records import Reason, Record, Status, status_of
from shared.runtime import Runtime, runtime


class Document(BaseModel):
    """One document: where it is, and whether its current version answers questions."""

    object: str = Field(description="Its name in the bucket.")
    store: str
    title: str
    status: Status
    reason: Reason | None = Field(
        description="Why it could not be indexed (`failed`), or what the last attempt met (`pending`); else null."
    )
    notes: list[str] = Field(description="What of its metadata could not be used, a sentence for each.")
    size: int = Field(description="Bytes.")
    mime_type: str | None
    metadata: dict[str, MetadataValue] = Field(description="What its metadata file says.")
    updated: datetime = Field(description="When the file last changed.")
    indexed: datetime | None = Field(description="When it last became searchable.")
    attempts: int = Field(description="How often indexing was tried since it last succeeded or failed for good.")
    uri: str


class DocumentQuery(BaseModel):
    """Which documents to list."""

    model_config = ConfigDict(extra="forbid")

    store: str | None = Field(None, max_length=255, description="Only documents of this store.")
    prefix: str | None = Field(None, max_length=1024, description="Only documents whose names start so.")
    status: Literal["pending", "indexed", "failed"] | None = Field(None, description="Only documents of this status.")
    type: str | None = Field(
        None, max_length=20, examples=["pdf"], description="Only documents with this extension, such as `pdf`."
    )
    page_size: int = Field(100, ge=1, le=1000)
    page_token: str | None = Field(None, max_length=1024, description="`next_page_token` of the page before.")


class DocumentPage(BaseModel):
    """Documents in the order of their names."""

    documents: list[Document]
    next_page_token: str | None
    request_id: str


class DocumentChange(BaseModel):
    """A change of a document that was begun, and shows in the answers in a moment."""

    object: str
    status: Literal["pending", "deleted"]
    message: str
    request_id: str


@endpoint
async def list_documents(request: Request) -> Response:
    """List the documents of the bucket, a page at a time."""
    asked, parts = read_query(request, DocumentQuery), await runtime()
    if asked.store is not None:
        check_store(asked.store)
    page = await _page(parts, asked, request.app.state.pump)
    more = page.pop().object if len(page) > asked.page_size else None
    answer = DocumentPage(
        documents=page, next_page_token=page[-1].object if more else None, request_id=request_id.get() or ""
    )
    return JSONResponse(answer.model_dump(mode="json"))


@endpoint
async def get_document(request: Request) -> Response:
    """Say where one document stands."""
    parts = await runtime()
    info = await _existing(parts, request)
    document = _document(info, await parts.records.current(info.name))
    await _see_to_pending(request.app.state.pump, document)
    return JSONResponse(document.model_dump(mode="json"))


@endpoint
async def put_document(request: Request) -> Response:
    """Put the body into the bucket as this object; `NAME.metadata.json` describes the document `NAME`."""
    if "content-range" in request.headers:  # RFC 9110, section 14.5: a part must not be taken for the whole
        raise ServiceError("BAD_REQUEST", "A file cannot be sent in parts. Send all of it, without Content-Range.")
    parts, pump, name = await runtime(), request.app.state.pump, _name(request)
    wait = None
    if name.endswith(METADATA_SUFFIX):
        info = await keep_metadata(parts, pump, name, body(request))
    else:
        wait = seconds_to_wait(request)
        info = await keep(parts, pump, name, body(request), size=declared_length(request))
    log_change(request, "document uploaded", info.name)
    answer = await accepted(parts, info, wait=wait)
    headers = {"Location": answer.status_url, **applied(wait)}
    return JSONResponse(answer.model_dump(mode="json"), status_code=answer.http_status, headers=headers)


@endpoint
async def delete_document(request: Request) -> Response:
    """Delete the document from the bucket, with what describes it; its answers go with it."""
    parts = await runtime()
    info = await _existing(parts, request)
    await delete_object(parts, info.name)
    log_change(request, "document deleted", info.name)
    await request.app.state.pump.add(info.name, request_id.get(), caller.get().id)
    trouble = await indexing_trouble(parts)
    message = "The document is deleted, and will be gone from the answers in a moment."
    return _changed(info.name, "deleted", f"The document is deleted. {held_up(trouble)}" if trouble else message)


@endpoint
async def retry_document(request: Request) -> Response:
    """Index the document anew, whether it failed or not; until that is done it answers as before."""
    parts = await runtime()
    info = await _existing(parts, request)
    await renew(parts, info.name)
    log_change(request, "document retried", info.name)
    await request.app.state.pump.add(info.name, request_id.get(), caller.get().id)
    trouble = await indexing_trouble(parts)
    message = "The document is being indexed anew."
    return _changed(
        info.name, "pending", f"The document will be indexed anew. {held_up(trouble)}" if trouble else message
    )


async def delete_object(parts: Runtime, name: str) -> None:
    """Delete a document's object and its metadata file from the bucket."""
    await parts.documents.delete(name)
    await parts.documents.delete(name + METADATA_SUFFIX)


async def _see_to_pending(pump: Pump, document: Document) -> None:
    """Have a document indexed that was found outdated: no event may have told of its change."""
    if document.status is Status.PENDING:
        await pump.suggest(document.object)


async def _page(parts: Runtime, asked: DocumentQuery, pump: Pump) -> list[Document]:
    """The documents that are asked for, and one more where there are more."""
    record_of = await parts.records.snapshot()
    page: list[Document] = []
    async for info in _in_sight(parts, asked):
        if not _wanted(info.name, asked):
            continue
        current = info if info.metadata_known else await parts.documents.stat(info.name)
        if current is None:
            continue
        document = _document(current, await record_of(info.name))
        await _see_to_pending(pump, document)
        if asked.status in (None, document.status):
            page.append(document)
        if len(page) > asked.page_size:
            break
    return page


async def _in_sight(parts: Runtime, asked: DocumentQuery) -> AsyncIterator[ObjectInfo]:
    """The documents with the prefix that is asked for, in the order of their names.

    No other store of the bucket is looked into than those that exist for the caller: the time that a look takes would
    tell what is there.
    """
    prefix = normal(asked.prefix or "")
    stores = caller.get().stores if asked.store is None else {normal(asked.store)}
    if stores is None:
        async for info in documents_of(parts.documents, prefix=prefix):
            yield info
        return
    found: list[ObjectInfo] = []
    for store in stores:
        folder = f"{store}/"
        if folder.startswith(prefix) and store != DEFAULT_STORE:
            found += [info async for info in documents_of(parts.documents, store=store, prefix=folder)]
        elif prefix.startswith(folder) or (store == DEFAULT_STORE and "/" not in prefix):
            found += [info async for info in documents_of(parts.documents, store=store, prefix=prefix)]
    for info in sorted(found, key=lambda info: info.name):
        yield info


def _wanted(name: str, asked: DocumentQuery) -> bool:
    return (
        caller.get().sees(store_of(name))
        and asked.type in (None, suffix_of(name).removeprefix("."))
        and (asked.page_token is None or name > asked.page_token)
    )


class ObjectName(Convertor[str]):
    """The part of a path that is an object's name: everything, line breaks too."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("object", ObjectName())


def _name(request: Request) -> str:
    """The object that a request's path names. Raises ServiceError where it is no UTF-8: servers replace what is not."""
    try:
        unquote(request.scope["raw_path"].decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        raise ServiceError(
            "INVALID_FILENAME", "The name in the path is not UTF-8. Encode it so, and escape it: ü is %C3%BC."
        ) from None
    name = str(request.path_params["object"])
    check_store(store_of(name))
    return name


async def _existing(parts: Runtime, request: Request) -> ObjectInfo:
    """The object that a request names. Raises ServiceError where there is no such document."""
    name = _name(request)
    problem = not_a_document(name) or ("" if is_document(name) else name_problem(name))
    info = None if problem else await parts.documents.stat(await parts.documents.find(name))
    if info is None:
        why = problem or "/api/documents lists those there are."
        raise ServiceError("FILE_NOT_FOUND", f"There is no document {name!r} in the bucket. {why}")
    return info


def _document(info: ObjectInfo, record: Record | None) -> Document:
    return Document(
        object=info.name,
        store=store_of(info.name),
        title=normal(PurePosixPath(info.name).name),
        status=status_of(info, record),
        reason=record.why_not_indexed(info) if record else None,
        notes=list(searchable_metadata(info)[1]),
        size=info.size,
        mime_type=mime_type_of(info.name),
        metadata=dict(info.metadata),
        updated=info.updated,
        indexed=record.indexed if record else None,
        attempts=record.attempts if record else 0,
        uri=document_url(info.name),
    )


def _changed(name: str, status: Literal["pending", "deleted"], message: str) -> Response:
    answer = DocumentChange(object=name, status=status, message=message, request_id=request_id.get() or "")
    return JSONResponse(answer.model_dump(), status_code=202, headers={"Location": document_url(name)})
