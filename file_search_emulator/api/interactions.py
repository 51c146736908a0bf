"""The Interactions API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from file_search_emulator import interactions
from file_search_emulator.api.requests import body_of, read, write
from file_search_emulator.emulator import Emulator
from file_search_emulator.errors import failed_precondition, invalid_argument
from file_search_emulator.faults import Rule


async def create_interaction(request: Request, emulator: Emulator) -> Response:
    asked = await body_of(request, interactions.CreateInteraction)
    if not asked.question:
        raise invalid_argument("input: there is no text to answer.")
    if asked.background:
        raise invalid_argument("background: the emulator answers at once, and has no background work.")
    if asked.previous_interaction_id:
        await read(emulator, interactions.find, asked.previous_interaction_id)
    rule: Rule | None = request.scope.get("fault")
    emulator.indexer.kick()
    answered = await asyncio.to_thread(emulator.generator.answer, asked.question, asked.file_search)
    given = answered.disturbed(rule.fault if rule else None)
    made = interactions.interaction(asked, given)
    if asked.store:
        await write(emulator, interactions.keep, made)
    if not asked.stream:
        return JSONResponse(made)

    async def lines() -> AsyncIterator[str]:
        for event in interactions.events(asked, given, made):
            yield f"event: {event['event_type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n"
        yield "event: done\ndata: [DONE]\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


async def get_interaction(request: Request, emulator: Emulator) -> Response:
    return JSONResponse(await read(emulator, interactions.find, request.path_params["interaction"]))


async def delete_interaction(request: Request, emulator: Emulator) -> Response:
    await write(emulator, interactions.delete, request.path_params["interaction"])
    return JSONResponse({})


async def cancel_interaction(request: Request, emulator: Emulator) -> Response:
    """Refused: every interaction is finished when it is answered."""
    await read(emulator, interactions.find, request.path_params["interaction"])
    raise failed_precondition("The interaction is completed: only those in the background can be cancelled.")
