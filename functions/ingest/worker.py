"""Reconcile as this process does it: with its buckets, its Gemini, and the clock of its machine."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache

from functions.ingest.events import ObjectEvent
from functions.ingest.reconcile import PATIENCE, Identity, Outcome, Reconciler
from functions.ingest.sweep import Report, Seen, preview, see_to_all, sweep
from shared import metrics
from shared.buckets import Bucket, ObjectInfo
from shared.clock import SystemClock
from shared.content import Content, fetch
from shared.holder import holding, is_gone
from shared.logs import request_id
from shared.names import described_by, is_document
from shared.runtime import Runtime
from shared.traces import span

log = logging.getLogger(__name__)

LEASE_MARGIN = 180.0
"""Seconds that a lease outlasts the longest upload: time to wait for one's turn, and as long as Gemini asks to wait."""
BRIEFLY = 5.0
"""Seconds that the small sweep waits for one document; it comes again in a minute."""
NO_DOCUMENT = "no document"
"""What comes of an event about an object that is not indexed, by its name or because it is of another bucket."""
WAITING = (Outcome.PENDING, Outcome.BUSY, Outcome.CHANGING)


def reconciler_of(runtime: Runtime, holder: str, *, patience: float = PATIENCE) -> Reconciler:
    """The reconciler of this process, which holds its leases as `holder`."""

    @asynccontextmanager
    async def fetch_in_turn(bucket: Bucket, info: ObjectInfo, max_bytes: int) -> AsyncIterator[Content]:
        async with runtime.uploads, fetch(bucket, info, max_bytes) as content:
            yield content

    return Reconciler(
        documents=runtime.documents,
        records=runtime.records,
        index=runtime.gemini,
        stores=runtime.stores,
        fetch=fetch_in_turn,
        clock=SystemClock(),
        identity=Identity(deployment=runtime.deployment, backend=runtime.backend, holder=holder),
        max_bytes=runtime.settings.max_file_bytes,
        lease_seconds=runtime.settings.upload_timeout_sec + LEASE_MARGIN,
        holder_gone=is_gone,
        patience=patience,
        tell=runtime.notices.tell,
    )


async def settle(runtime: Runtime, name: str, *, patience: float = PATIENCE) -> Outcome:
    """See to the object that a changed name concerns, and log what came of it. Raises DependencyFailure.

    `patience` is how many seconds Gemini may take to index it before it counts as pending.
    """
    started, came_of_it = time.monotonic(), "postponed"
    try:
        recorded = span("reconcile", object=described_by(name), request_id=request_id.get() or "")
        with holding() as holder, recorded as work:
            outcome = await reconciler_of(runtime, holder, patience=patience).reconcile(described_by(name))
            came_of_it = str(outcome)
            work.set_attribute("flamehaven.outcome", came_of_it)
    finally:
        metrics.INGEST_OUTCOMES.add(came_of_it)
        metrics.INGEST_SECONDS.observe(time.monotonic() - started)
    level = logging.DEBUG if outcome in (Outcome.UNCHANGED, Outcome.CHANGING) else logging.INFO
    log.log(level, "%s: %s", described_by(name), outcome)
    return outcome


async def settle_event(runtime: Runtime, event: ObjectEvent, *, patience: float = PATIENCE) -> str:
    """See to the object of an event, which is then done with: what takes longer is left to the small sweep.

    Raises DependencyFailure where the event must come again.
    """
    name = runtime.documents.locate(event.bucket, event.name)
    if name is None:
        _say_not_ours(event.bucket[:100])
    if name is None or not is_document(described_by(name)):
        return NO_DOCUMENT
    if name != described_by(name):  # a metadata file, which may be named in another Unicode form than the document
        name = await runtime.documents.find(described_by(name))
    outcome = await settle(runtime, name, patience=patience)
    if outcome in WAITING:
        await runtime.unfinished.add(name)
    return outcome


@lru_cache(maxsize=100)
def _say_not_ours(bucket: str) -> None:
    """Say once that events come which do not concern these documents."""
    log.warning("Events about other objects of bucket %r come too; they are passed over.", bucket)


async def settle_unfinished(runtime: Runtime) -> Report:
    """See to what took long when its event came, and send the notices that nobody took. Raises DependencyFailure."""

    async def see_to(name: str, _: Seen) -> str:
        outcome = await settle(runtime, name, patience=BRIEFLY)
        if outcome not in WAITING:
            await runtime.unfinished.remove(name)
        return outcome

    report = await see_to_all(see_to, {name: Seen() for name in await runtime.unfinished.names()})
    await runtime.notices.send_waiting()
    return report


async def renew(runtime: Runtime, name: str) -> None:
    """Have the next reconcile index the object anew. Raises DependencyFailure."""
    with holding() as holder:
        await reconciler_of(runtime, holder).renew(name)


async def look_at_all(runtime: Runtime, *, store: str | None = None) -> Report:
    """Say which objects (of a store) there are to see to, and change nothing. Raises DependencyFailure."""
    percent = runtime.settings.sweep_max_deletions_percent
    await runtime.records.read_ahead()
    with holding() as holder:
        reconciler = reconciler_of(runtime, holder)
        return await preview(reconciler, runtime.stores, store=store, max_deletions_percent=percent)


async def settle_all(runtime: Runtime, *, store: str | None = None, all_deletions: bool = False) -> Report:
    """See to every object, record and document (of a store), and log what came of it. Raises DependencyFailure.

    With `all_deletions` what the bucket lacks is taken out however much that is.
    """
    percent = 100 if all_deletions else runtime.settings.sweep_max_deletions_percent
    await runtime.records.read_ahead()
    with holding() as holder:
        reconciler = reconciler_of(runtime, holder)
        report = await sweep(reconciler, runtime.stores, store=store, max_deletions_percent=percent)
    log.info("sweep of %d objects in %.1f s: %s", report.objects, report.seconds, dict(report.outcomes))
    return report
