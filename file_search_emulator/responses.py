"""Answers in the shape of generateContent.

It follows recorded answers of the API: offsets count bytes of UTF-8 over the whole text, zeros are left out, and a
stream carries its grounding in the last event.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from file_search_emulator.generation import MODEL_VERSION, Answer, Usage, usage_of
from file_search_emulator.names import random_id
from file_search_emulator.retrieval import Found
from file_search_emulator.wire import GenerateContent, present

_BLOCKED = "SAFETY"


def events(asked: GenerateContent, given: Answer) -> list[dict[str, Any]]:
    """The events of a stream, one for each sentence."""
    contents = [[{"text": text}] for text in given.texts] or [[]]
    if asked.file_search and asked.tool_config.include_server_side_tool_invocations:
        contents.insert(0, _invocation())
    candidates: list[dict[str, Any]] = [
        {"content": present(parts=parts, role="model"), "index": 0} for parts in contents
    ]
    candidates[-1] |= {"finishReason": "STOP"} | present(groundingMetadata=_grounding(given))
    rest = _rest(usage_of(_prompts(asked), given))
    return [{"candidates": [candidate]} | rest for candidate in candidates]


def blocked(asked: GenerateContent) -> list[dict[str, Any]]:
    """The one event of a prompt that is refused."""
    tokens = usage_of(_prompts(asked), Answer((), (), (), 0))
    return [{"promptFeedback": {"blockReason": _BLOCKED}} | _rest(tokens)]


def whole(pieces: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The answer of a stream in one piece."""
    last = pieces[-1]
    if "candidates" not in last:
        return last
    parts: list[dict[str, Any]] = []
    for piece in pieces:
        for part in piece["candidates"][0]["content"].get("parts", []):
            if "text" in part and parts and "text" in parts[-1]:
                parts[-1] = {"text": parts[-1]["text"] + part["text"]}
            else:
                parts.append(part)
    return last | {"candidates": [last["candidates"][0] | {"content": present(parts=parts, role="model")}]}


def retrieved_context(chunk: Found) -> dict[str, Any]:
    """A chunk as grounding shows it."""
    return present(
        title=chunk.title,
        text=chunk.text,
        fileSearchStore=f"fileSearchStores/{chunk.store}",
        pageNumber=chunk.page,
        customMetadata=chunk.metadata,
        mediaId=chunk.media_id,
    )


def _grounding(given: Answer) -> dict[str, Any]:
    """Every chunk that was retrieved, best first, and for each quote where it is in the answer and what it is from."""
    supports = [
        {
            "segment": present(startIndex=start, endIndex=end, text=quote.text),
            "groundingChunkIndices": [quote.passage],
        }
        for start, end, quote in given.segments()
    ]
    chunks = [{"retrievedContext": retrieved_context(chunk)} for chunk in given.chunks]
    return present(groundingChunks=chunks, groundingSupports=supports)


def _invocation() -> list[dict[str, Any]]:
    """That the server used its tool, as Gemini 3 tells whoever asks for it; the response is empty there too."""
    call = {"id": random_id(), "toolType": "FILE_SEARCH"}
    return [{"toolCall": call}, {"toolResponse": call}]


def _prompts(asked: GenerateContent) -> list[str]:
    return [turn.text for turn in (asked.system_instruction, *asked.contents)]


def _rest(tokens: Usage) -> dict[str, Any]:
    usage = present(
        promptTokenCount=tokens.prompt,
        candidatesTokenCount=tokens.answer,
        toolUsePromptTokenCount=tokens.tools,
        toolUsePromptTokensDetails=[{"modality": "TEXT", "tokenCount": tokens.tools}] if tokens.tools else [],
        totalTokenCount=tokens.total,
    )
    return {"usageMetadata": usage, "modelVersion": MODEL_VERSION, "responseId": secrets.token_urlsafe(16)}
