"""Every form in which a bucket says that an object changed, read into one.

An event is a hint and never the truth, so all that counts is which object it names; finalized, deleted, archived and
metadataUpdated are one and the same. Forms: CloudEvents 1.0 (binary and structured) from Eventarc; Pub/Sub messages,
pulled, in CloudEvents, or pushed in an envelope or without; SQS messages of S3, of S3 through SNS, and of EventBridge.
Sources: Google's StorageObjectData and MessagePublishedData schemas; "Pub/Sub notifications for Cloud Storage";
"Payload unwrapping" in Pub/Sub's push documentation; "Event message structure" and "EventBridge event message
structure" in the S3 User Guide; "Amazon SNS message formats".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote_plus

from cloudevents.exceptions import GenericException
from cloudevents.http import from_http
from pydantic import BaseModel, Field, ValidationError

from shared.errors import ServiceError

STORAGE_TYPES = "google.cloud.storage.object.v1."
PUBSUB_TYPE = "google.cloud.pubsub.topic.v1.messagePublished"


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """Something happened to this object of this bucket."""

    bucket: str
    name: str


class StorageObject(BaseModel):
    """The part of Cloud Storage's object resource that matters here."""

    bucket: str = Field(min_length=1)
    name: str = Field(min_length=1)


class PubsubMessage(BaseModel):
    """A Pub/Sub message: what Cloud Storage says of the object is in the attributes, and often in the data too."""

    data: str = ""
    attributes: dict[str, str] = Field(default_factory=dict)


class PushEnvelope(BaseModel):
    """What Pub/Sub posts to a push endpoint, and what Eventarc puts into a messagePublished event."""

    message: PubsubMessage


class S3Bucket(BaseModel):
    """The bucket of an S3 event."""

    name: str = Field(min_length=1)


class S3Object(BaseModel):
    """The object of an S3 event; its key is URL-encoded as HTML forms are, but for EventBridge's."""

    key: str = Field(min_length=1)


class S3Entity(BaseModel):
    """What an S3 event is about."""

    bucket: S3Bucket
    object: S3Object


class S3Record(BaseModel):
    """One of the events in a message of S3."""

    s3: S3Entity


class S3Message(BaseModel):
    """The body of an SQS message, in whichever of the forms."""

    records: list[S3Record] | None = Field(None, alias="Records")
    test_event: Literal["s3:TestEvent"] | None = Field(None, alias="Event")
    sns_message: str | None = Field(None, alias="Message")
    detail: S3Entity | None = None


def read_sqs_message(body: str) -> list[ObjectEvent]:
    """The objects that an SQS message speaks of; none where S3 only tried whether the queue takes messages.

    Raises ServiceError (INVALID_EVENT).
    """
    try:
        message = S3Message.model_validate_json(body)
        if message.sns_message is not None:
            message = S3Message.model_validate_json(message.sns_message)
    except ValidationError as error:
        raise _invalid("Its body is not a message of S3.") from error
    if message.detail is not None:
        return [ObjectEvent(message.detail.bucket.name, message.detail.object.key)]
    if message.records is None and message.test_event is None:
        raise _invalid("Its body names no object.")
    found = [record.s3 for record in message.records or []]
    return [ObjectEvent(each.bucket.name, unquote_plus(each.object.key)) for each in found]


def read_request(headers: Mapping[str, str], body: bytes) -> ObjectEvent:
    """The object that a request speaks of. Raises ServiceError (INVALID_EVENT) where it is no event of a known form.

    `headers` must find names in any case, as Starlette's do.
    """
    if "ce-specversion" in headers or headers.get("content-type", "").startswith("application/cloudevents+json"):
        return _from_cloud_event(headers, body)
    if headers.get("bucketId") and headers.get("objectId") and not body:
        return ObjectEvent(headers["bucketId"], headers["objectId"])
    try:
        return _from_message(PushEnvelope.model_validate_json(body).message)
    except ValidationError:
        return _from_resource(body)


def read_message(attributes: Mapping[str, str], data: bytes) -> ObjectEvent:
    """The object that a pulled Pub/Sub message speaks of. Raises ServiceError (INVALID_EVENT)."""
    bucket, name = attributes.get("bucketId"), attributes.get("objectId")
    return ObjectEvent(bucket, name) if bucket and name else _from_resource(data)


def _from_cloud_event(headers: Mapping[str, str], body: bytes) -> ObjectEvent:
    try:
        event = from_http(headers, body)
    except (GenericException, ValueError, TypeError, RecursionError) as error:
        raise _invalid("It has the marks of a CloudEvent and cannot be read as one.") from error
    data: Any = event.data
    kind = str(event["type"])
    try:
        if kind.startswith(STORAGE_TYPES):
            found = StorageObject.model_validate(data)
            return ObjectEvent(found.bucket, found.name)
        if kind == PUBSUB_TYPE:
            return _from_message(PushEnvelope.model_validate(data).message)
    except ValidationError as error:
        raise _invalid(f"The data of this {kind} event is not what the type promises.") from error
    raise _invalid(f"Events of type {kind!r} say nothing about an object.")


def _from_message(message: PubsubMessage) -> ObjectEvent:
    try:
        data = base64.b64decode(message.data, validate=True)
    except ValueError as error:
        raise _invalid("The message's data is not base64.") from error
    return read_message(message.attributes, data)


def _from_resource(body: bytes) -> ObjectEvent:
    try:
        found = StorageObject.model_validate_json(body)
    except ValidationError as error:
        raise _invalid("It is neither a CloudEvent nor a Pub/Sub message that names an object of a bucket.") from error
    return ObjectEvent(found.bucket, found.name)


def _invalid(why: str) -> ServiceError:
    return ServiceError("INVALID_EVENT", f"This is no event that can be acted on. {why}")
