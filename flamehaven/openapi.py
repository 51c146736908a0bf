"""What the OpenAPI document says of handlers that take a bare request: made from the very models they use."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from flamehaven.documents import Document, DocumentChange, DocumentPage
from flamehaven.intake import Accepted
from flamehaven.keys import Key, KeyList, KeyRequest, NewKey
from flamehaven.monitoring import Summary
from flamehaven.stores import StoreChange, StoreList, StoreMade, StoreRequest
from flamehaven.uploads import AcceptedFiles
from functions.health.readiness import Health
from functions.ingest.models import SweepReport
from functions.search.models import Retracted, SearchAnswer, SearchRequest, Text


class ErrorBody(BaseModel):
    """What every route answers with when it cannot do what it was asked; see `shared.errors`."""

    error: str = Field(description="A stable code.")
    message: str = Field(description="What is wrong, and what to do next.")
    status_code: int
    request_id: str
    timestamp: datetime
    details: dict[str, Any] | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": "FILE_NOT_FOUND",
                    "message": "There is no document 'hr/x.md' in the bucket; /api/documents lists those there are.",
                    "status_code": 404,
                    "request_id": "5b0c7a52-2f0e-4c7e-9d55-6a3f1c1b7d10",
                    "timestamp": "2026-11-23T09:30:00.000Z",
                }
            ]
        }
    )


TAGS = {
    "search": "Ask questions, and get cited answers.",
    "upload": "Put documents in, as forms.",
    "documents": "See, put, delete and retry single documents.",
    "stores": "See, make, delete and re-index stores.",
    "operations": "Health, metrics, keys and sweeps.",
}
"""The groups of routes, in the order in which `/docs` shows them."""
PATH_EXAMPLES = {"object": "hr/policies/leave.md", "store": "hr", "id": "1f0c5b7a9d3e"}


REF = "#/components/schemas/{model}"
REQUESTS: list[type[BaseModel]] = [KeyRequest, SearchRequest, StoreRequest]
ANSWERS: list[type[BaseModel]] = [
    Accepted,
    AcceptedFiles,
    Document,
    DocumentChange,
    DocumentPage,
    ErrorBody,
    Health,
    Key,
    KeyList,
    NewKey,
    Retracted,
    SearchAnswer,
    StoreChange,
    StoreList,
    StoreMade,
    Summary,
    SweepReport,
    Text,
]


_KEYS = "An API key, the admin key, or a token of the OIDC provider."
SECURITY = {"key": {"type": "http", "scheme": "bearer", "description": _KEYS}}


def components() -> dict[str, Any]:
    """The schemas of every model that a route takes or gives."""
    _, requests = models_json_schema([(model, "validation") for model in REQUESTS], ref_template=REF)
    _, answers = models_json_schema([(model, "serialization") for model in ANSWERS], ref_template=REF)
    return {**requests["$defs"], **answers["$defs"]}


def tag_of(path: str) -> str:
    """The group that a route belongs to."""
    return next((tag for tag in TAGS if path.startswith(f"/api/{tag}")), "operations")


def gives(
    model: type[BaseModel], status: int = 200, *, also: int | None = None, errors: tuple[int, ...] = ()
) -> dict[str, Any]:
    """`responses`: the model at its status (or two), and the common error shape at the named ones."""
    answer = _content(model, (model.__doc__ or "").split("\n")[0])
    refused = {str(code): _content(ErrorBody, "See `error` and `message`.") for code in errors}
    return {"responses": {**{str(code): answer for code in (status, also) if code}, **refused}}


def gives_text(*, errors: tuple[int, ...]) -> dict[str, Any]:
    """`responses`: plain text, and the common error shape at the named statuses."""
    refused = {str(code): _content(ErrorBody, "See `error` and `message`.") for code in errors}
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {"responses": {"200": {"description": "All metrics.", "content": content}, **refused}}


def takes_key(responses: dict[str, Any]) -> dict[str, Any]:
    """`security`, and the answers to those without the right key, or who ask too often, beside the others."""
    refused = {str(code): _content(ErrorBody, "See `error` and `message`.") for code in (401, 403, 429)}
    return {"security": [{"key": []}], "responses": {**responses, **refused}}


def gives_accepted(model: type[BaseModel], *, errors: tuple[int, ...]) -> dict[str, Any]:
    """`responses` of an upload, and the parameter that makes its sender wait."""
    wait: dict[str, Any] = {"name": "Prefer", "in": "header", "schema": {"type": "string"}, "example": "wait=20"}
    wait["description"] = "`wait=N`: wait for the final state, N seconds and at most 60 (RFC 7240)."
    return {**gives(model, 202, also=200, errors=errors), "parameters": [wait]}


def gives_search(*, errors: tuple[int, ...]) -> dict[str, Any]:
    """`responses` of a search: the answer, or the events of a stream."""
    described = gives(SearchAnswer, errors=errors)
    data = "JSON: Text, Retracted, SearchAnswer or ErrorBody, in the order of the events' names."
    event = {
        "type": "object",
        "description": "Many `text`; `retracted` where they turn out to rest on nothing; last `answer`, or `error`.",
        "required": ["event", "data"],
        "properties": {
            "event": {"type": "string", "enum": ["text", "retracted", "answer", "error"]},
            "data": {"type": "string", "description": data},
        },
    }
    described["responses"]["200"]["content"]["text/event-stream"] = {"schema": event}
    return described


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


def takes_form(field: str, *, several: bool = False) -> dict[str, Any]:
    """`requestBody`: a form with a file, or several, and the store that it goes to."""
    file: dict[str, Any] = {"type": "string", "format": "binary"}
    schema = {
        "type": "object",
        "required": [field],
        "properties": {
            field: {"type": "array", "items": file} if several else file,
            "store": {"type": "string", "default": "default", "maxLength": 255},
        },
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def takes_bytes() -> dict[str, Any]:
    """`requestBody`: the file itself."""
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {"requestBody": {"required": True, "content": content}}


def takes_path(name: str) -> dict[str, Any]:
    """`parameters`: a name in the path; that of a document may hold slashes."""
    parameter = {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    return {"parameters": [{**parameter, "example": PATH_EXAMPLES[name]}]}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}


def _content(model: type[BaseModel], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref(model)}}}
