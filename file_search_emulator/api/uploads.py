"""The resumable upload protocol (X-Goog-Upload-*), into a store or among the files."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from file_search_emulator import catalog, files, wire
from file_search_emulator.api.requests import base_url, body_of, check_key, store_of
from file_search_emulator.emulator import Emulator
from file_search_emulator.errors import ApiError, invalid_argument
from file_search_emulator.faults import Rule

LARGEST_DOCUMENT = 100 * 1000 * 1000
"""Bytes: the API's limit of a document, 100 MB."""
_NEVER = 1e18
"""When a document that is stuck may be indexed (Unix time)."""


async def upload(request: Request, emulator: Emulator) -> Response:
    """A step of an upload. A refusal says that the upload is over, or the SDK would send the bytes again."""
    try:
        return await _step(request, emulator)
    except ApiError as error:
        return JSONResponse(error.body(), error.code, {"x-goog-upload-status": "final"})


def fate_of(request: Request, emulator: Emulator) -> dict[str, Any]:
    """What becomes of a new document besides being indexed, as fields of NewDocument: when, and which fault."""
    fate: dict[str, Any] = {"ready_at": time.time() + emulator.indexing_delay if emulator.indexing_delay else 0.0}
    rule: Rule | None = request.scope.get("fault")
    if rule is not None and rule.fault == "stuck":
        fate["ready_at"] = _NEVER
    elif rule is not None and rule.fault in ("fail", "fail_then_recover"):
        fate["fault"] = rule.message
        fate["recovers_in"] = rule.seconds if rule.fault == "fail_then_recover" else None
    return fate


async def _step(request: Request, emulator: Emulator) -> Response:
    """The start, which needs a key, or any other step, which needs only the upload's id."""
    if request.headers.get("x-goog-upload-protocol", "resumable") != "resumable":
        raise invalid_argument("Only resumable uploads are taken: X-Goog-Upload-Protocol: resumable.")
    commands = [command.strip() for command in request.headers.get("x-goog-upload-command", "").split(",")]
    if commands == ["start"]:
        return await _start(request, emulator)
    upload_id = request.query_params.get("upload_id", "")
    match commands:
        case ["upload"] | ["upload", "finalize"]:
            end = await emulator.uploads.receive(upload_id, _number(request, "x-goog-upload-offset"), request.stream())
            if commands == ["upload"]:
                return _answer({"x-goog-upload-status": "active", "x-goog-upload-size-received": str(end)})
            return await _finish(request, emulator, upload_id)
        case ["finalize"]:
            return await _finish(request, emulator, upload_id)
        case ["query"]:
            received = await asyncio.to_thread(emulator.uploads.received, upload_id)
            return _answer({"x-goog-upload-status": "active", "x-goog-upload-size-received": str(received)})
        case ["cancel"]:
            await asyncio.to_thread(emulator.uploads.cancel, upload_id)
            return _answer({"x-goog-upload-status": "cancelled"})
    raise invalid_argument("X-Goog-Upload-Command must be start, upload, finalize, query or cancel.")


async def _start(request: Request, emulator: Emulator) -> Response:
    check_key(request)
    announced = request.headers.get("x-goog-upload-header-content-type", "")
    expected = _number(request, "x-goog-upload-header-content-length")
    store: int | None = None
    if "store" in request.path_params:
        into_store = await body_of(request, wire.UploadToStore)
        mime_type, limit, kept = into_store.mime_type or announced, LARGEST_DOCUMENT, into_store.model_dump_json()
        store = await asyncio.to_thread(_welcomed, emulator, store_of(request), mime_type, expected)
    else:
        new = (await body_of(request, wire.UploadFile)).file
        mime_type, limit, kept = files.check_type(new.mime_type or announced), files.LARGEST, new.model_dump_json()
    upload_id = await asyncio.to_thread(
        emulator.uploads.start,
        store,
        kept,
        mime_type=mime_type,
        file_name=request.headers.get("x-goog-upload-file-name", ""),
        expected=expected,
        limit=limit,
    )
    url = request.url.replace(query=f"upload_id={upload_id}&upload_protocol=resumable")
    return _answer({"x-goog-upload-status": "active", "x-goog-upload-url": str(url)})


def _welcomed(emulator: Emulator, store: str, mime_type: str, size: int) -> int:
    """The number of a store that takes a document of this type and size."""
    with emulator.database.read() as connection:
        number = catalog.store_number(connection, store)
        catalog.check_type(connection, number, mime_type)
        catalog.check_room(connection, size, emulator.storage_limit)
        return number


async def _finish(request: Request, emulator: Emulator, upload_id: str) -> Response:
    if "store" in request.path_params:
        made = await asyncio.to_thread(_finish_document, request, emulator, upload_id)
        emulator.indexer.kick()
    else:
        made = await asyncio.to_thread(_finish_file, request, emulator, upload_id)
    return JSONResponse(made, headers={"x-goog-upload-status": "final"})


def _finish_document(request: Request, emulator: Emulator, upload_id: str) -> dict[str, Any]:
    fate = fate_of(request, emulator)

    def finish(connection: sqlite3.Connection, session: sqlite3.Row) -> dict[str, Any]:
        asked = wire.UploadToStore.model_validate_json(session["request"])
        catalog.check_room(connection, session["expected"], emulator.storage_limit)
        new = catalog.NewDocument(
            blob=upload_id,
            size=session["expected"],
            mime_type=session["mime_type"],
            file_name=session["file_name"],
            display_name=asked.display_name,
            **fate,
        )
        document = catalog.add_document(connection, session["store"], new, asked)
        return wire.accepted_operation(session["store_id"], document, new.mime_type, new.size)

    return emulator.uploads.finish(upload_id, finish)


def _finish_file(request: Request, emulator: Emulator, upload_id: str) -> dict[str, Any]:
    path = emulator.blobs.path(upload_id)
    sha256 = ""
    if path.exists():
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    def finish(connection: sqlite3.Connection, session: sqlite3.Row) -> dict[str, Any]:
        new = wire.NewFile.model_validate_json(session["request"])
        row = files.add_file(
            connection,
            new,
            blob=upload_id,
            mime_type=session["mime_type"],
            size=session["expected"],
            sha256=sha256 or hashlib.sha256().hexdigest(),
        )
        return {"file": wire.file_resource(row, base_url(request), files.EXPIRES_AFTER)}

    return emulator.uploads.finish(upload_id, finish)


def _answer(headers: dict[str, str]) -> Response:
    return PlainTextResponse("", headers=headers)


def _number(request: Request, header: str) -> int:
    value = request.headers.get(header, "")
    if not value.isascii() or not value.isdigit():
        raise invalid_argument(f"The header {header} must be a number of bytes.")
    return int(value)
