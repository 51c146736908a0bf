"""Reconcile as this process does it: with its buckets, its Gemini, and the clock of its machine."""

from __future__ import annotations

import logging

from functions.ingest.reconcile import Identity, Outcome, Reconciler
from functions.ingest.sweep import Report, preview, sweep
from shared.clock import SystemClock
from shared.content import fetch
from shared.holder import holding, is_gone
from shared.names import described_by
from shared.runtime import Runtime

log = logging.getLogger(__name__)

LEASE_MARGIN = 60.0
"""Seconds that a lease outlasts the longest upload."""


def reconciler_of(runtime: Runtime, holder: str) -> Reconciler:
    """The reconciler of this process, which holds its leases as `holder`."""
    return Reconciler(
        documents=runtime.documents,
        records=runtime.records,
        index=runtime.gemini,
        stores=runtime.stores,
        fetch=fetch,
        clock=SystemClock(),
        identity=Identity(deployment=runtime.deployment, backend=runtime.backend, holder=holder),
        max_bytes=runtime.settings.max_file_bytes,
        lease_seconds=runtime.settings.upload_timeout_sec + LEASE_MARGIN,
        holder_gone=is_gone,
    )


async def settle(runtime: Runtime, name: str) -> Outcome:
    """See to the object that a changed name concerns, and log what came of it. Raises DependencyFailure."""
    with holding() as holder:
        outcome = await reconciler_of(runtime, holder).reconcile(described_by(name))
    level = logging.DEBUG if outcome is Outcome.UNCHANGED else logging.INFO
    log.log(level, "%s: %s", described_by(name), outcome)
    return outcome


async def renew(runtime: Runtime, name: str) -> None:
    """Have the next reconcile index the object anew. Raises DependencyFailure."""
    with holding() as holder:
        await reconciler_of(runtime, holder).renew(name)


async def look_at_all(runtime: Runtime, *, store: str | None = None) -> Report:
    """Say which objects (of a store) there are to see to, and change nothing. Raises DependencyFailure."""
    with holding() as holder:
        return await preview(reconciler_of(runtime, holder), runtime.stores, store=store)


async def settle_all(runtime: Runtime, *, store: str | None = None) -> Report:
    """See to every object, record and document (of a store), and log what came of it. Raises DependencyFailure."""
    with holding() as holder:
        report = await sweep(reconciler_of(runtime, holder), runtime.stores, store=store)
    log.info("sweep of %d objects in %.1f s: %s", report.objects, report.seconds, dict(report.outcomes))
    return report
