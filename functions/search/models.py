"""What a search takes and what it answers, at the HTTP border."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from shared.names import normal

MAX_STORES = 25
"""How many stores one question may search: Gemini is asked at most six times for it."""

MODEL_NAME = r"^((models|tunedModels)/)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"
"""A model's name becomes part of an address: `gemini-3.8-flash`, `models/...` or `tunedModels/...`."""


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class SearchRequest(BaseModel):
    """A question, and where to look for its answer. A field that is not listed here is an error."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    query: str = Field(
        validation_alias=AliasChoices("query", "q"),
        max_length=1000,
        description="The question, up to 1,000 characters.",
        examples=["How much may a hotel cost?"],
        json_schema_extra={"minLength": 1, "pattern": r"\S"},
    )
    store: str | None = Field(
        None,
        validation_alias=AliasChoices("store", "store_name"),
        max_length=255,
        examples=["hr"],
        description="The store to search. Without `store` and `stores`, all that the caller may use are searched.",
    )
    stores: Annotated[list[str], BeforeValidator(_as_list)] = Field(
        default_factory=list,
        max_length=MAX_STORES,
        examples=[["hr", "it"]],
        description=f"Up to {MAX_STORES} stores to search together.",
    )
    model: str | None = Field(
        None, max_length=100, pattern=MODEL_NAME, examples=["gemini-3.8-flash"], description="The model that answers."
    )
    max_tokens: int | None = Field(None, ge=1, le=8192, description="The longest answer, in tokens.")
    temperature: float | None = Field(None, ge=0, le=2, description="How freely the model words its answer.")
    metadata_filter: str | None = Field(
        None,
        max_length=2000,
        examples=['type = "pdf"'],
        description='Which documents to look at, for example `type = "pdf"` (AIP-160).',
    )

    stream: bool = Field(
        False,
        description="Send the answer as it is written, as server-sent events; `Accept: text/event-stream` does too.",
    )

    @property
    def named_stores(self) -> list[str]:
        """The stores that the request names, each once."""
        named = [self.store] if self.store else []
        return list(dict.fromkeys(map(normal, [*named, *self.stores])))


class Source(BaseModel):
    """One document that the answer rests on, with the passage of it that counted most."""

    title: str
    uri: str | None = Field(description="Where the document is; null for one that this product did not index.")
    store: str | None
    page: int | None = Field(description="The page or slide of the excerpt, where the format has them.")
    excerpt: str


class Citation(BaseModel):
    """A range of `answer`, in Unicode code points with the end exclusive, and the sources it rests on."""

    start: int
    end: int
    sources: list[int] = Field(description="Indices into `sources`.")


class Usage(BaseModel):
    """Tokens as the model counted them."""

    prompt_tokens: int = 0
    retrieved_tokens: int = 0
    answer_tokens: int = 0
    thinking_tokens: int = 0
    total_tokens: int = 0


EXAMPLE: dict[str, JsonValue] = {
    "status": "success",
    "answer": "A hotel may cost up to 140 euros a night, breakfast included.",
    "grounded": True,
    "sources": [
        {
            "title": "employee-handbook.pdf",
            "uri": "/api/documents/hr/employee-handbook.pdf",
            "store": "hr",
            "page": 2,
            "excerpt": "A hotel may cost up to 140 euros a night, breakfast included. The meal allowance is 45 euros.",
        }
    ],
    "citations": [{"start": 0, "end": 61, "sources": [0]}],
    "model": "gemini-3.8-flash",
    "query": "How much may a hotel cost?",
    "store": "hr",
    "stores": ["hr"],
    "usage": {
        "prompt_tokens": 12,
        "retrieved_tokens": 240,
        "answer_tokens": 16,
        "thinking_tokens": 0,
        "total_tokens": 268,
    },
    "cached": False,
    "request_id": "5b0c7a52-2f0e-4c7e-9d55-6a3f1c1b7d10",
}
"""What the OpenAPI document shows."""


class SearchAnswer(BaseModel):
    """An answer with what it rests on; without grounding, a fixed sentence and no sources."""

    status: Literal["success"] = "success"
    answer: str
    grounded: bool
    sources: list[Source]
    citations: list[Citation]
    model: str = Field(description="The model that answered, as Gemini (or the emulator) names it.")
    query: str
    store: str = Field(description="The first of the stores that were searched.")
    stores: list[str] = Field(description="The stores that were searched.")
    usage: Usage
    cached: bool
    request_id: str

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})


class Text(BaseModel):
    """A stream's `text` event: a further piece of the answer, which may yet be taken back."""

    text: str


class Retracted(BaseModel):
    """A stream's `retracted` event: all text so far rests on nothing, and this stands instead."""

    message: str
