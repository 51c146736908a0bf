"""Cloud Storage as a bucket. `STORAGE_EMULATOR_HOST` leads to an emulator, as for every client of Google's."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterable, Iterator, Mapping
from contextlib import contextmanager
from io import UnsupportedOperation
from typing import IO, Any

import requests
from cachetools import LRUCache
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from shared.buckets import MetadataValue, ObjectInfo, ObjectNotFound, PreconditionFailed, Unreadable
from shared.buckets.cloud import (
    CONNECT_TIMEOUT,
    READ_TIMEOUT,
    THREADS,
    CloudBucket,
    Page,
    Sink,
    not_gzip,
    unknown_encoding,
)
from shared.encodings import UnknownEncoding, is_gzip
from shared.failures import Misconfigured, Transient

os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
"""Keeps the client from asking for the bucket, for traces that nobody takes, whenever an object is not found."""
TIMEOUT = (CONNECT_TIMEOUT, READ_TIMEOUT)
RETRY = DEFAULT_RETRY.with_timeout(30)
"""The client's own retries, with jitter; after these seconds the failure is Transient."""
WRITE_SPACING = 1.0
"""Seconds between two writes of one object ("Quotas & limits": once a second to the same object name)."""
REMEMBERED = 10_000
PASSING = (
    exceptions.TooManyRequests,
    exceptions.ServerError,
    exceptions.RetryError,
    requests.RequestException,
    DataCorruption,
    TransportError,
)
"""What may be gone when it is tried again."""
NOT_FOR_SEARCH = ("goog-reserved-", "firebaseStorageDownloadTokens")
"""Metadata that tools keep for themselves; Firebase's gives access to the object."""


class CloudStorageBucket(CloudBucket):
    """The objects of a Cloud Storage bucket; a generation is Cloud Storage's own."""

    def __init__(self, bucket: str, prefix: str = "") -> None:
        super().__init__(bucket, prefix)
        with self._translating():
            self._client = storage.Client(project=None)
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=THREADS)
        for scheme in ("https://", "http://"):
            self._client._http.mount(scheme, adapter)  # its own pool keeps ten connections, and says so of each more
        self._objects = self._client.bucket(bucket)
        self._written: LRUCache[str, float] = LRUCache(REMEMBERED)

    async def put(
        self, name: str, data: bytes | AsyncIterable[bytes], *, if_generation: str | None = None
    ) -> ObjectInfo:
        """Write the object, a second after it was last written from here at the soonest."""
        await asyncio.sleep(self._written.get(name, 0.0) + WRITE_SPACING - time.monotonic())
        try:
            return await super().put(name, data, if_generation=if_generation)
        finally:
            self._written[name] = time.monotonic()

    def _close(self) -> None:
        self._client.close()

    def _head(self, name: str) -> ObjectInfo | None:
        blob = self._objects.get_blob(self._key(name), timeout=TIMEOUT, retry=RETRY)
        if blob is None:
            self._missing(name)
            return None
        return self._info(blob)

    def _download(self, name: str, generation: str | None, sink: Sink) -> str:
        blob = self._objects.blob(self._key(name), generation=int(generation) if generation else None)
        try:
            blob.download_to_file(sink, timeout=TIMEOUT, retry=RETRY)
        except exceptions.NotFound as error:
            raise ObjectNotFound(name) from error
        except exceptions.BadRequest as error:
            if "customer-supplied encryption key" not in str(error):
                raise
            raise Unreadable("The object can only be read with the key of who encrypted it.") from error
        except (requests.exceptions.ContentDecodingError, DataCorruption) as error:
            self._check_encoding(name, error)
            raise
        _is_gzip(blob.content_encoding)
        return str(blob.generation)

    def _check_encoding(self, name: str, error: Exception) -> None:
        """Raise Unreadable where a download failed because of how the object is encoded: the client undoes gzip."""
        blob = self._objects.get_blob(self._key(name), timeout=TIMEOUT, retry=RETRY)
        if blob and _is_gzip(blob.content_encoding) and isinstance(error, requests.exceptions.ContentDecodingError):
            raise not_gzip(error) from error

    def _upload(self, name: str, file: IO[bytes], size: int, if_generation: str | None) -> ObjectInfo:
        blob = self._objects.blob(self._key(name))
        condition = None if if_generation is None else int(if_generation)
        blob.upload_from_file(file, size=size, rewind=True, if_generation_match=condition, timeout=TIMEOUT, retry=RETRY)
        return self._info(blob)

    def _remove(self, name: str, if_generation: str | None) -> bool:
        condition = None if if_generation is None else int(if_generation)
        try:
            self._objects.delete_blob(self._key(name), if_generation_match=condition, timeout=TIMEOUT, retry=RETRY)
        except exceptions.NotFound:
            self._missing(name)
            return False
        return True

    def _page(self, prefix: str, token: str | None, size: int = 1000) -> Page:
        found = self._client.list_blobs(
            self._objects,
            prefix=self._key(prefix),
            page_token=token,
            page_size=size,
            fields="items(name,generation,size,updated,metadata),nextPageToken",
            timeout=TIMEOUT,
            retry=RETRY,
        )
        try:
            page = next(found.pages, ())
        except exceptions.NotFound as error:
            raise self._no_bucket() from error
        return [self._info(blob) for blob in page], found.next_page_token

    def _info(self, blob: storage.Blob) -> ObjectInfo:
        return ObjectInfo(
            name=blob.name.removeprefix(self._prefix),
            generation=str(blob.generation),
            size=blob.size,
            updated=blob.updated,
            metadata=_searchable(blob.metadata or {}),
        )

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except exceptions.PreconditionFailed as error:
            raise PreconditionFailed("The object has changed") from error
        except PASSING as error:
            raise Transient(f"Cloud Storage is busy or failing ({type(error).__name__}).") from error
        except (exceptions.GoogleAPIError, GoogleAuthError) as error:
            problem = str(error).partition("\n")[0][:300]
            raise Misconfigured(f"Cloud Storage refuses access to bucket {self.bucket!r}: {problem}") from error
        except Exception as error:
            if isinstance(error.__cause__, UnsupportedOperation):  # of a reader, around which the client puts its own
                raise Transient("A download broke off.") from error
            raise


def _is_gzip(content_encoding: str | None) -> bool:
    try:
        return is_gzip(content_encoding or "")
    except UnknownEncoding as error:
        raise unknown_encoding(error) from error


def _searchable(metadata: Mapping[str, Any]) -> dict[str, MetadataValue]:
    return {key: str(value) for key, value in metadata.items() if not key.startswith(NOT_FOR_SEARCH)}
