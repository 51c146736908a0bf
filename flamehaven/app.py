"""The server: the functions' own handlers on one ASGI app, the documents API, and the directory watch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flamehaven import openapi
from flamehaven.documents import (
    Accepted,
    Document,
    DocumentPage,
    DocumentQuery,
    get_document,
    list_documents,
    upload_single,
)
from flamehaven.pump import Pump
from flamehaven.watch import DirectoryWatch
from functions.health.main import health
from functions.health.readiness import Health
from functions.ingest.worker import settle, settle_all
from functions.search.main import search
from functions.search.models import SearchAnswer, SearchRequest
from shared.buckets.directory import DirectoryBucket
from shared.http import configure_once, endpoint
from shared.logs import product_version
from shared.runtime import close_runtime, runtime

log = logging.getLogger(__name__)

SEARCH_ERRORS = (400, 404, 422, 502, 503)


def create_app() -> FastAPI:
    """The ASGI app; it opens nothing before its lifespan starts."""
    app = FastAPI(title="Flamehaven FileSearch", version=product_version(), lifespan=_lifespan)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(Exception, _refuse)
    _add_routes(app)
    app.openapi = partial(_openapi, app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


def _add_routes(app: FastAPI) -> None:
    def add(path: str, method: str, handler: Any, *described: dict[str, Any], name: str) -> None:
        extra = {key: value for part in described for key, value in part.items()}
        app.add_api_route(path, handler, methods=[method], response_model=None, operation_id=name, openapi_extra=extra)

    answer = openapi.gives(SearchAnswer, errors=SEARCH_ERRORS)
    by_query = openapi.takes_query(SearchRequest, {"query": "q"})
    add("/api/search", "GET", search, by_query, answer, name="search_by_query")
    add("/api/search", "POST", search, openapi.takes_json(SearchRequest), answer, name="search")
    accepted = openapi.gives(Accepted, 202, errors=(400, 413, 422, 503))
    add("/api/upload/single", "POST", upload_single, openapi.takes_file(), accepted, name="upload_single")
    page = openapi.gives(DocumentPage, errors=(422, 503))
    add("/api/documents", "GET", list_documents, openapi.takes_query(DocumentQuery), page, name="list_documents")
    document = openapi.gives(Document, errors=(404, 503))
    add("/api/documents/{object:path}", "GET", get_document, openapi.takes_object(), document, name="get_document")
    ready = openapi.gives(Health)
    ready["responses"]["503"] = ready["responses"]["200"]
    add("/health", "GET", health, ready, name="readiness")
    app.add_api_route("/health/live", health, methods=["GET"], response_model=None, operation_id="liveness")
    app.add_api_route("/", _about, methods=["GET"], response_model=None, operation_id="about")


@endpoint
async def _about(request: Request) -> Response:
    """Say what this is and where to go on."""
    return JSONResponse(
        {
            "name": "Flamehaven FileSearch",
            "version": product_version(),
            "docs": "/docs",
            "health": "/health",
            "search": "/api/search?q=...&store=...",
        }
    )


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer for a route that does not exist, or a failure outside every handler, in the common error shape."""

    @endpoint
    async def refuse(request: Request) -> Response:
        raise error

    return await refuse(request)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    configure_once()
    parts = await runtime()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(close_runtime)
        if isinstance(parts.documents, DirectoryBucket):
            pump = Pump(partial(settle, parts))
            lock = parts.settings.data_dir / ".watch.lock"
            watch = DirectoryWatch(parts.documents, pump, partial(settle_all, parts), lock=lock)
            await stack.enter_async_context(_running(watch))
        yield


@asynccontextmanager
async def _running(watch: DirectoryWatch) -> AsyncIterator[None]:
    """Keep the watch running beside the server; it gives its leases back when the server stops."""
    task = asyncio.create_task(watch.run())
    task.add_done_callback(_log_end)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("The directory watch ended; documents are no longer indexed.", exc_info=error)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        document.setdefault("components", {}).setdefault("schemas", {}).update(openapi.components())
        app.openapi_schema = document
    return app.openapi_schema
