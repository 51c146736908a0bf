"""The emulator's own calls, which need no key: what is inside, back to the start, and what shall go wrong."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from file_search_emulator.api.requests import base_url, body_of, read
from file_search_emulator.emulator import Emulator
from file_search_emulator.errors import failed_precondition
from file_search_emulator.faults import Rules
from file_search_emulator.seed import SeedError, state


async def get_state(request: Request, emulator: Emulator) -> Response:
    return JSONResponse(await read(emulator, state, base_url(request)))


async def reset(request: Request, emulator: Emulator) -> Response:
    """Back to the seed, or to nothing; answered when what the seed holds is searchable. Faults are forgotten."""
    try:
        await asyncio.to_thread(emulator.reset)
    except SeedError as error:
        raise failed_precondition(str(error)) from None
    return JSONResponse(await read(emulator, state, base_url(request)))


async def get_faults(request: Request, emulator: Emulator) -> Response:
    return JSONResponse(emulator.faults.described())


async def put_faults(request: Request, emulator: Emulator) -> Response:
    emulator.faults.set(await body_of(request, Rules))
    return JSONResponse(emulator.faults.described())
