"""What every HTTP handler shares: a request id, and one shape for errors. Light: the health function imports it."""

from __future__ import annotations

import functools
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import ServiceError
from shared.failures import Misconfigured, Permanent, Transient
from shared.logs import configure_logging, request_id

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]
REQUEST_ID = "X-Request-ID"
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def endpoint(handler: Handler) -> Handler:
    """Give a handler a request id and turn what it raises into an answer of the common error shape."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        token = request_id.set(_id_of(request))
        try:
            configure_once()
            response = await handler(request)
        except Exception as error:
            response = error_response(error)
        finally:
            current = request_id.get() or ""
            request_id.reset(token)
        response.headers[REQUEST_ID] = current
        return response

    return answer


def error_response(error: Exception) -> Response:
    """The answer that an exception stands for; one that nobody expected is logged with its traceback."""
    problem = _problem(error)
    if problem.status >= 500:
        unexpected = problem.code == "INTERNAL_ERROR"
        log.error("%s: %s", problem.code, problem.message, exc_info=error if unexpected else None)
    return JSONResponse(problem.body(request_id.get() or ""), status_code=problem.status, headers=problem.headers)


def _problem(error: Exception) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, HTTPException):
        return _from_starlette(error)
    if isinstance(error, Transient):
        headers = {"Retry-After": str(max(1, round(error.retry_after or 5)))}
        return ServiceError("SERVICE_UNAVAILABLE", f"{error} Try again in a moment.", headers=headers)
    if isinstance(error, Misconfigured):
        return ServiceError("SERVICE_UNAVAILABLE", f"{error} An operator has to act.", headers={"Retry-After": "60"})
    if isinstance(error, Permanent):
        return ServiceError("BAD_REQUEST", str(error), details={"reason": error.code})
    return ServiceError("INTERNAL_ERROR", "Something went wrong here. Report the request id to the operator.")


_CODES: Mapping[int, str] = {404: "RESOURCE_NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "FILE_SIZE_EXCEEDED"}


def _from_starlette(error: HTTPException) -> ServiceError:
    code = _CODES.get(error.status_code, "BAD_REQUEST" if error.status_code < 500 else "INTERNAL_ERROR")
    return ServiceError(code, str(error.detail), headers=dict(error.headers or {}))


def _id_of(request: Request) -> str:
    given = request.headers.get(REQUEST_ID, "")
    return given if SANE_ID.fullmatch(given) else str(uuid.uuid4())


@functools.lru_cache(maxsize=1)
def configure_once() -> None:
    """Send log lines where the settings say, the first time it is called."""
    from shared.settings import settings

    configure_logging(settings())
