"""Requests as they arrive, in either spelling of their keys, and resources as they are answered.

Sources: the Gemini API reference (file-search-stores, documents, generate-content) and google-genai 3.4.0, which spells
the outer keys in camelCase and the inner ones in snake_case.
"""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_serializer, model_validator
from pydantic.alias_generators import to_camel

DEFAULT_EMBEDDING_MODEL = "models/gemini-embedding-001"
_EMBEDDING_MODELS = {DEFAULT_EMBEDDING_MODEL, "models/gemini-embedding-2", "models/gemini-embedding-2-preview"}
_MIME_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:\s*;.*)?")
_PROTO = "type.googleapis.com/google.ai.generativelanguage.v1main"
_RESPONSE_TYPE = {"upload": f"{_PROTO}.UploadToFileSearchStoreResponse", "import": f"{_PROTO}.ImportFileResponse"}

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


class IndexRequest(Message):
    """What a document is given besides its bytes, whichever way they come."""

    custom_metadata: Annotated[list[CustomMetadata], Field(max_length=20)] = []
    chunking_config: ChunkingConfig = ChunkingConfig()

    @model_validator(mode="after")
    def _distinct_keys(self) -> Self:
        keys = [entry.key for entry in self.custom_metadata]
        if len(keys) != len(set(keys)):
            raise ValueError("the keys of custom_metadata must differ from each other")
        return self

    def metadata_json(self) -> str:
        """The metadata as it is kept and answered."""
        return json.dumps([entry.model_dump(by_alias=True, exclude_none=True) for entry in self.custom_metadata])


class UploadToStore(IndexRequest):
    """The body that starts an upload into a store."""

    mime_type: str = ""
    display_name: DisplayName = ""

    @model_validator(mode="after")
    def _sound_type(self) -> Self:
        if self.mime_type and not _MIME_TYPE.fullmatch(self.mime_type):
            raise ValueError(
                "* UploadToFileSearchStoreRequest.mime_type: "
                "When provided, MIME type must be in a valid type/subtype format"
            )
        return self


class ImportFile(IndexRequest):
    """The body of fileSearchStores.importFile."""

    file_name: str


class NewFile(Message):
    """A file as it is announced; what only the server knows of it is read over."""

    model_config = ConfigDict(extra="ignore")

    name: str = ""
    display_name: DisplayName = ""
    mime_type: str = ""


class UploadFile(Message):
    """The body that starts an upload of files.upload."""

    file: NewFile = NewFile()


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
    """A tool: fileSearch, or functions, which are never called; others are not emulated."""

    file_search: FileSearch | None = None
    function_declarations: list[dict[str, Any]] = []


class ToolConfig(Message):
    """How tools are used; only what changes the answer is read."""

    model_config = ConfigDict(extra="ignore")

    function_calling_config: dict[str, Any] | None = None
    include_server_side_tool_invocations: bool = False


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class GenerateContent(Message):
    """The body of generateContent; what steers a language model's words is read over, as there is none."""

    model_config = ConfigDict(extra="ignore")

    contents: Annotated[list[Content], BeforeValidator(_one_or_many), Field(min_length=1)]
    system_instruction: Content = Content()
    tools: Annotated[list[Tool], BeforeValidator(_one_or_many)] = []
    tool_config: ToolConfig = ToolConfig()

    @model_validator(mode="after")
    def _tools_that_go_together(self) -> Self:
        functions = any(tool.function_declarations for tool in self.tools)
        if sum(tool.file_search is not None for tool in self.tools) > 1:
            raise ValueError("tools: fileSearch must not be given more than once")
        if self.tool_config.function_calling_config is not None and not functions:
            raise ValueError("Function calling config is set without function_declarations.")
        if self.file_search and functions and not self.tool_config.include_server_side_tool_invocations:
            raise ValueError(
                "Please enable tool_config.include_server_side_tool_invocations to use Built-in tools with"
                " Function calling."
            )
        return self

    @property
    def question(self) -> str:
        """The last turn that is not the model's."""
        return next((turn.text for turn in reversed(self.contents) if turn.role != "model"), "").strip()

    @property
    def file_search(self) -> FileSearch | None:
        """Where to look, if anywhere."""
        return next((tool.file_search for tool in self.tools if tool.file_search is not None), None)


def plain_value(entry: dict[str, Any]) -> Any:
    """The value of an entry of customMetadata, whichever kind it is: a text, a number or a list of texts."""
    if "stringListValue" in entry:
        return entry["stringListValue"]["values"]
    return entry.get("stringValue", entry.get("numericValue"))


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


def file_resource(row: sqlite3.Row, base_url: str, expires_after: float) -> dict[str, Any]:
    """A File, from its row; `base_url` is where this server was asked."""
    created = timestamp(row["created"])
    return present(
        name=f"files/{row['id']}",
        displayName=row["display_name"],
        mimeType=row["mime_type"],
        sizeBytes=_int64(row["size"]),
        createTime=created,
        updateTime=created,
        expirationTime=timestamp(row["created"] + expires_after),
        sha256Hash=base64.b64encode(row["sha256"].encode()).decode(),  # of the digits, as the service sends it
        uri=f"{base_url}/files/{row['id']}",
        state="ACTIVE",
        source="UPLOADED",
    )


def accepted_operation(store: str, document: str, mime_type: str, size: int) -> dict[str, Any]:
    """The operation as the end of an upload answers it: with full names, and not done."""
    return {
        "name": _operation_name("upload", store, document),
        "response": present(
            **{"@type": _RESPONSE_TYPE["upload"]},
            parent=f"fileSearchStores/{store}",
            documentName=f"fileSearchStores/{store}/documents/{document}",
            mimeType=mime_type,
            sizeBytes=_int64(size),
        ),
    }


def begun_import(store: str, document: str) -> dict[str, Any]:
    """The operation as importFile answers it: only its name."""
    return {"name": _operation_name("import", store, document)}


def operation_resource(row: sqlite3.Row) -> dict[str, Any]:
    """The operation as operations.get answers it, from its document's row: bare ids, once it is done."""
    operation: dict[str, Any] = {"name": _operation_name(row["origin"], row["store_id"], row["id"])}
    if row["state"] == "FAILED":
        operation |= {"done": True, "error": {"code": row["error_code"], "message": row["error"]}}
    elif row["state"] == "ACTIVE":
        response = {"@type": _RESPONSE_TYPE[row["origin"]], "parent": row["store_id"], "documentName": row["id"]}
        operation |= {"done": True, "response": response}
    return operation


def timestamp(seconds: float) -> str:
    """A moment (Unix time) as the API writes it (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def present(**fields: Any) -> dict[str, Any]:
    """The fields that are not empty or zero: those are left out of every answer, as proto3's JSON does."""
    return {name: value for name, value in fields.items() if value}


def _int64(value: int) -> str:
    """An int64 is a string in proto3's JSON."""
    return str(value) if value else ""


def _operation_name(origin: str, store: str, document: str) -> str:
    return f"fileSearchStores/{store}/{'upload/' if origin == 'upload' else ''}operations/{document}"
