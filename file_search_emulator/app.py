"""The Gemini File Search API as an ASGI application over one data folder."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from file_search_emulator import catalog, database, wire
from file_search_emulator.emulator import Emulator, database_of
from file_search_emulator.errors import ApiError, invalid_argument
from file_search_emulator.generation import whole
from file_search_emulator.names import check_id

LARGEST_BODY = 20 * 1024 * 1024
"""Bytes: the API's limit of a request that is no upload."""

Handler = Callable[[Request, Emulator], Awaitable[Response]]
Model = TypeVar("Model", bound=BaseModel)
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

logger = logging.getLogger(__name__)


def create_app(data_dir: Path, *, always_ground: bool = False) -> Starlette:
    """The API over `data_dir`, which is made where it is missing.

    Nothing is opened before the first request. `await app.state.emulator.close()` ends its threads and its child
    process; a server that runs the lifespan does that by itself. Any API key is accepted. `always_ground` sends what
    was retrieved also with questions that the documents do not answer, to measure retrieval.
    """
    stores = "/{version}/fileSearchStores"
    store = stores + "/{store}"
    upload = f"/upload{store}:uploadToFileSearchStore"
    routes = [
        Route(stores, _with_key(_create_store), methods=["POST"]),
        Route(stores, _with_key(_list_stores)),
        Route(store, _with_key(_get_store)),
        Route(store, _with_key(_delete_store), methods=["DELETE"]),
        Route(f"{store}/documents", _with_key(_list_documents)),
        Route(f"{store}/documents/{{document}}", _with_key(_get_document)),
        Route(f"{store}/documents/{{document}}", _with_key(_delete_document), methods=["DELETE"]),
        Route(f"{store}/upload/operations/{{document}}", _with_key(_get_operation)),
        Route(upload, _answering(_upload), methods=["POST"]),
        Route("/{version}/models/{model}:generateContent", _with_key(_generate), methods=["POST"]),
        Route("/{version}/models/{model}:streamGenerateContent", _with_key(_stream), methods=["POST"]),
    ]
    emulator = Emulator(data_dir, always_ground=always_ground)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await emulator.close()

    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_such_path}, lifespan=lifespan)
    app.state.emulator = emulator
    return app


def instance_id(data_dir: Path) -> str:
    """The id of the index in a data folder: made once, with the folder where that is missing, and never changed."""
    opened = database_of(data_dir)
    try:
        with opened.read() as connection:
            return database.instance_id(connection)
    finally:
        opened.close()


def _answering(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A handler whose refusals and failures become answers."""

    @wraps(handler)
    async def endpoint(request: Request) -> Response:
        emulator: Emulator = request.app.state.emulator
        try:
            if not emulator.is_open:
                await asyncio.to_thread(emulator.open)
            return await handler(request, emulator)
        except ApiError as error:
            return JSONResponse(error.body(), error.code)
        except ClientDisconnect:
            return Response(status_code=499)  # no one reads it
        except Exception:
            logger.exception("A request failed")
            return JSONResponse(ApiError(500, "INTERNAL", "An internal error has occurred.").body(), 500)

    return endpoint


def _with_key(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    @wraps(handler)
    async def checked(request: Request, emulator: Emulator) -> Response:
        _check_key(request)
        return await handler(request, emulator)

    return _answering(checked)


def _check_key(request: Request) -> None:
    if not (request.headers.get("x-goog-api-key") or request.query_params.get("key")):
        raise ApiError(
            403,
            "PERMISSION_DENIED",
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
            "other form of API consumer identity to call this API.",
        )


async def _create_store(request: Request, emulator: Emulator) -> Response:
    asked = await _body(request, wire.CreateStore)
    return JSONResponse(await _write(emulator, catalog.create_store, asked))


async def _list_stores(request: Request, emulator: Emulator) -> Response:
    return JSONResponse(await _read(emulator, catalog.list_stores, *_page(request)))


async def _get_store(request: Request, emulator: Emulator) -> Response:
    return JSONResponse(await _read(emulator, catalog.get_store, _store(request)))


async def _delete_store(request: Request, emulator: Emulator) -> Response:
    useless = await _write(emulator, catalog.delete_store, _store(request), _force(request))
    await asyncio.to_thread(emulator.uploads.forget, *useless)
    return JSONResponse({})


async def _list_documents(request: Request, emulator: Emulator) -> Response:
    listing = await _read(emulator, catalog.list_documents, _store(request), *_page(request))
    emulator.indexer.kick()
    return JSONResponse(listing)


async def _get_document(request: Request, emulator: Emulator) -> Response:
    row = await _read(emulator, catalog.get_document, _store(request), _document(request))
    emulator.indexer.kick()
    return JSONResponse(wire.document_resource(row))


async def _delete_document(request: Request, emulator: Emulator) -> Response:
    useless = await _write(emulator, catalog.delete_document, _store(request), _document(request), _force(request))
    await asyncio.to_thread(emulator.uploads.forget, useless)
    return JSONResponse({})


async def _get_operation(request: Request, emulator: Emulator) -> Response:
    row = await _read(emulator, catalog.get_document, _store(request), _document(request))
    emulator.indexer.kick()
    return JSONResponse(wire.operation_resource(row))


async def _upload(request: Request, emulator: Emulator) -> Response:
    """A step of a resumable upload. A refusal says that the upload is over, or the SDK would send the bytes again."""
    try:
        return await _upload_step(request, emulator)
    except ApiError as error:
        return JSONResponse(error.body(), error.code, {"x-goog-upload-status": "final"})


async def _upload_step(request: Request, emulator: Emulator) -> Response:
    """The start, which needs a key, or some of the bytes, which need only the upload's id."""
    if request.headers.get("x-goog-upload-protocol", "resumable") != "resumable":
        raise invalid_argument("Only resumable uploads are taken: X-Goog-Upload-Protocol: resumable.")
    commands = [command.strip() for command in request.headers.get("x-goog-upload-command", "").split(",")]
    if commands == ["start"]:
        return await _start_upload(request, emulator)
    if commands not in (["upload"], ["upload", "finalize"]):
        raise invalid_argument("X-Goog-Upload-Command must be 'start', 'upload' or 'upload, finalize'.")
    return await _continue_upload(request, emulator, final="finalize" in commands)


async def _start_upload(request: Request, emulator: Emulator) -> Response:
    _check_key(request)
    asked = await _body(request, wire.UploadToStore)
    upload = await asyncio.to_thread(
        emulator.uploads.start,
        _store(request),
        asked,
        mime_type=request.headers.get("x-goog-upload-header-content-type", ""),
        file_name=request.headers.get("x-goog-upload-file-name", ""),
        expected=_number(request, "x-goog-upload-header-content-length"),
    )
    url = request.url.replace(query=f"upload_id={upload}&upload_protocol=resumable")
    return PlainTextResponse("", headers={"x-goog-upload-status": "active", "x-goog-upload-url": str(url)})


async def _continue_upload(request: Request, emulator: Emulator, *, final: bool) -> Response:
    upload = request.query_params.get("upload_id", "")
    offset = _number(request, "x-goog-upload-offset")
    operation = await emulator.uploads.receive(upload, offset, request.stream(), final=final)
    if not final:
        return PlainTextResponse("", headers={"x-goog-upload-status": "active"})
    emulator.indexer.kick()
    return JSONResponse(operation, headers={"x-goog-upload-status": "final"})


async def _generate(request: Request, emulator: Emulator) -> Response:
    return JSONResponse(whole(await _events(request, emulator)))


async def _stream(request: Request, emulator: Emulator) -> Response:
    events = await _events(request, emulator)
    if request.query_params.get("alt") != "sse":
        return JSONResponse(events)

    async def lines() -> AsyncIterator[str]:
        for event in events:
            yield f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


async def _events(request: Request, emulator: Emulator) -> list[dict[str, Any]]:
    asked = await _body(request, wire.GenerateContent)
    emulator.indexer.kick()
    return await asyncio.to_thread(emulator.generator.generate, asked)


async def _body(request: Request, model: type[Model]) -> Model:
    """The request's body; an empty one is {}. Raises ApiError (400) for what the model does not take."""
    body = bytearray()
    async for data in request.stream():
        body += data
        if len(body) > LARGEST_BODY:
            raise invalid_argument(f"Request payload size exceeds the limit: {LARGEST_BODY} bytes.")
    try:
        return model.model_validate_json(bytes(body) or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise invalid_argument(f"Invalid value at '{place}': {message}" if place else message) from None


async def _read(
    emulator: Emulator,
    work: Callable[Concatenate[sqlite3.Connection, Arguments], Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result:
    def transaction() -> Result:
        with emulator.database.read() as connection:
            return work(connection, *args, **kwargs)

    return await asyncio.to_thread(transaction)


async def _write(
    emulator: Emulator,
    work: Callable[Concatenate[sqlite3.Connection, Arguments], Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result:
    def transaction() -> Result:
        with emulator.database.write() as connection:
            return work(connection, *args, **kwargs)

    return await asyncio.to_thread(transaction)


def _store(request: Request) -> str:
    return check_id("FileSearchStore", request.path_params["store"])


def _document(request: Request) -> str:
    return check_id("Document", request.path_params["document"])


def _page(request: Request) -> tuple[str, str]:
    query = request.query_params
    size = query.get("pageSize") or query.get("page_size") or ""
    return size, query.get("pageToken") or query.get("page_token") or ""


def _force(request: Request) -> bool:
    return request.query_params.get("force", "").lower() == "true"


def _number(request: Request, header: str) -> int:
    value = request.headers.get(header, "")
    if not value.isascii() or not value.isdigit():
        raise invalid_argument(f"The header {header} must be a number of bytes.")
    return int(value)


async def _no_such_path(request: Request, error: Exception) -> Response:
    return PlainTextResponse("Not Found", 404)
