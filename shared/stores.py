"""Stores: which Gemini File Search store stands for which folder of the bucket, kept in records of their own.

A store's resource name comes from here and never from a display name: two deployments that share a Gemini project, such
as staging and production, must not find each other's documents.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Protocol

from cachetools import LRUCache

from shared.access import caller
from shared.buckets import ABSENT, Bucket, ObjectInfo, PreconditionFailed
from shared.errors import ServiceError
from shared.failures import Transient
from shared.names import digest_of, normal
from shared.state.collection import read, read_each
from shared.state.stored import Stored

CAS_TRIES = 5
REMEMBERED = 1000
"""How many stores a process remembers, so that listings need not read them again."""
NAMED = 20
"""How many stores an error names."""


class StoreRecord(Stored):
    """One store: its name for people, and its resource name in Gemini."""

    store: str
    resource: str
    deployment: str
    backend: str
    created: datetime
    deleting: bool = False
    """Set before Gemini is asked to delete it: from then on nobody searches it or adds to it."""


class Maker(Protocol):
    """What makes and deletes File Search stores; `shared.gemini.client.Gemini` does."""

    async def create_store(self, display_name: str) -> str: ...
    async def delete_store(self, store: str) -> None: ...


class Stores:
    """The stores of one deployment on one backend, in the state bucket under `stores/`."""

    PREFIX = "stores/"

    def __init__(self, state: Bucket, gemini: Maker, *, deployment: str, backend: str) -> None:
        self._state = state
        self._gemini = gemini
        self._deployment = deployment
        self._backend = backend
        self._making = asyncio.Lock()
        self._read_before: LRUCache[str, tuple[str, StoreRecord | None]] = LRUCache(REMEMBERED)

    async def resource(self, store: str) -> str | None:
        """The Gemini resource name of a store, or None where there is no such store."""
        record, _ = await self._read(store)
        return None if record is None or record.deleting else record.resource

    async def ensure(self, store: str) -> str:
        """The Gemini resource name of a store, which is made where there is none."""
        async with self._making:  # or the first files of a folder would each make one
            for _ in range(CAS_TRIES):
                record, generation = await self._read(store)
                if record and record.deleting:
                    with contextlib.suppress(PreconditionFailed):  # another worker finished it first
                        await self._finish_deleting(record, generation)
                elif record:
                    return record.resource
                elif made := await self._make(store, generation):
                    return made
        raise Transient(f"The record of store {store} changed each time it was read")

    async def delete(self, store: str) -> None:
        """Delete a store with all that Gemini has of it; one that is not there is no error."""
        for _ in range(CAS_TRIES):
            record, generation = await self._read(store)
            if record is None:
                return
            try:
                if not record.deleting:
                    record = record.model_copy(update={"deleting": True})
                    generation = await self._save(record, generation)
                await self._finish_deleting(record, generation)
            except PreconditionFailed:
                continue
            return
        raise Transient(f"The record of store {store} changed each time it was read")

    async def finish_deletions(self) -> None:
        """Delete the stores that somebody began to delete."""
        for record in await self._every():
            if record.deleting:
                await self.delete(record.store)

    async def join_spellings(self) -> None:
        """Put stores that were recorded under another Unicode form of their name under its NFC form.

        Where that is a store too, it stays, and the other is deleted: the sweep indexes its documents anew.
        """
        for record in [record for record in await self._every() if record.store != normal(record.store)]:
            try:
                await self._save(record.model_copy(update={"store": normal(record.store)}), ABSENT)
            except PreconditionFailed:
                await self.delete(record.store)
            else:
                await self._state.delete(self._place(record.store))

    async def resources(self) -> list[str]:
        """The resource names of all stores."""
        return [record.resource for record in await self.all()]

    async def all(self) -> list[StoreRecord]:
        """Every store, in the order of their places in the state bucket."""
        return [record for record in await self._every() if not record.deleting]

    async def _every(self) -> list[StoreRecord]:
        return [record async for record in read_each(self._state, self.PREFIX, self._listed)]

    async def _listed(self, info: ObjectInfo) -> StoreRecord | None:
        """The record that a listing found, read only if this process did not read this generation before."""
        generation, record = self._read_before.get(info.name, (None, None))
        if generation != info.generation:
            record, _ = await self._load(info.name)
            self._read_before[info.name] = (info.generation, record)
        return record

    async def _make(self, store: str, generation: str) -> str | None:
        """Make a store; None where another worker made it first."""
        made = await self._gemini.create_store(f"{store} ({self._deployment})")
        record = StoreRecord(
            store=store,
            resource=made,
            deployment=self._deployment,
            backend=self._backend,
            created=datetime.now(UTC),
        )
        try:
            await self._save(record, generation)
        except PreconditionFailed:
            await self._gemini.delete_store(made)
            return None
        return made

    async def _finish_deleting(self, record: StoreRecord, generation: str) -> None:
        await self._gemini.delete_store(record.resource)
        await self._state.delete(self._place(record.store), if_generation=generation)

    async def _save(self, record: StoreRecord, generation: str) -> str:
        data = record.encode()
        return (await self._state.put(self._place(record.store), data, if_generation=generation)).generation

    async def _read(self, store: str) -> tuple[StoreRecord | None, str]:
        return await self._load(self._place(store))

    async def _load(self, place: str) -> tuple[StoreRecord | None, str]:
        """The store's record where it is of this deployment and backend, and the generation to write over."""
        entry = await read(self._state, place)
        if entry is None:
            return None, ABSENT
        record = StoreRecord.decode(entry.data, place)
        ours = (record.deployment, record.backend) == (self._deployment, self._backend)
        return (record if ours else None), entry.generation

    def _place(self, store: str) -> str:
        """Each backend has a place of its own: who goes back to one finds the stores that it has there."""
        return f"{self.PREFIX}{digest_of(f'{self._backend} {store}')}.json"


async def store_not_found(stores: Stores, store: str) -> ServiceError:
    """The error for a store that does not exist; it names the stores that the caller may use."""
    names = sorted(record.store for record in await stores.all() if caller.get().sees(record.store))
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        hint = f"You may use: {', '.join(map(repr, names[:NAMED]))}{more}."
    else:
        hint = "Put a document into a folder of that name."
    return ServiceError("STORE_NOT_FOUND", f"There is no store {store!r}. {hint}")
