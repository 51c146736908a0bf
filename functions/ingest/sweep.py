"""Compare the bucket, the records and the stores, and reconcile every object on which they may not agree."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import MappingProxyType

from functions.ingest.reconcile import Outcome, Reconciler
from shared.buckets import ObjectInfo, PreconditionFailed
from shared.buckets.documents import documents_of
from shared.failures import Misconfigured, NewerSchema, Transient
from shared.gemini.client import DocumentState
from shared.gemini.metadata import DEPLOYMENT, OBJECT
from shared.names import is_document, normal, store_of
from shared.records import Saved, Status
from shared.stores import Stores

log = logging.getLogger(__name__)

PARALLEL = 16
"""Objects seen to at once."""
TO_RECONCILE = "to reconcile"
REFUSED = "refused"
NEWER = "newer schema"
"""What becomes of objects whose record a newer version of the program wrote: they stay as they are."""
KEEP_TOMBSTONES = timedelta(days=7)
ALWAYS_MAY_GO = 5
"""Documents that a sweep may take out of a store whatever their share: people do delete small folders."""


@dataclass(slots=True)
class Seen:
    """What a survey found about one object: in the stores, in the records and in the bucket."""

    listed: dict[str, DocumentState] = field(default_factory=dict)
    saved: Saved | None = None
    info: ObjectInfo | None = None

    @property
    def is_indexed(self) -> bool:
        return bool(self.listed) or (self.saved is not None and self.saved.record.document is not None)


Survey = Mapping[str, Seen]


@dataclass(slots=True)
class Report:
    """What a sweep found: how many objects there are, how many ended in each outcome, and which must be seen again."""

    objects: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    unsettled: list[str] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    """The stores that would have lost too much, and how many documents: nothing of these was taken out."""
    seconds: float = 0.0


async def sweep(
    reconciler: Reconciler, stores: Stores, *, store: str | None = None, max_deletions_percent: int = 100
) -> Report:
    """Repair what events missed: objects not indexed, stale, half-done or gone, and documents that nobody names.

    With `store`, only the objects of that store. What the bucket lacks stays in the index where it is more than that
    share of its store: the bucket is more likely to be the wrong one, or not mounted. Raises Misconfigured when no
    object can be reconciled for a reason that is not the object's.
    """
    started = time.monotonic()
    await stores.finish_deletions()
    await stores.join_spellings()
    found = await survey(reconciler, stores, store=store)
    await _forget_deleted(reconciler, found)
    report = await see_to_all(partial(see_to, reconciler), found, too_many_gone(found, max_deletions_percent))
    return _timed(report, started)


async def preview(
    reconciler: Reconciler, stores: Stores, *, store: str | None = None, max_deletions_percent: int = 100
) -> Report:
    """What a sweep would see to, without changing anything: `unsettled` names the objects."""

    async def verdict(name: str, seen: Seen) -> str:
        agrees = settled(reconciler, seen) or await reconciler.agrees(name, seen.listed)
        return Outcome.UNCHANGED if agrees else TO_RECONCILE

    started = time.monotonic()
    found = await survey(reconciler, stores, store=store)
    return _timed(await see_to_all(verdict, found, too_many_gone(found, max_deletions_percent)), started)


async def survey(reconciler: Reconciler, stores: Stores, *, store: str | None = None) -> Survey:
    """Every object that the bucket, a record or a store knows of, and what each of them knows."""
    found: defaultdict[str, Seen] = defaultdict(Seen)
    for resource in await stores.resources():
        async for document in reconciler.index.documents(resource):
            if document.metadata.get(DEPLOYMENT) == reconciler.identity.deployment and OBJECT in document.metadata:
                found[document.metadata[OBJECT]].listed[document.name] = document.state
    async for saved in reconciler.records.list():
        found[saved.record.object].saved = saved
    async for info in documents_of(reconciler.documents):
        found[info.name].info = info
    store = store and normal(store)
    return {name: seen for name, seen in found.items() if store in (None, store_of(name))}


async def see_to(reconciler: Reconciler, name: str, seen: Seen) -> str:
    """Reconcile an object unless bucket, record and store agreed when they were listed. Raises DependencyFailure."""
    if settled(reconciler, seen):
        return Outcome.UNCHANGED
    return await reconciler.reconcile(name, listed=seen.listed)


def settled(reconciler: Reconciler, seen: Seen) -> bool:
    """Whether what was listed agrees; what changed since then has an event of its own."""
    known = seen.info is None or seen.info.metadata_known
    return known and reconciler.at_rest(seen.saved, seen.info, seen.listed)


def too_many_gone(found: Survey, max_percent: int) -> dict[str, int]:
    """The stores of which the bucket lacks more than that share of the indexed documents, and how many it lacks."""
    indexed = Counter(store_of(name) for name, seen in found.items() if seen.is_indexed)
    gone = Counter(store_of(name) for name, seen in found.items() if _is_gone(name, seen))
    return {
        store: count
        for store, count in gone.items()
        if count > ALWAYS_MAY_GO and count * 100 > max_percent * indexed[store]
    }


def _is_gone(name: str, seen: Seen) -> bool:
    """Whether the bucket lacks an indexed document, and not because objects of that name are none any more."""
    return seen.is_indexed and seen.info is None and is_document(name)


async def _forget_deleted(reconciler: Reconciler, found: Survey) -> None:
    """Drop the records of objects that were deleted long ago; a sweep that finds something of theirs starts anew."""
    for saved in [seen.saved for seen in found.values() if seen.saved]:
        if saved.record.status is Status.DELETED and reconciler.time() - saved.record.updated > KEEP_TOMBSTONES:
            with contextlib.suppress(PreconditionFailed):
                await reconciler.records.drop(saved)


async def see_to_all(
    act: Callable[[str, Seen], Awaitable[str]], found: Survey, refused: Mapping[str, int] = MappingProxyType({})
) -> Report:
    """What came of `act` for every object, some at once, but for those that would be taken out of refused stores.

    Raises Misconfigured.
    """
    report = Report(objects=len(found), refused=dict(refused))
    for store, count in refused.items():
        log.error(
            "The bucket lacks %d documents of store %r, which is most of it: they stay in the index. Is it the right "
            "bucket? If they are to go, run `flamehaven reconcile --yes`.",
            count,
            store,
        )
    remaining = iter(found.items())
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(PARALLEL):
                group.create_task(_work(act, remaining, report))
    except* Misconfigured as failures:
        raise failures.exceptions[0] from None
    return report


def _timed(report: Report, started: float) -> Report:
    report.seconds = round(time.monotonic() - started, 3)
    return report


async def _work(
    act: Callable[[str, Seen], Awaitable[str]], remaining: Iterator[tuple[str, Seen]], report: Report
) -> None:
    for name, seen in remaining:
        if _is_gone(name, seen) and store_of(name) in report.refused:
            report.outcomes[REFUSED] += 1
            continue
        try:
            outcome = str(await act(name, seen))
        except Transient as error:
            log.warning("The sweep could not settle an object: %s", error, extra={"object": name})
            outcome = "error"
        except NewerSchema as error:
            if not report.outcomes[NEWER]:
                log.error("The sweep skips documents that a newer version indexed. The first: %s", error)
            outcome = NEWER
        report.outcomes[outcome] += 1
        if outcome in (Outcome.BUSY, Outcome.PENDING, Outcome.CHANGING, TO_RECONCILE, "error"):
            report.unsettled.append(name)
