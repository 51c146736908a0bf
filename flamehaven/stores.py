"""Stores over HTTP: what there is, and changes to a store as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flamehaven.documents import delete_object
from functions.ingest.worker import renew
from shared.access import caller, check_store
from shared.buckets import ObjectInfo
from shared.buckets.documents import documents_of
from shared.changes import log_change
from shared.errors import ServiceError
from shared.http import endpoint
from shared.logs import request_id
from shared.names import normal, store_of, store_problem
from shared.reading import read_json, read_query
from shared.records import Snapshot, status_of
from shared.runtime import Runtime, runtime
from shared.stores import store_not_found

PARALLEL = 16
"""Objects that one request changes at once."""


class StoreSummary(BaseModel):
    """A store, and how far its documents have come."""

    resource: str | None = Field(description="What Gemini calls it; null while nothing in it was indexed.")
    documents: int = 0
    indexed: int = 0
    pending: int = 0
    failed: int = 0
    size_bytes: int = 0
    problems: list[str] = Field(
        default_factory=list, description="Folders that the server may not enter: documents in them are not counted."
    )


class StoreList(BaseModel):
    """Every store by its name."""

    status: Literal["success"] = "success"
    count: int
    stores: dict[str, StoreSummary]
    request_id: str


class StoreRequest(BaseModel):
    """A store to make."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=255, examples=["plans"], description="The name of the new store.")


class StoreMade(BaseModel):
    """A store that is there now."""

    status: Literal["success"] = "success"
    store_name: str
    resource: str
    request_id: str


class StoreDeletion(BaseModel):
    """How to delete a store."""

    model_config = ConfigDict(extra="forbid")

    force: bool = Field(False, description="Delete it with its documents; without, only an empty store is deleted.")


class StoreChange(BaseModel):
    """What happens to a store, and to how many documents of it."""

    status: Literal["success", "accepted"]
    store: str
    documents: int
    request_id: str


@endpoint
async def list_stores(request: Request) -> Response:
    """List the stores: the folders of the bucket, and those that were made and hold nothing."""
    parts, sees = await runtime(), caller.get().sees
    known = [record for record in await parts.stores.all() if sees(record.store)]
    stores = {normal(record.store): StoreSummary(resource=record.resource) for record in known}
    record_of = await parts.records.snapshot()
    async for info in documents_of(parts.documents):
        if sees(store_of(info.name)):
            await _count(stores.setdefault(store_of(info.name), StoreSummary(resource=None)), info, record_of)
    for folder in await parts.documents.closed_folders():
        store = folder.partition("/")[0]
        if sees(store):
            problem = f"The server may not enter the folder {folder!r}: give it the right to."
            stores.setdefault(store, StoreSummary(resource=None)).problems.append(problem)
    answer = StoreList(count=len(stores), stores=dict(sorted(stores.items())), request_id=request_id.get() or "")
    return JSONResponse(answer.model_dump())


@endpoint
async def make_store(request: Request) -> Response:
    """Make a store, so that it can be searched before there is anything in it."""
    asked, parts = await read_json(request, StoreRequest), await runtime()
    store = _checked(asked.name)
    known = await parts.stores.resource(store)
    resource = known or await parts.stores.ensure(store)
    if not known:
        log_change(request, "store created", store)
    answer = StoreMade(
        store_name=store,
        resource=resource,
        request_id=request_id.get() or "",
    )
    return JSONResponse(answer.model_dump(), status_code=200 if known else 201)


@endpoint
async def delete_store(request: Request) -> Response:
    """Delete a store, with `force` also one that holds documents: they are deleted from the bucket."""
    asked, parts, store = read_query(request, StoreDeletion), await runtime(), _checked(request.path_params["store"])
    objects = await _objects(parts, store)
    if objects and not asked.force:
        size = sum(info.size for info in objects)
        raise ServiceError(
            "RESOURCE_CONFLICT",
            f"Store {store!r} holds {len(objects)} documents ({size:,} bytes). To delete them too, add force=true.",
            details={"documents": len(objects), "size_bytes": size},
        )

    async def delete(info: ObjectInfo) -> None:
        await delete_object(parts, info.name)
        await request.app.state.pump.add(info.name, request_id.get(), caller.get().id)

    await _for_each(objects, delete)
    await parts.stores.delete(store)
    log_change(request, "store deleted", store)
    return _changed("success", store, len(objects))


@endpoint
async def reindex_store(request: Request) -> Response:
    """Index every document of a store anew; until that is done each answers as before."""
    parts, store = await runtime(), _checked(request.path_params["store"])
    objects = await _objects(parts, store)

    async def index_anew(info: ObjectInfo) -> None:
        await renew(parts, info.name)
        await request.app.state.pump.add(info.name, request_id.get(), caller.get().id)

    await _for_each(objects, index_anew)
    log_change(request, "store reindexed", store)
    return _changed("accepted", store, len(objects), http_status=202)


async def _objects(parts: Runtime, store: str) -> list[ObjectInfo]:
    """The documents of a store. Raises ServiceError where there is no such store."""
    objects = [info async for info in documents_of(parts.documents, store=store)]
    if not objects and await parts.stores.resource(store) is None:
        raise await store_not_found(parts.stores, store)
    return objects


async def _count(summary: StoreSummary, info: ObjectInfo, record_of: Snapshot) -> None:
    summary.documents += 1
    summary.size_bytes += info.size
    status = status_of(info, await record_of(info.name))
    setattr(summary, status, getattr(summary, status) + 1)


async def _for_each(objects: list[ObjectInfo], act: Callable[[ObjectInfo], Awaitable[None]]) -> None:
    remaining = iter(objects)

    async def work() -> None:
        for info in remaining:
            await act(info)

    async with asyncio.TaskGroup() as group:
        for _ in range(PARALLEL):
            group.create_task(work())


def _checked(store: str) -> str:
    """The name of a store that may be and that the caller may use. Raises ServiceError."""
    check_store(store)
    if problem := store_problem(store):
        raise ServiceError("INVALID_FILENAME", problem)
    return normal(store)


def _changed(status: Literal["success", "accepted"], store: str, documents: int, *, http_status: int = 200) -> Response:
    answer = StoreChange(status=status, store=store, documents=documents, request_id=request_id.get() or "")
    return JSONResponse(answer.model_dump(), status_code=http_status)
