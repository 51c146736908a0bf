"""The `search` function: a question in, a cited answer out."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from uvicorn_worker import UvicornWorker

from shared import metrics
from shared.access import Scope, is_let_in, key_of, let_in, not_allowed, not_known
from shared.errors import ServiceError
from shared.http import endpoint, event_stream, while_connected
from shared.logs import request_id

if TYPE_CHECKING:
    from functions.search.models import SearchAnswer
    from functions.search.search import Prepared
    from shared.runtime import Runtime

log = logging.getLogger(__name__)

SEVERAL = "several"
"""The store that searches of several stores are counted under."""

UvicornWorker.CONFIG_KWARGS["reset_contextvars"] = True
"""Functions Framework then starts no request in the context of an earlier one on the same connection."""


@functions_framework.aio.http
@endpoint
async def search(request: Request) -> Response:
    """Answer `GET ?q=...&store=...` and `POST {"query": ..., "store": ...}`, at once or as server-sent events."""
    from functions.search.models import SearchRequest
    from functions.search.search import CacheStatus, prepare
    from functions.search.search import search as answer
    from shared.reading import read_json, read_query
    from shared.runtime import runtime

    parts = await runtime()
    await _admit(parts, request)
    if request.method == "POST":
        asked = await read_json(request, SearchRequest)
    elif request.method in ("GET", "HEAD"):
        asked = read_query(request, SearchRequest)
    else:
        raise ServiceError("METHOD_NOT_ALLOWED", "Ask with GET or POST.", headers={"Allow": "GET, HEAD, POST"})
    prepared = await prepare(parts, asked, request_id.get() or "")
    if prepared.mark is not None:
        cached = metrics.CACHE_HITS if prepared.kept else metrics.CACHE_MISSES
        cached.add("search")
    if asked.stream or "text/event-stream" in request.headers.get("accept", ""):
        response = await event_stream(request, _events(parts, prepared))
        status = CacheStatus.HIT if prepared.kept else CacheStatus.MISS
    else:
        with _counted(prepared) as answers:
            found, status = await while_connected(request, answer(parts, prepared))
            answers.append(found)
        response = JSONResponse(found.model_dump())
    response.headers["Cache-Status"] = f"flamehaven; {status}"
    return response


async def _admit(runtime: Runtime, request: Request) -> None:
    """Check the key of a request where SEARCH_ACCESS asks for one and the server has not checked it already.

    Raises ServiceError (INVALID_API_KEY, PERMISSION_DENIED), DependencyFailure.
    """
    if runtime.settings.search_access == "iam" or is_let_in(request):
        return
    given = key_of(request)
    known = await runtime.keys.caller(given) if given else None
    if known is None:
        raise not_known(given)
    let_in(request, known)
    if not known.may(Scope.SEARCH):
        raise not_allowed(Scope.SEARCH)


async def _events(runtime: Runtime, prepared: Prepared) -> AsyncGenerator[tuple[str, str], None]:
    """The events of a stream: `text` as it is written, `retracted` where it rests on nothing, the whole `answer`."""
    from functions.search.models import Retracted, Text
    from functions.search.search import stream

    async with contextlib.aclosing(stream(runtime, prepared)) as found:
        with _counted(prepared) as answers:
            async for event in found:
                if isinstance(event, Text):
                    name = "text"
                elif isinstance(event, Retracted):
                    name = "retracted"
                else:
                    name = "answer"
                    answers.append(event)
                yield name, event.model_dump_json()


@contextlib.contextmanager
def _counted(prepared: Prepared) -> Iterator[list[SearchAnswer]]:
    """Count and log a search of stores that exist, by its outcome; its answer goes into the list."""
    started, outcome = time.monotonic(), "error"
    stores, answers = list(prepared.resources), list["SearchAnswer"]()
    store = metrics.store_label(stores[0]) if len(stores) == 1 else SEVERAL
    try:
        yield answers
    finally:
        for answer in answers:
            outcome = "success" if answer.grounded else "refused"
            metrics.SEARCH_RESULTS.observe(len(answer.sources), store)
        seconds = time.monotonic() - started
        metrics.SEARCHES.add(outcome, store)
        metrics.SEARCH_SECONDS.observe(seconds, store)
        details = {"outcome": outcome, "stores": stores, "duration_ms": round(seconds * 1000, 1)}
        log.info("search: %s", outcome, extra=details)
