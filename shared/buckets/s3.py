"""S3, and whatever speaks its protocol, as a bucket; `AWS_*` variables give credentials, region and endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import IO, Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
)

from shared.buckets import ABSENT, MetadataValue, ObjectInfo, ObjectNotFound, PreconditionFailed, Unreadable
from shared.buckets.cloud import (
    CONNECT_TIMEOUT,
    PART,
    READ_TIMEOUT,
    THREADS,
    CloudBucket,
    Page,
    Sink,
    not_gzip,
    unknown_encoding,
)
from shared.encoded_words import decoded
from shared.encodings import Gunzip, NotGzip, UnknownEncoding, is_gzip
from shared.failures import Misconfigured, Transient

CONFIG = Config(
    connect_timeout=CONNECT_TIMEOUT,
    read_timeout=READ_TIMEOUT,
    max_pool_connections=THREADS,
    retries={"mode": "standard", "total_max_attempts": 4},
)
NOT_THERE = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}
CHANGED = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}
"""Also the answer of S3 to one of two conditional writes at the same time ("Conditional writes")."""
PASSING = {
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "OperationAborted",
}
OTHERS_KEY = {"400", "BadRequest", "InvalidRequest"}
"""The answers for an object that only its writer's key opens (SSE-C); a HEAD's has no body to name the error."""
BROKEN = (ConnectionError, HTTPClientError, IncompleteReadError, ChecksumError, FlexibleChecksumError)
"""What cut an answer short, or damaged it."""


class S3Bucket(CloudBucket):
    """The objects of an S3 bucket; a generation is an ETag, so the same content written again is no change."""

    def __init__(self, bucket: str, prefix: str = "") -> None:
        super().__init__(bucket, prefix)
        with self._translating():
            self._client = boto3.session.Session().client("s3", config=CONFIG)

    def _close(self) -> None:
        self._client.close()

    def _head(self, name: str) -> ObjectInfo | None:
        try:
            found = self._client.head_object(Bucket=self.bucket, Key=self._key(name))
        except ClientError as error:
            if _code(error) in NOT_THERE:
                self._missing(name)
                return None
            if _code(error) not in OTHERS_KEY:
                raise
            return next((info for info in self._page(name, None, 1)[0] if info.name == name), None)
        return ObjectInfo(
            name=name,
            generation=_generation(found),
            size=found["ContentLength"],
            updated=found["LastModified"],
            metadata=_metadata(found["Metadata"]),
        )

    def _download(self, name: str, generation: str | None, sink: Sink) -> str:
        condition = {} if generation is None else {"IfMatch": f'"{generation}"'}
        try:
            found = self._client.get_object(Bucket=self.bucket, Key=self._key(name), **condition)
        except ClientError as error:
            if _code(error) in NOT_THERE:
                raise ObjectNotFound(name) from error
            if _code(error) in OTHERS_KEY:
                raise Unreadable("The object can only be read with the key of who encrypted it.") from error
            if _code(error) == "InvalidObjectState":
                raise Unreadable(
                    "The object is in an archive of S3. Restore it, then have it indexed again."
                ) from error
            raise
        with closing(found["Body"]) as body:
            for part in _unpacked(body.iter_chunks(PART), found.get("ContentEncoding", "")):
                sink.write(part)
        return _generation(found)

    def _upload(self, name: str, file: IO[bytes], size: int, if_generation: str | None) -> ObjectInfo:
        try:
            written = self._client.put_object(
                Bucket=self.bucket, Key=self._key(name), Body=file, **_condition(if_generation)
            )
        except ClientError as error:
            if if_generation not in (None, ABSENT) and _code(error) in NOT_THERE:
                raise PreconditionFailed(f"{name} is gone") from error
            raise
        return ObjectInfo(name=name, generation=_generation(written), size=size, updated=datetime.now(UTC))

    def _remove(self, name: str, if_generation: str | None) -> bool:
        found = self._head(name)
        if found is None:
            return False
        if if_generation not in (None, found.generation):
            raise PreconditionFailed(f"{name} has changed")
        try:
            self._client.delete_object(Bucket=self.bucket, Key=self._key(name), **_condition(if_generation))
        except ClientError as error:
            if _code(error) in NOT_THERE:  # another one was faster
                return False
            if _code(error) not in ("501", "NotImplemented"):
                raise
            # Not every server deletes conditionally. What is written in the moment between is found by the next sweep.
            self._client.delete_object(Bucket=self.bucket, Key=self._key(name))
        return True

    def _page(self, prefix: str, token: str | None, size: int = 1000) -> Page:
        more = {"ContinuationToken": token} if token else {}
        try:
            page = self._client.list_objects_v2(Bucket=self.bucket, Prefix=self._key(prefix), MaxKeys=size, **more)
        except ClientError as error:
            if _code(error) in NOT_THERE | {"NoSuchBucket"}:
                raise self._no_bucket() from error
            raise
        return [self._listed(entry) for entry in page.get("Contents", [])], page.get("NextContinuationToken")

    def _listed(self, entry: Mapping[str, Any]) -> ObjectInfo:
        return ObjectInfo(
            name=entry["Key"].removeprefix(self._prefix),
            generation=_generation(entry),
            size=entry["Size"],
            updated=entry["LastModified"],
            metadata_known=False,
        )

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = _code(error)
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code in CHANGED:
                raise PreconditionFailed(f"The object has changed ({code})") from error
            if code in PASSING or status >= 500 or status == 429:
                raise Transient(f"S3 is busy or failing ({code}).") from error
            raise Misconfigured(f"S3 refuses access to bucket {self.bucket!r} ({code}).") from error
        except BROKEN as error:
            raise Transient(f"The connection to S3 failed ({type(error).__name__}).") from error
        except BotoCoreError as error:
            raise Misconfigured(f"S3 cannot be reached: {error}") from error


def _unpacked(parts: Iterable[bytes], content_encoding: str) -> Iterator[bytes]:
    """The content that its writer meant. Raises Unreadable where it cannot be told."""
    try:
        unpacking = Gunzip() if is_gzip(content_encoding) else None
        for part in parts:
            yield from unpacking.feed(part) if unpacking else (part,)
        if unpacking:
            unpacking.end()
    except UnknownEncoding as error:
        raise unknown_encoding(error) from error
    except NotGzip as error:
        raise not_gzip(error) from error


def _condition(if_generation: str | None) -> dict[str, str]:
    if if_generation is None:
        return {}
    return {"IfNoneMatch": "*"} if if_generation == ABSENT else {"IfMatch": f'"{if_generation}"'}


def _generation(answer: Mapping[str, Any]) -> str:
    return str(answer["ETag"]).strip('"')


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _metadata(given: Mapping[str, str]) -> dict[str, MetadataValue]:
    """User metadata; S3 writes what is not ASCII as RFC 2047 has it ("Working with object metadata")."""
    return {key: decoded(value) for key, value in given.items()}
