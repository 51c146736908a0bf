"""The `health` function: whether this process lives, and whether it can do its work."""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.access import caller
from shared.http import endpoint


@functions_framework.aio.http
@endpoint
async def health(request: Request) -> Response:
    """Answer `/live` at once; any other path once the buckets and Gemini have been tried, with 503 when one fails.

    What is wrong in detail is for admins, and for whoever may call the function on its own.
    """
    if request.url.path.endswith("/live"):
        return JSONResponse({"status": "alive"})
    from functions.health.readiness import readiness

    found = await readiness()
    if not caller.get().may() or caller.get().stores is not None:
        found = found.without_details()
    return JSONResponse(found.model_dump(mode="json"), status_code=503 if found.status == "unhealthy" else 200)
