"""Requests as they arrive, in either spelling of their keys, and resources as they are answered.

Sources: the Gemini API reference (file-search-stores, documents, generate-content) and google-genai 3.4.0, which spells
the outer keys in camelCase and the inner ones in snake_case.
"""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_serializer, model_validator
from pydantic.alias_generators import to_camel

DEFAULT_EMBEDDING_MODEL = "models/gemini-embedding-001"
_EMBEDDING_MODELS = {DEFAULT_EMBEDDING_MODEL, "models/gemini-embedding-2", "models/gemini-embedding-2-preview"}
_MIME_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:\s*;.*)?")
_UPLOAD_TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main.UploadToFileSearchStoreResponse"

DisplayName = Annotated[str, Field(max_length=512)]


class Message(BaseModel):
    """A part of a request: keys in camelCase or snake_case, and none that the API does not know."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class CreateStore(Message):
    """The body of fileSearchStores.create."""

    display_name: DisplayName = ""
    embedding_model: str = DEFAULT_EMBEDDING_MODEL

    @model_validator(mode="after")
    def _known_model(self) -> Self:
        if self.embedding_model not in _EMBEDDING_MODELS:
            raise ValueError(f"embedding_model must be one of {', '.join(sorted(_EMBEDDING_MODELS))}")
        return self


class StringList(Message):
    """Several values of one metadata key."""

    values: list[str]


class CustomMetadata(Message):
    """One key of a document's metadata, with exactly one kind of value."""

    key: Annotated[str, Field(min_length=1)]
    string_value: str | None = None
    numeric_value: Annotated[float, Field(allow_inf_nan=False)] | None = None
    string_list_value: StringList | None = None

    @field_serializer("numeric_value")
    def _whole_number(self, value: float | None) -> float | int | None:
        """A whole number has no decimal point in proto3's JSON."""
        return int(value) if value is not None and value.is_integer() else value

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        values = (self.string_value, self.numeric_value, self.string_list_value)
        if sum(value is not None for value in values) != 1:
            raise ValueError("exactly one of string_value, numeric_value and string_list_value must be set")
        return self


class WhiteSpaceConfig(Message):
    """How a document is cut into chunks; the bounds were found by trying the live API."""

    max_tokens_per_chunk: Annotated[int, Field(ge=21, le=512)] = 200
    max_overlap_tokens: Annotated[int, Field(ge=0)] = 20

    @model_validator(mode="after")
    def _overlap_below_size(self) -> Self:
        if self.max_overlap_tokens >= self.max_tokens_per_chunk:
            raise ValueError("max_overlap_tokens must be less than max_tokens_per_chunk")
        return self


class ChunkingConfig(Message):
    """The only way of chunking that the API knows."""

    white_space_config: WhiteSpaceConfig = WhiteSpaceConfig()


class UploadToStore(Message):
    """The body that starts an upload."""

    mime_type: str = ""
    display_name: DisplayName = ""
    custom_metadata: Annotated[list[CustomMetadata], Field(max_length=20)] = []
    chunking_config: ChunkingConfig = ChunkingConfig()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.mime_type and not _MIME_TYPE.fullmatch(self.mime_type):
            raise ValueError(
                "* UploadToFileSearchStoreRequest.mime_type: "
                "When provided, MIME type must be in a valid type/subtype format"
            )
        keys = [entry.key for entry in self.custom_metadata]
        if len(keys) != len(set(keys)):
            raise ValueError("the keys of custom_metadata must differ from each other")
        return self

    def metadata_json(self) -> str:
        """The metadata as it is kept and answered."""
        return json.dumps([entry.model_dump(by_alias=True, exclude_none=True) for entry in self.custom_metadata])


class Part(Message):
    """A part of a content; only text is read."""

    model_config = ConfigDict(extra="ignore")

    text: str = ""


class Content(Message):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="ignore")

    role: str = "user"
    parts: list[Part] = []

    @property
    def text(self) -> str:
        """Its parts' text in one."""
        return "".join(part.text for part in self.parts)


class FileSearch(Message):
    """The fileSearch tool: where to look, for how much, and among which documents."""

    file_search_store_names: Annotated[list[str], Field(min_length=1, max_length=5)]
    top_k: Annotated[int, Field(ge=0, le=100)] = 0
    metadata_filter: str = ""


class Tool(Message):
    """A tool; those other than fileSearch are not emulated."""

    file_search: FileSearch


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class GenerateContent(Message):
    """The body of generateContent; what steers a language model's words is read over, as there is none."""

    model_config = ConfigDict(extra="ignore")

    contents: Annotated[list[Content], BeforeValidator(_one_or_many), Field(min_length=1)]
    system_instruction: Content = Content()
    tools: Annotated[list[Tool], Field(max_length=1)] = []


def store_resource(row: sqlite3.Row) -> dict[str, Any]:
    """A FileSearchStore, from a row of catalog.STORES."""
    return present(
        name=f"fileSearchStores/{row['id']}",
        displayName=row["display_name"],
        createTime=row["created"],
        updateTime=row["created"],
        embeddingModel=row["embedding_model"],
        activeDocumentsCount=_int64(row["active"]),
        pendingDocumentsCount=_int64(row["pending"]),
        failedDocumentsCount=_int64(row["failed"]),
        sizeBytes=_int64(row["size"]),
    )


def document_resource(row: sqlite3.Row) -> dict[str, Any]:
    """A Document, from a row of catalog.DOCUMENTS."""
    return present(
        name=f"fileSearchStores/{row['store_id']}/documents/{row['id']}",
        displayName=row["display_name"],
        customMetadata=json.loads(row["metadata"]),
        createTime=row["created"],
        updateTime=row["updated"],
        state=f"STATE_{row['state']}",
        sizeBytes=_int64(row["size"]),
        mimeType=row["mime_type"],
    )


def accepted_operation(store: str, document: str, mime_type: str, size: int) -> dict[str, Any]:
    """The operation as the end of an upload answers it: with full names, and not done."""
    return {
        "name": _operation_name(store, document),
        "response": present(
            **{"@type": _UPLOAD_TYPE},
            parent=f"fileSearchStores/{store}",
            documentName=f"fileSearchStores/{store}/documents/{document}",
            mimeType=mime_type,
            sizeBytes=_int64(size),
        ),
    }


def operation_resource(row: sqlite3.Row) -> dict[str, Any]:
    """The operation as operations.get answers it, from its document's row: bare ids, once it is done."""
    operation: dict[str, Any] = {"name": _operation_name(row["store_id"], row["id"])}
    if row["state"] == "FAILED":
        operation |= {"done": True, "error": {"code": row["error_code"], "message": row["error"]}}
    elif row["state"] == "ACTIVE":
        response = {"@type": _UPLOAD_TYPE, "parent": row["store_id"], "documentName": row["id"]}
        operation |= {"done": True, "response": response}
    return operation


def present(**fields: Any) -> dict[str, Any]:
    """The fields that are not empty or zero: those are left out of every answer, as proto3's JSON does."""
    return {name: value for name, value in fields.items() if value}


def _int64(value: int) -> str:
    """An int64 is a string in proto3's JSON."""
    return str(value) if value else ""


def _operation_name(store: str, document: str) -> str:
    return f"fileSearchStores/{store}/upload/operations/{document}"
