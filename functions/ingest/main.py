"""The `ingest` function, which an event about an object sets off, and the `sweep` function, which a schedule does."""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.changes import log_change
from shared.errors import ServiceError
from shared.http import endpoint

MAX_EVENT_BYTES = 10 << 20
"""Pub/Sub's largest message ("Quotas and limits")."""


@functions_framework.aio.http
@endpoint
async def ingest(request: Request) -> Response:
    """Reconcile the object that the event names; any answer but 200 makes the queue bring the event again."""
    from functions.ingest.events import read_request
    from functions.ingest.worker import settle_event
    from shared.runtime import runtime

    event = read_request(request.headers, await _body(request))
    outcome = await settle_event(await runtime(), event)
    return JSONResponse({"object": event.name, "outcome": outcome})


@functions_framework.aio.http
@endpoint
async def sweep(request: Request) -> Response:
    """Reconcile everything, or with `dry_run` say what there is to reconcile; POST it now and then."""
    from functions.ingest.models import MAX_NAMED, SweepReport, SweepRequest
    from functions.ingest.worker import look_at_all, settle_all, settle_unfinished
    from shared.reading import read_query
    from shared.runtime import runtime

    if request.method != "POST":
        raise ServiceError("METHOD_NOT_ALLOWED", "A sweep is started with POST.", headers={"Allow": "POST"})
    asked = read_query(request, SweepRequest)
    parts = await runtime()
    if asked.unfinished:
        report = await settle_unfinished(parts)
    elif asked.dry_run:
        report = await look_at_all(parts, store=asked.store)
    else:
        report = await settle_all(parts, store=asked.store, all_deletions=asked.yes)
        if asked.yes:
            log_change(request, "sweep with all deletions", asked.store or "every store")
    answer = SweepReport(
        objects=report.objects,
        outcomes=report.outcomes,
        unsettled=sorted(report.unsettled)[:MAX_NAMED],
        refused=report.refused,
        seconds=report.seconds,
        dry_run=asked.dry_run,
    )
    return JSONResponse(answer.model_dump())


async def _body(request: Request) -> bytes:
    from shared.bodies import body, whole

    too_large = ServiceError("INVALID_EVENT", f"An event has at most {MAX_EVENT_BYTES:,} bytes. Send one at a time.")
    return await whole(body(request), MAX_EVENT_BYTES, too_large)
