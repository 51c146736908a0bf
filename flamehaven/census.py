"""Looks now and then at what nobody counts as it happens: what waits, what failed, how old the key is."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from shared import metrics
from shared.buckets import ABSENT, PreconditionFailed
from shared.buckets.documents import documents_of
from shared.failures import DependencyFailure
from shared.names import store_of
from shared.records import Status, status_of
from shared.runtime import Runtime
from shared.state.collection import read

log = logging.getLogger(__name__)

EVERY = 60.0
SHARE = 20
"""A look takes at most one part in so many of the time: where it takes long, the next one comes later."""


async def keep_looking(parts: Runtime) -> None:
    """Look until cancelled."""
    waiting: dict[tuple[str, str], datetime] = {}
    while True:
        started = time.monotonic()
        try:
            waiting = await look(parts, waiting)
        except (DependencyFailure, OSError) as error:
            log.warning("What waits could not be counted: %s", error)
        await asyncio.sleep(max(EVERY, SHARE * (time.monotonic() - started)))


async def look(parts: Runtime, before: Mapping[tuple[str, str], datetime]) -> dict[tuple[str, str], datetime]:
    """Set the metrics that need a look at every document. Raises DependencyFailure.

    Returns since when each version of an object that is not indexed waits, which the next look takes as `before`: a
    file that is copied here with its old time of change waits only from the first look on.
    """
    record_of, now = await parts.records.snapshot(), datetime.now(UTC)
    stores, waiting, failed = set[str](), dict[tuple[str, str], datetime](), 0
    async for info in documents_of(parts.documents):
        stores.add(store_of(info.name))
        status = status_of(info, await record_of(info.name))
        failed += status is Status.FAILED
        if status is Status.PENDING:
            version = (info.name, info.generation)
            waiting[version] = before.get(version, now)
    metrics.STORES.set(len(stores))
    metrics.FAILED.set(failed)
    metrics.PENDING.set(len(waiting))
    metrics.OLDEST_PENDING.set((now - min(waiting.values(), default=now)).total_seconds())
    if not parts.settings.embedded:
        metrics.GEMINI_KEY_AGE.set((now - await first_used(parts)).total_seconds())
    return waiting


async def first_used(parts: Runtime) -> datetime:
    """When this deployment first saw the Gemini key that it has; of the key only a digest is kept."""
    key = await asyncio.to_thread(parts.settings.key)
    place = f"gemini-keys/{hashlib.sha256(f'{parts.deployment} {key}'.encode()).hexdigest()}"
    now = datetime.now(UTC)
    with contextlib.suppress(PreconditionFailed):
        await parts.state.put(place, now.isoformat().encode(), if_generation=ABSENT)
    entry = await read(parts.state, place)
    return datetime.fromisoformat(entry.data.decode()) if entry else now
