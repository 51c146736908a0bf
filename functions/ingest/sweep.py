"""Compare the bucket, the records and the stores, and reconcile every object on which they may not agree."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from functions.ingest.reconcile import Listed, Outcome, Reconciler
from shared.buckets import PreconditionFailed
from shared.failures import Misconfigured, Transient
from shared.gemini.client import DocumentState
from shared.gemini.metadata import DEPLOYMENT, OBJECT
from shared.names import is_document, store_of
from shared.records import Status
from shared.stores import Stores

log = logging.getLogger(__name__)

PARALLEL = 8
"""Objects reconciled at once: more parallel uploads than this have been seen to get lost at Gemini."""
TO_RECONCILE = "to reconcile"
KEEP_TOMBSTONES = timedelta(days=7)


@dataclass(slots=True)
class Report:
    """What a sweep found: how many objects there are, how many ended in each outcome, and which must be seen again."""

    objects: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    unsettled: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def sweep(reconciler: Reconciler, stores: Stores, *, store: str | None = None) -> Report:
    """Repair what events missed: objects not indexed, stale, half-done or gone, and documents that nobody names.

    With `store`, only the objects of that store. Raises Misconfigured when no object can be reconciled for a reason
    that is not the object's.
    """

    async def reconciled(name: str, listed: Listed) -> str:
        return await reconciler.reconcile(name, listed=listed)

    await stores.finish_deletions()
    await _forget_deleted(reconciler)
    return await _for_each(reconciled, await survey(reconciler, stores, store=store))


async def preview(reconciler: Reconciler, stores: Stores, *, store: str | None = None) -> Report:
    """What a sweep would see to, without changing anything: `unsettled` names the objects."""

    async def verdict(name: str, listed: Listed) -> str:
        return Outcome.UNCHANGED if await reconciler.agrees(name, listed) else TO_RECONCILE

    return await _for_each(verdict, await survey(reconciler, stores, store=store))


async def survey(reconciler: Reconciler, stores: Stores, *, store: str | None = None) -> dict[str, Listed]:
    """Every object that the bucket, a record or a store knows of, with the Gemini documents that say they are its."""
    listed: dict[str, dict[str, DocumentState]] = {}
    for resource in await stores.resources():
        async for document in reconciler.index.documents(resource):
            if document.metadata.get(DEPLOYMENT) == reconciler.identity.deployment and OBJECT in document.metadata:
                listed.setdefault(document.metadata[OBJECT], {})[document.name] = document.state
    async for saved in reconciler.records.list():
        listed.setdefault(saved.record.object, {})
    async for info in reconciler.documents.list():
        if is_document(info.name):
            listed.setdefault(info.name, {})
    return {name: documents for name, documents in listed.items() if store in (None, store_of(name))}


async def _forget_deleted(reconciler: Reconciler) -> None:
    """Drop the records of objects that were deleted long ago; a sweep that finds something of theirs starts anew."""
    async for saved in reconciler.records.list():
        if saved.record.status is Status.DELETED and reconciler.time() - saved.record.updated > KEEP_TOMBSTONES:
            with contextlib.suppress(PreconditionFailed):
                await reconciler.records.drop(saved)


async def _for_each(act: Callable[[str, Listed], Awaitable[str]], found: Mapping[str, Listed]) -> Report:
    started = time.monotonic()
    report = Report(objects=len(found))
    remaining = iter(found.items())
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(PARALLEL):
                group.create_task(_work(act, remaining, report))
    except* Misconfigured as failures:
        raise failures.exceptions[0] from None
    report.seconds = round(time.monotonic() - started, 3)
    return report


async def _work(
    act: Callable[[str, Listed], Awaitable[str]], remaining: Iterator[tuple[str, Listed]], report: Report
) -> None:
    for name, listed in remaining:
        try:
            outcome = str(await act(name, listed))
        except Transient as error:
            log.warning("The sweep could not settle an object: %s", error, extra={"object": name})
            outcome = "error"
        report.outcomes[outcome] += 1
        if outcome in (Outcome.BUSY, Outcome.PENDING, TO_RECONCILE, "error"):
            report.unsettled.append(name)
