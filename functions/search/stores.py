"""Which stores a question searches."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from functions.search.models import MAX_STORES
from shared.access import caller, check_store
from shared.buckets import ObjectInfo
from shared.buckets.documents import documents_of
from shared.errors import ServiceError
from shared.runtime import Runtime
from shared.stores import store_not_found


async def find_stores(runtime: Runtime, named: Sequence[str]) -> dict[str, str]:
    """The stores that a question names, else every store that the caller may use, with their resource names in Gemini.

    Raises ServiceError (PERMISSION_DENIED, STORE_NOT_FOUND, STORE_NOT_READY, TOO_MANY_STORES).
    """
    for store in named:
        check_store(store)
    found = {store: await _resource(runtime, store) for store in named} or await _all_visible(runtime)
    if len(found) > MAX_STORES:
        raise ServiceError(
            "TOO_MANY_STORES",
            f"There are {len(found)} stores, and one question searches at most {MAX_STORES}. "
            "Name the stores to search in `stores`; /api/stores lists them.",
        )
    return found


async def _all_visible(runtime: Runtime) -> dict[str, str]:
    """Every store that the caller may use, in the order of their names. Raises ServiceError where there is none."""
    sees, allowed = caller.get().sees, caller.get().stores
    found = {record.store: record.resource for record in await runtime.stores.all() if sees(record.store)}
    if found:
        return dict(sorted(found.items()))
    for store in [None] if allowed is None else sorted(allowed):
        async for info in documents_of(runtime.documents, store=store):
            raise await _not_ready(runtime, None, info)
    where = "There are no documents" if allowed is None else "The stores that you may use hold no documents"
    raise ServiceError("STORE_NOT_FOUND", f"{where} yet. Put one into a folder, and search again.")


async def _resource(runtime: Runtime, store: str) -> str:
    """The resource name of a store. Raises ServiceError that says whether there is such a folder at all."""
    resource = await runtime.stores.resource(store)
    if resource:
        return resource
    async for info in documents_of(runtime.documents, store=store):
        raise await _not_ready(runtime, store, info)
    raise await store_not_found(runtime.stores, store)


async def _not_ready(runtime: Runtime, store: str | None, example: ObjectInfo) -> ServiceError:
    """The refusal of a search where nothing is indexed yet, in a store or in all, with why one document is not."""
    record = await runtime.records.current(example.name)
    reason = record and record.why_not_indexed(example)
    count = await runtime.progress.of(caller.get().sees if store is None else lambda name: name == store)
    why = f"{example.name!r}: {reason.message}" if reason else str(count) if count.pending else "Indexing goes on."
    return ServiceError(
        "STORE_NOT_READY",
        f"No document{f' of store {store!r}' if store else ''} can be searched yet. {why} "
        f"/api/documents{f'?store={quote(store)}' if store else ''} shows the state of each.",
    )
