"""The `check` function, which a schedule calls: it writes a document, asks search about it, and compares the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import ServiceError
from shared.http import endpoint

if TYPE_CHECKING:
    import httpx2

    from functions.check.settings import CheckSettings

STORE = "synthetic-check"
DOCUMENT = f"{STORE}/code.md"
QUESTION = "What is the code of the synthetic check?"


@functions_framework.aio.http
@endpoint
async def check(request: Request) -> Response:
    """Write a new code into a document, and answer `POST ?search=URL` with 200 once that search answers with the code.

    Raises ServiceError: METHOD_NOT_ALLOWED, CONFIGURATION_ERROR, SEARCH_TIMEOUT if no answer had it in time.
    """
    import asyncio
    import secrets
    import time

    import httpx2

    from functions.check.settings import CheckRequest, CheckSettings
    from shared.reading import read_query
    from shared.runtime import open_bucket
    from shared.settings import function_settings, settings

    if request.method != "POST":
        raise ServiceError("METHOD_NOT_ALLOWED", "A check is started with POST.", headers={"Allow": "POST"})
    search = read_query(request, CheckRequest).search
    found, code = function_settings(CheckSettings), f"{secrets.randbelow(10**8):08d}"
    bucket = await asyncio.to_thread(open_bucket, settings().documents_place)
    try:
        await bucket.put(DOCUMENT, f"The code of the synthetic check is {code}.\n".encode())
    finally:
        await bucket.aclose()
    started = time.monotonic()
    async with httpx2.AsyncClient(timeout=60) as http:
        while code not in (said := await _asked(http, search, found)):
            if (seconds := time.monotonic() - started) > found.check_seconds:
                message = f"The synthetic check failed: after {seconds:.0f} s search said: {said}"
                raise ServiceError("SEARCH_TIMEOUT", message)
            await asyncio.sleep(found.check_pause_seconds)
    return JSONResponse({"seconds": round(time.monotonic() - started, 1)})


async def _asked(http: httpx2.AsyncClient, search: str, found: CheckSettings) -> str:
    """Return the answer of search, or why there is none. The documents of this store are no secret."""
    import httpx2

    try:
        token = await http.get(
            f"http://{found.gce_metadata_host}/computeMetadata/v1/instance/service-accounts/default/identity",
            params={"audience": search},
            headers={"Metadata-Flavor": "Google"},
        )
        answer = await http.post(
            search,
            json={"query": QUESTION, "store": STORE},
            headers={"Authorization": f"Bearer {token.raise_for_status().text}"},
        )
        body = answer.json()
    except (httpx2.HTTPError, ValueError) as error:
        return f"no answer ({type(error).__name__})"
    return str(body.get("answer" if answer.status_code == 200 else "message"))[:300]
