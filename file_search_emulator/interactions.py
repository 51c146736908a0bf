"""The Interactions API with the file_search tool: its requests, its steps and its events.

Source: google-genai 3.4.0. Everything is in snake_case here; only cited chunks appear, as annotations of the text, and
an index counts bytes of UTF-8.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from file_search_emulator.errors import not_found
from file_search_emulator.generation import Answer, usage_of
from file_search_emulator.names import random_id
from file_search_emulator.retrieval import Found
from file_search_emulator.wire import FileSearch, plain_value, present, timestamp

KEPT_FOR = 24 * 3600.0
"""Seconds that a stored interaction can be read again: a day, as without a paid account."""


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Content(_Read):
    type: str = "text"
    text: str = ""


def _contents(value: Any) -> Any:
    """A text, a content, or a list of them, as contents."""
    if isinstance(value, str):
        return [{"text": value}]
    return [value] if isinstance(value, dict) else value


class _Turn(_Read):
    type: str = "user_input"
    content: Annotated[list[_Content], BeforeValidator(_contents)] = []

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.content)


def _turns(value: Any) -> Any:
    """What is asked: a text, contents or steps, as steps."""
    if isinstance(value, list) and all(isinstance(entry, dict) and "content" in entry for entry in value):
        return value
    return [{"content": value}]


class _Tool(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["file_search"]
    file_search_store_names: Annotated[list[str], Field(min_length=1, max_length=5)]
    top_k: Annotated[int, Field(ge=0, le=100)] = 0
    metadata_filter: str = ""


class CreateInteraction(_Read):
    """The body of interactions.create; what steers a language model's words is read over, as there is none."""

    model: str
    input: Annotated[list[_Turn], BeforeValidator(_turns), Field(min_length=1)]
    tools: Annotated[list[_Tool], Field(max_length=1)] = []
    system_instruction: str = ""
    previous_interaction_id: str = ""
    store: bool = True
    stream: bool = False
    background: bool = False

    @property
    def question(self) -> str:
        """The last step that is the user's."""
        return next((turn.text for turn in reversed(self.input) if turn.type == "user_input"), "").strip()

    @property
    def file_search(self) -> FileSearch | None:
        """Where to look, if anywhere."""
        return FileSearch(**self.tools[0].model_dump(exclude={"type"})) if self.tools else None

    @property
    def prompts(self) -> list[str]:
        """All that is read of it."""
        return [self.system_instruction, *(turn.text for turn in self.input)]


def interaction(asked: CreateInteraction, given: Answer) -> dict[str, Any]:
    """A finished interaction."""
    moment = timestamp(time.time())
    return _begun(asked) | {
        "status": "completed",
        "created": moment,
        "updated": moment,
        "steps": _steps(asked, given),
        "usage": _usage(asked, given),
    }


def events(asked: CreateInteraction, given: Answer, made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A finished interaction as the events of a stream, the text in one delta for each sentence."""
    head = {key: made[key] for key in ("id", "object", "model", "created", "updated")}
    yield {"event_type": "interaction.created", "interaction": head | {"status": "in_progress"}}
    for index, step in enumerate(made["steps"]):
        begun = {key: value for key, value in step.items() if key != "content"}
        yield {"event_type": "step.start", "index": index, "step": begun}
        if step["type"] == "model_output":
            deltas: list[dict[str, Any]] = [{"type": "text", "text": text} for text in given.texts]
            if annotations := _annotations(given):
                deltas.append({"type": "text_annotation_delta", "annotations": annotations})
            for delta in deltas:
                yield {"event_type": "step.delta", "index": index, "delta": delta}
        yield {"event_type": "step.stop", "index": index}
    yield {
        "event_type": "interaction.completed",
        "interaction": head | {"status": made["status"], "usage": made["usage"]},
    }


def keep(connection: sqlite3.Connection, made: dict[str, Any]) -> None:
    """Store an interaction, and forget those that are too old."""
    connection.execute("DELETE FROM interactions WHERE created <= ?", (time.time() - KEPT_FOR,))
    connection.execute("INSERT INTO interactions VALUES (?, ?, ?)", (made["id"], json.dumps(made), time.time()))


def find(connection: sqlite3.Connection, name: str) -> dict[str, Any]:
    """A stored interaction. Raises ApiError (404)."""
    row = connection.execute(
        "SELECT body FROM interactions WHERE id = ? AND created > ?", (name, time.time() - KEPT_FOR)
    ).fetchone()
    if row is None:
        raise not_found("Interaction not found.")
    found: dict[str, Any] = json.loads(row["body"])
    return found


def delete(connection: sqlite3.Connection, name: str) -> None:
    """Delete a stored interaction. Raises ApiError (404)."""
    find(connection, name)
    connection.execute("DELETE FROM interactions WHERE id = ?", (name,))


def _begun(asked: CreateInteraction) -> dict[str, Any]:
    return present(
        id=f"v1_{random_id()}{random_id()}",
        object="interaction",
        model=asked.model,
        role="model",
        previous_interaction_id=asked.previous_interaction_id,
    )


def _steps(asked: CreateInteraction, given: Answer) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    if asked.tools:
        call = random_id()
        steps += [{"type": "file_search_call", "id": call}, {"type": "file_search_result", "call_id": call}]
    text = "".join(given.texts)
    content = [{"type": "text", "text": text} | present(annotations=_annotations(given))] if text else []
    return [*steps, {"type": "model_output", "content": content}]


def _annotations(given: Answer) -> list[dict[str, Any]]:
    return [_citation(given.chunks[quote.passage], start, end) for start, end, quote in given.segments()]


def _citation(chunk: Found, start: int, end: int) -> dict[str, Any]:
    return {"type": "file_citation"} | present(
        file_name=chunk.title,
        source=chunk.text,
        page_number=chunk.page,
        media_id=chunk.media_id,
        document_uri=f"fileSearchStores/{chunk.store}/documents/{chunk.document}",
        custom_metadata={entry["key"]: plain_value(entry) for entry in chunk.metadata},
        start_index=start,
        end_index=end,
    )


def _usage(asked: CreateInteraction, given: Answer) -> dict[str, Any]:
    tokens = usage_of(asked.prompts, given)
    return present(
        total_input_tokens=tokens.prompt,
        total_output_tokens=tokens.answer,
        total_tool_use_tokens=tokens.tools,
        total_tokens=tokens.total,
    )
