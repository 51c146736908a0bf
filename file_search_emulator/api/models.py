"""generateContent and streamGenerateContent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from file_search_emulator import responses, wire
from file_search_emulator.api.requests import body_of
from file_search_emulator.emulator import Emulator
from file_search_emulator.errors import invalid_argument
from file_search_emulator.faults import Rule


async def generate_content(request: Request, emulator: Emulator) -> Response:
    return JSONResponse(responses.whole(await _events(request, emulator)))


async def stream_generate_content(request: Request, emulator: Emulator) -> Response:
    events = await _events(request, emulator)
    if request.query_params.get("alt") != "sse":
        return JSONResponse(events)

    async def lines() -> AsyncIterator[str]:
        for event in events:
            yield f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


async def _events(request: Request, emulator: Emulator) -> list[dict[str, Any]]:
    asked = await body_of(request, wire.GenerateContent)
    if not asked.question:
        raise invalid_argument("* GenerateContentRequest.contents: contents is not specified")
    rule: Rule | None = request.scope.get("fault")
    fault = rule.fault if rule else None
    if fault == "blocked_prompt":
        return responses.blocked(asked)
    emulator.indexer.kick()
    given = await asyncio.to_thread(emulator.generator.answer, asked.question, asked.file_search)
    return responses.events(asked, given.disturbed(fault))
