"""Compare the bucket, the records and the stores, and reconcile every object on which they may not agree."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from functions.ingest.reconcile import Listed, Outcome, Reconciler
from shared.buckets import PreconditionFailed
from shared.failures import Misconfigured, Transient
from shared.gemini.client import DocumentState
from shared.gemini.metadata import DEPLOYMENT, OBJECT
from shared.names import is_document
from shared.records import Status
from shared.stores import Stores

log = logging.getLogger(__name__)

PARALLEL = 8
"""Objects reconciled at once: more parallel uploads than this have been seen to get lost at Gemini."""
KEEP_TOMBSTONES = timedelta(days=7)


@dataclass(slots=True)
class Report:
    """What a sweep found: how many objects there are, how many ended in each outcome, and which must be seen again."""

    objects: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    unsettled: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def sweep(reconciler: Reconciler, stores: Stores) -> Report:
    """Repair what events missed: objects not indexed, stale, half-done or gone, and documents that nobody names.

    Raises Misconfigured when no object can be reconciled for a reason that is not the object's.
    """
    started = time.monotonic()
    report = Report()
    found = await survey(reconciler, stores)
    remaining = iter(found.items())
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(PARALLEL):
                group.create_task(_work(reconciler, remaining, report))
    except* Misconfigured as failures:
        raise failures.exceptions[0] from None
    report.objects = len(found)
    report.seconds = round(time.monotonic() - started, 3)
    return report


async def survey(reconciler: Reconciler, stores: Stores) -> Mapping[str, Listed]:
    """Every object that the bucket, a record or a store knows of, with the Gemini documents that say they are its."""
    listed: dict[str, dict[str, DocumentState]] = {}
    for resource in await stores.resources():
        async for document in reconciler.index.documents(resource):
            if document.metadata.get(DEPLOYMENT) == reconciler.identity.deployment and OBJECT in document.metadata:
                listed.setdefault(document.metadata[OBJECT], {})[document.name] = document.state
    async for saved in reconciler.records.list():
        expired = reconciler.time() - saved.record.updated > KEEP_TOMBSTONES
        if saved.record.status is Status.DELETED and expired and not listed.get(saved.record.object):
            try:
                await reconciler.records.drop(saved)
            except PreconditionFailed:
                listed.setdefault(saved.record.object, {})
        else:
            listed.setdefault(saved.record.object, {})
    async for info in reconciler.documents.list():
        if is_document(info.name):
            listed.setdefault(info.name, {})
    return listed


async def _work(reconciler: Reconciler, remaining: Iterator[tuple[str, Listed]], report: Report) -> None:
    for name, listed in remaining:
        try:
            outcome = str(await reconciler.reconcile(name, listed=listed))
            settled = outcome not in (Outcome.BUSY, Outcome.PENDING)
        except Transient as error:
            log.warning("The sweep could not settle an object: %s", error, extra={"object": name})
            outcome, settled = "error", False
        report.outcomes[outcome] += 1
        if not settled:
            report.unsettled.append(name)
