"""What every call needs: the key, the body, the page, and short transactions off the event loop."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from file_search_emulator.emulator import Emulator
from file_search_emulator.errors import ApiError, invalid_argument
from file_search_emulator.names import check_id

LARGEST_BODY = 20 * 1024 * 1024
"""Bytes: the API's limit of a request that is no upload."""

Handler = Callable[[Request, Emulator], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]
Model = TypeVar("Model", bound=BaseModel)
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

logger = logging.getLogger(__name__)


def answering(handler: Handler) -> Endpoint:
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


def with_key(handler: Handler) -> Endpoint:
    """A handler that is `answering`, but only to those who send any key."""

    @wraps(handler)
    async def checked(request: Request, emulator: Emulator) -> Response:
        check_key(request)
        return await handler(request, emulator)

    return answering(checked)


def key_of(request: HTTPConnection) -> str:
    """The API key that came with a request; "" where none did."""
    return request.headers.get("x-goog-api-key") or request.query_params.get("key") or ""


def check_key(request: Request) -> None:
    """Raises ApiError (403) where there is no API key. Any key is a good one."""
    if not key_of(request):
        raise ApiError(
            403,
            "PERMISSION_DENIED",
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
            "other form of API consumer identity to call this API.",
        )


async def body_of(request: Request, model: type[Model]) -> Model:
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


async def read(
    emulator: Emulator,
    work: Callable[Concatenate[sqlite3.Connection, Arguments], Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result:
    """What `work` finds in a reading transaction."""

    def transaction() -> Result:
        with emulator.database.read() as connection:
            return work(connection, *args, **kwargs)

    return await asyncio.to_thread(transaction)


async def write(
    emulator: Emulator,
    work: Callable[Concatenate[sqlite3.Connection, Arguments], Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result:
    """What `work` does in a writing transaction."""

    def transaction() -> Result:
        with emulator.database.write() as connection:
            return work(connection, *args, **kwargs)

    return await asyncio.to_thread(transaction)


def store_of(request: Request) -> str:
    """The id of the store that the address names. Raises ApiError (400)."""
    return check_id("FileSearchStore", request.path_params["store"])


def document_of(request: Request) -> str:
    """The id of the document that the address names. Raises ApiError (400)."""
    return check_id("Document", request.path_params["document"])


def page_of(request: Request) -> tuple[str, str]:
    """The page that is asked for: its size and its token, as they are."""
    query = request.query_params
    size = query.get("pageSize") or query.get("page_size") or ""
    return size, query.get("pageToken") or query.get("page_token") or ""


def is_forced(request: Request) -> bool:
    """Whether `force` is set, in Python's or in any other spelling."""
    return request.query_params.get("force", "").lower() == "true"


def base_url(request: Request) -> str:
    """The address of this server and this version of the API, as it was asked."""
    return f"{request.url.scheme}://{request.url.netloc}/{request.path_params.get('version', 'v1')}"
