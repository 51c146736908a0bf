"""The `search` function: a question in, a cited answer out."""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import ServiceError
from shared.http import endpoint
from shared.logs import request_id


@functions_framework.aio.http
@endpoint
async def search(request: Request) -> Response:
    """Answer `GET ?q=...&store=...` and `POST {"query": ..., "store": ...}`."""
    from functions.search.models import SearchRequest
    from functions.search.search import search as answer
    from shared.reading import read_json, read_query
    from shared.runtime import runtime

    if request.method == "POST":
        asked = await read_json(request, SearchRequest)
    elif request.method in ("GET", "HEAD"):
        asked = read_query(request, SearchRequest)
    else:
        raise ServiceError("METHOD_NOT_ALLOWED", "Ask with GET or POST.", headers={"Allow": "GET, POST"})
    found = await answer(await runtime(), asked, request_id.get() or "")
    return JSONResponse(found.model_dump())
