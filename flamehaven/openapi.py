"""What the OpenAPI document says of handlers that take a bare request: made from the very models they use."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from flamehaven.documents import Accepted, Document, DocumentPage
from functions.health.readiness import Health
from functions.search.models import SearchAnswer, SearchRequest


class ErrorBody(BaseModel):
    """What every route answers with when it cannot do what it was asked; see `shared.errors`."""

    error: str = Field(description="A stable code.")
    message: str = Field(description="What is wrong, and what to do next.")
    status_code: int
    request_id: str
    timestamp: datetime
    details: dict[str, Any] | None = None


REF = "#/components/schemas/{model}"
REQUESTS: list[type[BaseModel]] = [SearchRequest]
ANSWERS: list[type[BaseModel]] = [SearchAnswer, Health, Accepted, Document, DocumentPage, ErrorBody]


def components() -> dict[str, Any]:
    """The schemas of every model that a route takes or gives."""
    _, requests = models_json_schema([(model, "validation") for model in REQUESTS], ref_template=REF)
    _, answers = models_json_schema([(model, "serialization") for model in ANSWERS], ref_template=REF)
    return {**requests["$defs"], **answers["$defs"]}


def gives(model: type[BaseModel], status: int = 200, *, errors: tuple[int, ...] = ()) -> dict[str, Any]:
    """`responses`: the model at its status, and the common error shape at the named ones."""
    responses = {str(code): _content(ErrorBody, "See `error` and `message`.") for code in errors}
    return {"responses": {str(status): _content(model, (model.__doc__ or "").split("\n")[0]), **responses}}


def takes_json(model: type[BaseModel]) -> dict[str, Any]:
    """`requestBody`: the model as JSON."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _ref(model)}}}}


def takes_query(model: type[BaseModel], renamed: dict[str, str] | None = None) -> dict[str, Any]:
    """`parameters`: each field of the model in the query; `renamed` gives the names that differ there."""
    schema = model.model_json_schema(ref_template=REF)
    required = schema.get("required", [])
    return {
        "parameters": [
            {
                "name": (renamed or {}).get(name, name),
                "in": "query",
                "required": name in required,
                "description": field.pop("description", ""),
                "schema": field,
            }
            for name, field in schema["properties"].items()
        ]
    }


def takes_file() -> dict[str, Any]:
    """`requestBody`: a form with one file and the store it goes to."""
    schema = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary"},
            "store": {"type": "string", "default": "default", "maxLength": 255},
        },
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def takes_object() -> dict[str, Any]:
    """`parameters`: a document's name in the path; it may hold slashes."""
    return {"parameters": [{"name": "object", "in": "path", "required": True, "schema": {"type": "string"}}]}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}


def _content(model: type[BaseModel], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref(model)}}}
