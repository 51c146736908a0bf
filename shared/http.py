"""What every HTTP handler shares: a request id, one shape for errors, and a way to read what was sent."""

from __future__ import annotations

import functools
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import ServiceError
from shared.failures import Misconfigured, Permanent, Transient
from shared.logs import configure_logging, request_id
from shared.settings import settings

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]
Model = TypeVar("Model", bound=BaseModel)
REQUEST_ID = "X-Request-ID"
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
MAX_JSON_BYTES = 1 << 20


def endpoint(handler: Handler) -> Handler:
    """Give a handler a request id and turn what it raises into an answer of the common error shape."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        token = request_id.set(_id_of(request))
        try:
            _configure_once()
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


async def read_json(request: Request, model: type[Model]) -> Model:
    """The request's JSON body as `model`. Raises ServiceError (VALIDATION_ERROR) that names each wrong field."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_JSON_BYTES:
            raise ServiceError("VALIDATION_ERROR", f"The body is larger than {MAX_JSON_BYTES} bytes of JSON.")
    return validated(model.model_validate_json, bytes(body) or b"{}")


def read_query(request: Request, model: type[Model]) -> Model:
    """The request's query parameters as `model`; a repeated one is a list. Raises ServiceError (VALIDATION_ERROR)."""
    values: dict[str, Any] = {}
    for key in request.query_params:
        every = request.query_params.getlist(key)
        values[key] = every[0] if len(every) == 1 else every
    return validated(model.model_validate, values)


def validated(parse: Callable[[Any], Model], data: Any) -> Model:
    """`parse(data)`, with pydantic's complaints in the common error shape."""
    try:
        return parse(data)
    except ValidationError as error:
        fields = [
            {"field": ".".join(str(part) for part in problem["loc"]), "problem": problem["msg"]}
            for problem in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        summary = "; ".join(f"{each['field'] or 'body'}: {each['problem']}" for each in fields)
        raise ServiceError("VALIDATION_ERROR", summary, details={"fields": fields}) from None


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
def _configure_once() -> None:
    configure_logging(settings())
