"""File search stores, their documents, operations and pictures."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from file_search_emulator import catalog, files, wire
from file_search_emulator.api.requests import (
    body_of,
    document_of,
    is_forced,
    page_of,
    read,
    store_of,
    write,
)
from file_search_emulator.api.uploads import fate_of
from file_search_emulator.emulator import Emulator
from file_search_emulator.errors import ApiError, media_denied, not_found
from file_search_emulator.names import media_document


async def create_store(request: Request, emulator: Emulator) -> Response:
    asked = await body_of(request, wire.CreateStore)
    return JSONResponse(await write(emulator, catalog.create_store, asked))


async def list_stores(request: Request, emulator: Emulator) -> Response:
    return JSONResponse(await read(emulator, catalog.list_stores, *page_of(request)))


async def get_store(request: Request, emulator: Emulator) -> Response:
    return JSONResponse(await read(emulator, catalog.get_store, store_of(request)))


async def delete_store(request: Request, emulator: Emulator) -> Response:
    useless = await write(emulator, catalog.delete_store, store_of(request), is_forced(request))
    await asyncio.to_thread(emulator.blobs.remove, *useless)
    return JSONResponse({})


async def import_file(request: Request, emulator: Emulator) -> Response:
    """Make a document of a file; it is named after the file's id, as the service names it."""
    asked = await body_of(request, wire.ImportFile)
    store = store_of(request)
    file_id = files.file_id(asked.file_name)

    def add() -> str:
        with emulator.database.write() as connection:
            number = catalog.store_number(connection, store)
            file = files.get_file(connection, file_id)
            catalog.check_room(connection, file["size"], emulator.storage_limit)
            catalog.check_type(connection, number, file["mime_type"])
            new = catalog.NewDocument(
                blob=emulator.blobs.copy(file["blob"]),
                size=file["size"],
                mime_type=file["mime_type"],
                display_name=file_id,
                origin="import",
                **fate_of(request, emulator),
            )
            return catalog.add_document(connection, number, new, asked)

    document = await asyncio.to_thread(add)
    emulator.indexer.kick()
    return JSONResponse(wire.begun_import(store, document))


async def list_documents(request: Request, emulator: Emulator) -> Response:
    listing = await read(emulator, catalog.list_documents, store_of(request), *page_of(request))
    emulator.indexer.kick()
    return JSONResponse(listing)


async def get_document(request: Request, emulator: Emulator) -> Response:
    row = await read(emulator, catalog.get_document, store_of(request), document_of(request))
    emulator.indexer.kick()
    return JSONResponse(wire.document_resource(row))


async def delete_document(request: Request, emulator: Emulator) -> Response:
    useless = await write(
        emulator, catalog.delete_document, store_of(request), document_of(request), is_forced(request)
    )
    await asyncio.to_thread(emulator.blobs.remove, useless)
    return JSONResponse({})


async def get_upload_operation(request: Request, emulator: Emulator) -> Response:
    return await _operation(request, emulator, "upload")


async def get_import_operation(request: Request, emulator: Emulator) -> Response:
    return await _operation(request, emulator, "import")


async def download_media(request: Request, emulator: Emulator) -> Response:
    """The bytes of a picture."""
    media = request.path_params["media"]
    try:
        row = await read(emulator, catalog.get_document, store_of(request), media_document(media))
    except ApiError:
        raise media_denied(media) from None
    if catalog.essence(row["mime_type"]) not in catalog.IMAGES:
        raise media_denied(media)
    return FileResponse(emulator.blobs.path(row["blob"]), media_type=row["mime_type"])


async def _operation(request: Request, emulator: Emulator, origin: str) -> Response:
    row = await read(emulator, catalog.get_document, store_of(request), document_of(request))
    if row["origin"] != origin:
        raise not_found("Operation does not exist.")
    emulator.indexer.kick()
    return JSONResponse(wire.operation_resource(row))
