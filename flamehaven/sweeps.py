"""The sweeps of the server: everything at the start and now and then, and what takes long every minute."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from flamehaven.pump import Pump
from functions.ingest.sweep import Report
from functions.ingest.worker import settle_all, settle_unfinished
from shared.failures import DependencyFailure
from shared.runtime import Runtime

log = logging.getLogger(__name__)

SMALL_EVERY = 60.0
"""Seconds between two looks at what takes long."""


async def keep_sweeping(parts: Runtime, pump: Pump) -> None:
    """Sweep until cancelled; the pump gets what a sweep could not settle."""
    async with asyncio.TaskGroup() as group:
        if every := parts.settings.sweep_interval_sec:
            group.create_task(_again_and_again(lambda: settle_all(parts), every, pump))
        group.create_task(_again_and_again(lambda: settle_unfinished(parts), SMALL_EVERY, pump))


async def _again_and_again(sweep: Callable[[], Awaitable[Report]], seconds: float, pump: Pump) -> None:
    while True:
        try:
            for name in (await sweep()).unsettled:
                await pump.add(name)
        except DependencyFailure as error:
            log.warning("The sweep did not finish: %s", error)
        except Exception:
            log.exception("The sweep failed")
        await asyncio.sleep(seconds)
