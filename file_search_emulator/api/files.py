"""The Files API but for its uploads."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from file_search_emulator import files, wire
from file_search_emulator.api.requests import base_url, page_of, read, write
from file_search_emulator.emulator import Emulator
from file_search_emulator.errors import failed_precondition


async def list_files(request: Request, emulator: Emulator) -> Response:
    return JSONResponse(await read(emulator, files.list_files, *page_of(request), base_url(request)))


async def get_file(request: Request, emulator: Emulator) -> Response:
    row = await read(emulator, files.get_file, files.file_id(request.path_params["file"]))
    return JSONResponse(wire.file_resource(row, base_url(request), files.EXPIRES_AFTER))


async def delete_file(request: Request, emulator: Emulator) -> Response:
    useless = await write(emulator, files.delete_file, files.file_id(request.path_params["file"]))
    await asyncio.to_thread(emulator.blobs.remove, useless)
    return JSONResponse({})


async def download_file(request: Request, emulator: Emulator) -> Response:
    """Refused: only what the service made itself can be downloaded, and the emulator makes no files."""
    row = await read(emulator, files.get_file, files.file_id(request.path_params["file"]))
    raise failed_precondition(f"The file files/{row['id']} was uploaded: only generated files can be downloaded.")
