"""The `rotate` function, which a secret that is due sets off, and a schedule that makes sure of it."""

from __future__ import annotations

import asyncio
import logging

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import ServiceError
from shared.http import endpoint

log = logging.getLogger(__name__)

_turn = asyncio.Lock()


@functions_framework.aio.http
@endpoint
async def rotate(request: Request) -> Response:
    """Exchange the Gemini key where it is due, or with `?now=true`; what is posted is a hint, and is not read."""
    from datetime import UTC, datetime, timedelta

    from functions.rotate.google import ApiKeys, GeminiApi, Secret
    from functions.rotate.rotation import Rules
    from functions.rotate.rotation import rotate as exchange
    from functions.rotate.settings import RotationSettings
    from shared.settings import function_settings

    if request.method != "POST":
        raise ServiceError("METHOD_NOT_ALLOWED", "A rotation is started with POST.", headers={"Allow": "POST"})
    found = function_settings(RotationSettings)
    rules = Rules(found.rotation_name, timedelta(days=found.rotation_days), timedelta(days=found.rotation_grace_days))
    async with _turn:
        done = await asyncio.to_thread(
            lambda: exchange(
                ApiKeys(found.rotation_project, found.rotation_name, found.api_keys_endpoint),
                Secret(found.rotation_secret, found.secret_manager_endpoint),
                GeminiApi(found.gemini_base_url),
                rules,
                datetime.now(UTC),
                at_once=request.query_params.get("now") == "true",
            )
        )
    if done.made:
        log.info("The key %s is in use now, as version %d.", done.made, done.version)
    if done.deleted or done.destroyed:
        log.info("Deleted what it replaced: keys %s, versions %s.", done.deleted, done.destroyed)
    return JSONResponse(
        {"made": done.made, "version": done.version, "deleted": done.deleted, "destroyed": done.destroyed}
    )
