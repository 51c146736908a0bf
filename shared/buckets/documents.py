"""The documents of a bucket, by the names that people give: compared in Unicode's form NFC."""

from __future__ import annotations

from collections.abc import AsyncIterator

from shared.buckets import Bucket, ObjectInfo
from shared.names import DEFAULT_STORE, common_prefix, is_document, normal, store_of


async def documents_of(bucket: Bucket, *, store: str | None = None, prefix: str = "") -> AsyncIterator[ObjectInfo]:
    """The documents (of a store, with names that start with `prefix`), in the order of their exact names."""
    store, prefix = store and normal(store), normal(prefix)
    folder = f"{store}/" if store and store != DEFAULT_STORE else ""
    async for info in bucket.list(common_prefix(prefix or folder)):
        wanted = store in (None, store_of(info.name)) and normal(info.name).startswith(prefix)
        if wanted and is_document(info.name):
            yield info
