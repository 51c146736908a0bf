"""The server: the functions' own handlers on one ASGI app, the documents API, and the directory watch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from enum import Enum
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp

from flamehaven import documents, keys, monitoring, openapi, stores, uploads
from flamehaven.access import READERS, OpenDoor, described_to_admins, guarded, open_door
from flamehaven.census import keep_looking
from flamehaven.deliveries import Deliveries
from flamehaven.headers import SecurityHeaders, other_origins
from flamehaven.intake import Accepted, largest_file
from flamehaven.limits import Kind, open_limits
from flamehaven.metrics import count
from flamehaven.observing import Observing
from flamehaven.pages import add_pages
from flamehaven.proxies import TrustedProxies
from flamehaven.pump import PATIENCE, Pump
from flamehaven.queues import open_queue
from flamehaven.slow_bodies import SlowBodies
from flamehaven.sole import sole
from flamehaven.sweeps import keep_sweeping
from flamehaven.tracing import requests_traced, tracing
from flamehaven.watch import DirectoryWatch
from functions.health.main import health
from functions.health.readiness import Health
from functions.ingest.main import sweep
from functions.ingest.models import SweepReport, SweepRequest
from functions.ingest.worker import settle, settle_event
from functions.search.main import search
from functions.search.models import SearchRequest
from shared.access import Scope
from shared.buckets.directory import DirectoryBucket
from shared.http import configure_once, endpoint
from shared.logs import product_version
from shared.runtime import Runtime, close_runtime, runtime
from shared.settings import settings

log = logging.getLogger(__name__)

Described = dict[str, Any]

QUEUE_PAUSE = 10.0
"""Seconds before a queue that could not be read is tried again, and after which one that is read counts as well."""


class App(FastAPI):
    """FastAPI with our headers outside of everything: Starlette answers an exception that nobody handled out there."""

    def build_middleware_stack(self) -> ASGIApp:
        inside = other_origins(super().build_middleware_stack(), settings().cors_origins)
        if settings().flamehaven_metrics_enabled:
            inside = Observing(inside)
        return SecurityHeaders(inside)


def create_app(*, watch: bool = True) -> FastAPI:
    """The ASGI app; it opens nothing before its lifespan starts.

    Without `watch` it neither watches the documents folder nor sweeps, and sees only to what comes over its routes from
    this process, which needs no key.
    """
    configure_once()
    lifespan = partial(_lifespan, watch=watch)
    app = App(
        title="Flamehaven FileSearch",
        version=product_version(),
        lifespan=lifespan,
        openapi_tags=[{"name": name, "description": text} for name, text in openapi.TAGS.items()],
        docs_url=None,
        redoc_url=None,
        telemetry=requests_traced(),
        redirect_slashes=False,  # a redirect would lead wherever the request's own Host says
    )
    app.add_middleware(SlowBodies)
    app.add_middleware(TrustedProxies, trusted=settings().trusted_proxies)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(Exception, _refuse)
    _add_routes(app)
    add_pages(app)
    _add_heads(app)
    app.openapi = partial(_openapi, app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


def _add_routes(app: FastAPI) -> None:
    gives, takes_path, takes_query = openapi.gives, openapi.takes_path, openapi.takes_query

    def add(
        path: str,
        method: str,
        handler: Any,
        *described: Described,
        scopes: tuple[Scope, ...] = (),
        kind: Kind = Kind.OTHER,
        answer: type[Response] = JSONResponse,
    ) -> None:
        extra = {key: value for part in described for key, value in part.items()}
        if scopes:
            extra |= openapi.takes_key(extra["responses"])
        extra["parameters"] = [parameter for part in described for parameter in part.get("parameters", [])]
        name = f"{handler.__name__}_{method.lower()}" if handler is search else handler.__name__
        app.add_api_route(
            path,
            guarded(handler, *scopes, kind=kind) if scopes else handler,
            methods=[method],
            status_code=int(next(iter(extra["responses"]))),
            response_class=answer,
            response_model=None,
            operation_id=name,
            tags=[openapi.tag_of(path)],
            openapi_extra=extra,
        )

    search_, upload, manage, admin = ((scope,) for scope in Scope)
    answer = openapi.gives_search(errors=(400, 404, 409, 415, 422, 502, 503, 504))
    add(
        "/api/search",
        "GET",
        search,
        takes_query(SearchRequest, {"query": "q"}),
        answer,
        scopes=search_,
        kind=Kind.SEARCH,
    )
    add("/api/search", "POST", search, openapi.takes_json(SearchRequest), answer, scopes=search_, kind=Kind.SEARCH)

    kept = openapi.gives_accepted(Accepted, errors=(400, 413, 415, 422, 503))
    several = openapi.gives_accepted(uploads.AcceptedFiles, errors=(400, 413, 415, 422, 503))
    form, forms = openapi.takes_form("file"), openapi.takes_form("files", several=True)
    add("/api/upload/single", "POST", uploads.upload_single, form, kept, scopes=upload, kind=Kind.UPLOAD)
    add("/api/upload/multiple", "POST", uploads.upload_multiple, forms, several, scopes=upload, kind=Kind.UPLOADS)

    document, named = "/api/documents/{object:object}", takes_path("object")
    page = gives(documents.DocumentPage, errors=(422, 503))
    add("/api/documents", "GET", documents.list_documents, takes_query(documents.DocumentQuery), page, scopes=READERS)
    changed = gives(documents.DocumentChange, 202, errors=(404, 503))
    add(f"{document}/retry", "POST", documents.retry_document, named, changed, scopes=manage)
    found = gives(documents.Document, errors=(404, 503))
    add(document, "GET", documents.get_document, named, found, scopes=READERS)
    add(document, "PUT", documents.put_document, named, openapi.takes_bytes(), kept, scopes=upload, kind=Kind.UPLOAD)
    add(document, "DELETE", documents.delete_document, named, changed, scopes=manage)

    store, named = "/api/stores/{store}", takes_path("store")
    add("/api/stores", "GET", stores.list_stores, gives(stores.StoreList, errors=(503,)), scopes=READERS)
    made = gives(stores.StoreMade, 201, also=200, errors=(400, 415, 422, 503))
    add("/api/stores", "POST", stores.make_store, openapi.takes_json(stores.StoreRequest), made, scopes=manage)
    emptied = gives(stores.StoreChange, errors=(400, 404, 409, 422, 503))
    add(store, "DELETE", stores.delete_store, named, takes_query(stores.StoreDeletion), emptied, scopes=manage)
    renewed = gives(stores.StoreChange, 202, errors=(400, 404, 503))
    add(f"{store}/reindex", "POST", stores.reindex_store, named, renewed, scopes=manage)

    swept = gives(SweepReport, errors=(422, 503))
    add("/api/reconcile", "POST", sweep, takes_query(SweepRequest), swept, scopes=admin)

    key, named = "/api/admin/keys/{id}", takes_path("id")
    add("/api/admin/keys", "GET", keys.list_keys, gives(keys.KeyList, errors=(503,)), scopes=admin)
    made = gives(keys.NewKey, 201, errors=(400, 415, 422, 503))
    add("/api/admin/keys", "POST", keys.create_key, openapi.takes_json(keys.KeyRequest), made, scopes=admin)
    add(key, "DELETE", keys.revoke_key, named, gives(keys.Key, errors=(404, 503)), scopes=admin)

    refused = (401, 403, 404, 503)
    add("/metrics", "GET", monitoring.summary, gives(monitoring.Summary, errors=refused))
    add("/prometheus", "GET", monitoring.prometheus, openapi.gives_text(errors=refused), answer=PlainTextResponse)
    add("/health", "GET", described_to_admins(health), gives(Health, also=503))
    for path, handler, name in (("/health/live", health, "liveness"), ("/", _about, "about")):
        tags: list[str | Enum] = [openapi.tag_of(path)]
        app.add_api_route(path, handler, methods=["GET"], response_model=None, operation_id=name, tags=tags)


def _add_heads(app: FastAPI) -> None:
    """Take HEAD wherever GET is taken (RFC 9110, section 9.3.2); the server leaves the body out of the answer."""
    for route in list(app.routes):
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            app.add_api_route(
                route.path, route.endpoint, methods=["HEAD"], response_model=None, include_in_schema=False
            )


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
            "max_file_bytes": largest_file(await runtime()),
        }
    )


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer for a route that does not exist, or a failure outside every handler, in the common error shape."""

    @endpoint
    async def refuse(request: Request) -> Response:
        raise error

    if isinstance(error, HTTPException) and error.status_code == 405:
        error.headers = {"Allow": ", ".join(sorted(_methods_of(request)))}
    return await refuse(request)


def _methods_of(request: Request) -> set[str]:
    """The methods that the request's path takes: each has a route of its own, and knows only itself."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in routes for method in getattr(route, "methods", None) or ()}


@asynccontextmanager
async def _lifespan(app: FastAPI, *, watch: bool) -> AsyncIterator[None]:
    parts = await runtime()
    pump = app.state.pump = Pump(partial(settle, parts, patience=PATIENCE))
    app.state.limits = open_limits(parts) if watch else None
    if parts.settings.flamehaven_metrics_enabled:
        count()
    app.state.door = await asyncio.to_thread(open_door, parts) if watch else OpenDoor()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(tracing())
        stack.push_async_callback(close_runtime)
        await stack.enter_async_context(_running(pump.run(), "pump"))
        if watch:
            await stack.enter_async_context(_running(_keep_up(parts, pump), "watch over the documents"))
            if parts.settings.events_url:
                await stack.enter_async_context(_running(_take_events(parts), "queue's events"))
        yield


async def _keep_up(parts: Runtime, pump: Pump) -> None:
    """Watch the folder, where the documents are in one, and sweep: one process of this machine does."""
    async with sole(parts.settings.data_dir / ".watch.lock"), asyncio.TaskGroup() as group:
        if isinstance(parts.documents, DirectoryBucket):
            group.create_task(DirectoryWatch(parts.documents, pump, parts.settings.watch_mode).run())
        group.create_task(keep_sweeping(parts, pump))
        if parts.settings.flamehaven_metrics_enabled:
            group.create_task(keep_looking(parts))


async def _take_events(parts: Runtime) -> None:
    """Settle what the queue tells, and begin anew when that ends."""
    address = parts.settings.events_url
    deliveries = Deliveries(partial(settle_event, parts, patience=PATIENCE), parts.trouble)
    while True:
        well = asyncio.get_running_loop().call_later(QUEUE_PAUSE, parts.trouble.pop, "events", None)
        try:
            queue = await asyncio.to_thread(open_queue, address)
            async with contextlib.aclosing(queue):
                await queue.deliver(deliveries)
        except Exception as error:
            parts.trouble["events"] = f"The queue {address} cannot be read: {error}"
            log.error("The queue %s cannot be read: %s", address, error)
        finally:
            well.cancel()
        await asyncio.sleep(QUEUE_PAUSE)


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None], what: str) -> AsyncIterator[None]:
    """Keep work running beside the server; it gives its leases back when the server stops."""
    task = asyncio.create_task(work)
    task.add_done_callback(partial(_log_end, what))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _log_end(what: str, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("The %s ended; documents are no longer indexed.", what, exc_info=error)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        document.setdefault("components", {}).setdefault("schemas", {}).update(openapi.components())
        document["components"]["securitySchemes"] = openapi.SECURITY
        app.openapi_schema = document
    return app.openapi_schema
