"""Every form in which a bucket says that an object changed, read into one.

An event is a hint and never the truth, so all that counts is which object it names. Forms: CloudEvents 1.0 (binary and
structured) from Eventarc, Pub/Sub messages in CloudEvents or in a push envelope, and Pub/Sub push without an envelope.
Sources: Google's StorageObjectData and MessagePublishedData schemas; "Pub/Sub notifications for Cloud Storage";
"Payload unwrapping" in Pub/Sub's push documentation.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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


def read_event(headers: Mapping[str, str], body: bytes) -> ObjectEvent:
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


def _from_cloud_event(headers: Mapping[str, str], body: bytes) -> ObjectEvent:
    try:
        event = from_http(headers, body)
    except (GenericException, ValueError) as error:
        raise _invalid("It has the marks of a CloudEvent and cannot be read as one.") from error
    data: Any = event.data
    try:
        if event["type"].startswith(STORAGE_TYPES):
            found = StorageObject.model_validate(data)
            return ObjectEvent(found.bucket, found.name)
        if event["type"] == PUBSUB_TYPE:
            return _from_message(PushEnvelope.model_validate(data).message)
    except ValidationError as error:
        raise _invalid(f"The data of this {event['type']} event is not what the type promises.") from error
    raise _invalid(f"Events of type {event['type']!r} say nothing about an object.")


def _from_message(message: PubsubMessage) -> ObjectEvent:
    bucket, name = message.attributes.get("bucketId"), message.attributes.get("objectId")
    if bucket and name:
        return ObjectEvent(bucket, name)
    try:
        return _from_resource(base64.b64decode(message.data, validate=True))
    except binascii.Error as error:
        raise _invalid("The message's data is not base64.") from error


def _from_resource(body: bytes) -> ObjectEvent:
    try:
        found = StorageObject.model_validate_json(body)
    except ValidationError as error:
        raise _invalid("It is neither a CloudEvent nor a Pub/Sub message that names an object of a bucket.") from error
    return ObjectEvent(found.bucket, found.name)


def _invalid(why: str) -> ServiceError:
    return ServiceError("INVALID_EVENT", f"This is no event that can be acted on. {why}")
