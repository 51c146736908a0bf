"""Reading what a request sent into a pydantic model, with its complaints in the common error shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from shared.errors import ServiceError

Model = TypeVar("Model", bound=BaseModel)
MAX_JSON_BYTES = 1 << 20


async def read_json(request: Request, model: type[Model]) -> Model:
    """The request's JSON body as `model`. Raises ServiceError (VALIDATION_ERROR) that names each wrong field."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_JSON_BYTES:
        raise _too_large()
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_JSON_BYTES:
            raise _too_large()
    return validated(model.model_validate_json, bytes(body) or b"{}")


def _too_large() -> ServiceError:
    return ServiceError("VALIDATION_ERROR", f"The body is larger than {MAX_JSON_BYTES} bytes of JSON.")


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
