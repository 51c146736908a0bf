"""The Gemini File Search API as an ASGI application over one data folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from file_search_emulator import database
from file_search_emulator.api import control, files, interactions, models, stores
from file_search_emulator.api.requests import Handler, answering, with_key
from file_search_emulator.api.uploads import upload
from file_search_emulator.emulator import Emulator, database_of
from file_search_emulator.injection import FaultyApp

_STORES = "/{version}/fileSearchStores"
_STORE = _STORES + "/{store}"
_DOCUMENT = _STORE + "/documents/{document}"
_INTERACTION = "/{version}/interactions/{interaction}"


def create_app(
    data_dir: Path, *, indexing_delay: float = 0.0, storage_limit: int | None = None, seed: Path | None = None
) -> Starlette:
    """The API over `data_dir`, which is made where it is missing.

    Nothing is opened before the first request. `await app.state.emulator.close()` ends its threads and its child
    process; a server that runs the lifespan does that by itself. Any API key is accepted. For the options see Emulator.
    """
    emulator = Emulator(data_dir, indexing_delay=indexing_delay, storage_limit=storage_limit, seed=seed)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await emulator.close()

    app = FaultyApp(routes=_routes(), exception_handlers={HTTPException: _no_such_path}, lifespan=lifespan)
    app.state.emulator = emulator
    app.state.faults = emulator.faults
    return app


def instance_id(data_dir: Path) -> str:
    """The id of the index in a data folder: made once, with the folder where that is missing, and never changed."""
    opened = database_of(data_dir)
    try:
        with opened.read() as connection:
            return database.instance_id(connection)
    finally:
        opened.close()


def _routes() -> list[Route]:
    """Every call: its name, by which fault rules speak of it, its method, address and handler."""

    def call(name: str, method: str, path: str, handler: Handler) -> Route:
        return Route(path, with_key(handler), methods=[method], name=name)

    def control_of(method: str, path: str, handler: Handler) -> Route:
        """The emulator's own: without a key, and without a name, as nothing goes wrong with them."""
        return Route(path, answering(handler), methods=[method], name="")

    return [
        call("fileSearchStores.create", "POST", _STORES, stores.create_store),
        call("fileSearchStores.list", "GET", _STORES, stores.list_stores),
        call("fileSearchStores.importFile", "POST", f"{_STORE}:importFile", stores.import_file),
        call("fileSearchStores.get", "GET", _STORE, stores.get_store),
        call("fileSearchStores.delete", "DELETE", _STORE, stores.delete_store),
        call("documents.list", "GET", f"{_STORE}/documents", stores.list_documents),
        call("documents.get", "GET", _DOCUMENT, stores.get_document),
        call("documents.delete", "DELETE", _DOCUMENT, stores.delete_document),
        call("operations.get", "GET", f"{_STORE}/upload/operations/{{document}}", stores.get_upload_operation),
        call("operations.get", "GET", f"{_STORE}/operations/{{document}}", stores.get_import_operation),
        call("media.download", "GET", f"{_STORE}/media/{{media:path}}", stores.download_media),
        call("files.list", "GET", "/{version}/files", files.list_files),
        call("files.download", "GET", "/{version}/files/{file}:download", files.download_file),
        call("files.get", "GET", "/{version}/files/{file}", files.get_file),
        call("files.delete", "DELETE", "/{version}/files/{file}", files.delete_file),
        _uploading("uploadToFileSearchStore.upload", f"/upload{_STORE}:uploadToFileSearchStore"),
        _uploading("files.upload", "/upload/{version}/files"),
        call("models.generateContent", "POST", "/{version}/models/{model}:generateContent", models.generate_content),
        call(
            "models.streamGenerateContent",
            "POST",
            "/{version}/models/{model}:streamGenerateContent",
            models.stream_generate_content,
        ),
        call("interactions.create", "POST", "/{version}/interactions", interactions.create_interaction),
        call("interactions.get", "GET", _INTERACTION, interactions.get_interaction),
        call("interactions.delete", "DELETE", _INTERACTION, interactions.delete_interaction),
        call("interactions.cancel", "POST", f"{_INTERACTION}/cancel", interactions.cancel_interaction),
        control_of("GET", "/emulator/state", control.get_state),
        control_of("POST", "/emulator/reset", control.reset),
        control_of("GET", "/emulator/faults", control.get_faults),
        control_of("PUT", "/emulator/faults", control.put_faults),
    ]


def _uploading(name: str, path: str) -> Route:
    """Only the start of an upload needs a key, so it is looked for there."""
    return Route(path, answering(upload), methods=["POST"], name=name)


async def _no_such_path(request: Request, error: Exception) -> Response:
    return PlainTextResponse("Not Found", 404)
