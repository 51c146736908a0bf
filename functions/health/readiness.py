"""Whether the parts that this process depends on answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, Field

from shared.errors import ServiceError
from shared.failures import DependencyFailure
from shared.logs import product_version
from shared.runtime import DEPLOYMENT_PLACE, Runtime, runtime

CHECK_TIMEOUT = 5.0
GEMINI_CHECKED_FOR = 30.0
"""Seconds for which one look at Gemini stands: probes come often, and each look is a call to Google."""
GEMINI_STANDS_AT_MOST = 90.0
"""Seconds for which one that went well stands while the next is under way, which no probe waits for."""
TROUBLE_STANDS = 5.0
"""Seconds for which a look that went wrong is told to those who upload; probes look again each time."""

FAILS = "It fails. The log says why, and so does this address to an admin's key."

_started = time.monotonic()
_gemini_checked = (float("-inf"), "ok")
_looking: set[asyncio.Task[str]] = set()


class Health(BaseModel):
    """What each part says: `ok`, or what is wrong with it in a sentence."""

    status: Literal["healthy", "degraded", "unhealthy"] = Field(
        description="`degraded` where everything works but what `warnings` names; `unhealthy` is answered with 503."
    )
    version: str
    uptime_seconds: float
    timestamp: datetime
    checks: dict[str, str] = Field(
        description="`configuration`, `documents`, `state` and `gemini`; `ingest` and `events` while work has stopped."
    )
    warnings: dict[str, str] = Field(
        description="What works less well meanwhile, and why: `redis`, `index`, `folders`."
    )

    def without_details(self) -> Health:
        """The same without addresses, paths and names, for everybody."""
        checks = {part: said if said == "ok" else FAILS for part, said in self.checks.items()}
        return self.model_copy(update={"checks": checks, "warnings": dict.fromkeys(self.warnings, FAILS)})


async def readiness() -> Health:
    """Try every part that search and ingest need."""
    checks: dict[str, str] = {}
    warnings: dict[str, str] = {}
    try:
        parts = await runtime()
    except (ServiceError, DependencyFailure) as error:
        checks["configuration"] = str(error)
    else:
        checks["configuration"] = "ok"
        results = await asyncio.gather(
            _tried(lambda: parts.documents.stat("health")),
            _tried(lambda: parts.state.stat(DEPLOYMENT_PLACE)),
            _gemini(parts),
        )
        checks |= dict(zip(("documents", "state", "gemini"), results, strict=True)) | parts.trouble
        if parts.redis and (problem := await parts.redis.look()):
            warnings["redis"] = problem
        if notice := await asyncio.to_thread(parts.index_notice):
            warnings["index"] = notice
        if closed := await parts.documents.closed_folders():
            warnings["folders"] = f"The server may not enter {', '.join(closed)}: give it the right to."
    working = set(checks.values()) == {"ok"}
    return Health(
        status=("degraded" if warnings else "healthy") if working else "unhealthy",
        version=product_version(),
        uptime_seconds=round(time.monotonic() - _started, 1),
        timestamp=datetime.now(UTC),
        checks=checks,
        warnings=warnings,
    )


async def indexing_trouble(parts: Runtime) -> str | None:
    """Why no document can be indexed at the moment, as the health check sees it; None where they can."""
    if "ingest" in parts.trouble:
        return parts.trouble["ingest"]
    at, result = _gemini_checked
    if result == "ok" or time.monotonic() - at > TROUBLE_STANDS:
        result = await _gemini(parts)
    return None if result == "ok" else result


async def _tried(check: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await check()
    except (DependencyFailure, TimeoutError, OSError) as error:
        return str(error) or "No answer in time."
    return "ok"


async def _gemini(parts: Runtime) -> str:
    at, result = _gemini_checked
    age = time.monotonic() - at
    if age <= GEMINI_CHECKED_FOR and result == "ok":
        return result
    if not _looking:
        task = asyncio.create_task(_look_at_gemini(parts))
        _looking.add(task)
        task.add_done_callback(_looking.discard)
    if age <= GEMINI_STANDS_AT_MOST and result == "ok":
        return result
    return await asyncio.shield(next(iter(_looking)))


async def _look_at_gemini(parts: Runtime) -> str:
    global _gemini_checked
    result = await _tried(parts.gemini.check)
    _gemini_checked = (time.monotonic(), result)
    return result
