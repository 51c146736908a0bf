"""What every HTTP handler shares: a request id, and one shape for errors. Light: the health function imports it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import re
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from shared.access import answer_for
from shared.changes import sender_of
from shared.errors import ServiceError
from shared.failures import Misconfigured, NewerSchema, Permanent, Transient
from shared.logs import configure_logging, request_id
from shared.secret import without_keys
from shared.traces import callers_trace, trace_of

log = logging.getLogger(__name__)

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]
REQUEST_ID = "X-Request-ID"
ERROR = "flamehaven.error"
"""Where the scope of a request says what code it was refused with."""
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def endpoint(handler: Handler) -> Handler:
    """Give a handler a request id and turn what it raises into an answer of the common error shape."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        started = time.monotonic()
        answer_for(request)
        token, came_from = request_id.set(_id_of(request)), callers_trace.set(trace_of(request.headers))
        try:
            configure_once()
            try:
                response = await handler(request)
            except Exception as error:
                response = error_response(request, error)
            response.headers[REQUEST_ID] = request_id.get() or ""
            _log_access(request, response, time.monotonic() - started)
        finally:
            callers_trace.reset(came_from)
            request_id.reset(token)
        return response

    return answer


def error_response(request: Request, error: Exception) -> Response:
    """The answer that an exception stands for; one that nobody expected is logged with its traceback."""
    problem = _understood(error)
    request.scope[ERROR] = problem.code
    return JSONResponse(problem.body(request_id.get() or ""), status_code=problem.status, headers=problem.headers)


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; when the client goes away first, the work ends there. Raises ClientDisconnect then."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait({working, leaving})


async def _left(request: Request) -> None:
    """Return when the client has gone; the request's body must have been read, or be of no interest."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def event_stream(request: Request, events: AsyncGenerator[tuple[str, str], None]) -> Response:
    """Server-sent events (WHATWG HTML, "Server-sent events") of named JSON data, from the moment that there is one.

    A failure before the first event is raised; a later one becomes an `error` event. The generator is closed when the
    client goes away.
    """
    first = await while_connected(request, anext(events))
    serving = request_id.get() or ""

    async def body() -> AsyncGenerator[str, None]:
        request_id.set(serving)
        async with contextlib.aclosing(events):
            try:
                yield _event(*first)
                async for event in events:
                    yield _event(*event)
            except Exception as error:
                yield _event("error", json.dumps(_understood(error).body(serving)))

    # Proxies that buffer (nginx does) would hold the events back.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"


def _log_access(request: Request, response: Response, seconds: float) -> None:
    """One line for each request, without its query: what people ask is not for the log."""
    path, status = quote(without_keys(request.scope["path"])), response.status_code
    level = logging.DEBUG if path.startswith("/health") and status < 500 else logging.INFO
    details = {"method": request.method, "path": path, "status": status, "duration_ms": round(seconds * 1000, 1)}
    log.log(level, "%s %s %d", request.method, path, status, extra=details | sender_of(request))


def _understood(error: Exception) -> ServiceError:
    problem = _problem(error)
    if problem.status >= 500:
        unexpected = problem.code == "INTERNAL_ERROR"
        log.error("%s: %s", problem.code, problem.message, exc_info=error if unexpected else None)
    return problem


def _problem(error: Exception) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, HTTPException):
        return _from_starlette(error)
    if isinstance(error, ClientDisconnect):
        return ServiceError("BAD_REQUEST", "The connection ended before the whole request was here. Send it again.")
    if isinstance(error, Transient):
        headers = {"Retry-After": str(max(1, round(error.retry_after or 5)))}
        return ServiceError("SERVICE_UNAVAILABLE", f"{error} Try again in a moment.", headers=headers)
    if isinstance(error, Misconfigured | NewerSchema):
        return ServiceError("SERVICE_UNAVAILABLE", f"{error} An operator has to act.", headers={"Retry-After": "60"})
    if isinstance(error, Permanent):
        return ServiceError("BAD_REQUEST", str(error), details={"reason": error.code})
    return ServiceError("INTERNAL_ERROR", "Something went wrong here. Report the request id to the operator.")


_CODES: Mapping[int, str] = {
    404: "RESOURCE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "FILE_SIZE_EXCEEDED",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMIT_EXCEEDED",
    503: "SERVICE_UNAVAILABLE",
}

_MESSAGES = {
    "Not Found": "There is nothing at this address; /docs lists what there is.",
    "Method Not Allowed": "This address does not take this method; the Allow header lists those it takes.",
}


def _from_starlette(error: HTTPException) -> ServiceError:
    code = _CODES.get(error.status_code, "BAD_REQUEST" if error.status_code < 500 else "INTERNAL_ERROR")
    message = _MESSAGES.get(str(error.detail), str(error.detail))
    return ServiceError(code, message, headers=dict(error.headers or {}))


def _id_of(request: Request) -> str:
    given = request.headers.get(REQUEST_ID, "")
    return given if SANE_ID.fullmatch(given) and without_keys(given) == given else str(uuid.uuid4())


@functools.lru_cache(maxsize=1)
def configure_once() -> None:
    """Send log lines where the settings say, the first time it is called."""
    from shared.misspelt import misspelt
    from shared.settings import settings

    configure_logging(settings())
    for sentence in misspelt(os.environ):
        log.warning(sentence)
