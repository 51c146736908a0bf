"""Every form of event that names an object, and what is no event."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from starlette.datastructures import Headers

from functions.ingest.events import ObjectEvent, read_request
from shared.errors import ServiceError

NAME = "hr/été & co (50%+1).pdf"
EXPECTED = ObjectEvent("documents-bucket", NAME)
RESOURCE = {
    "kind": "storage#object",
    "bucket": "documents-bucket",
    "name": NAME,
    "generation": "1700000000000001",
    "size": "42",
    "contentType": "application/pdf",
}
ATTRIBUTES = {
    "eventType": "OBJECT_FINALIZE",
    "bucketId": "documents-bucket",
    "objectId": NAME,
    "objectGeneration": "1700000000000001",
    "payloadFormat": "JSON_API_V1",
}
STORAGE_TYPES = [
    f"google.cloud.storage.object.v1.{kind}" for kind in ("finalized", "deleted", "archived", "metadataUpdated")
]
PUBSUB_TYPE = "google.cloud.pubsub.topic.v1.messagePublished"


def binary(event_type: str, data: Any) -> tuple[Headers, bytes]:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "//storage.googleapis.com/projects/_/buckets/documents-bucket",
        "ce-type": event_type,
        "content-type": "application/json",
    }
    return Headers(headers), json.dumps(data).encode()


def structured(event_type: str, data: Any) -> tuple[Headers, bytes]:
    event = {"specversion": "1.0", "id": "1", "source": "//storage", "type": event_type, "data": data}
    return Headers({"content-type": "application/cloudevents+json; charset=utf-8"}), json.dumps(event).encode()


def message(**fields: Any) -> dict[str, Any]:
    return {"message": {"messageId": "1", "publishTime": "2026-01-01T00:00:00Z", **fields}, "subscription": "s"}


def encoded(resource: Any) -> str:
    return base64.b64encode(json.dumps(resource).encode()).decode()


@pytest.mark.parametrize("form", [binary, structured])
@pytest.mark.parametrize("event_type", STORAGE_TYPES)
def test_storage_cloud_events(form: Any, event_type: str) -> None:
    assert read_request(*form(event_type, RESOURCE)) == EXPECTED


@pytest.mark.parametrize("form", [binary, structured])
@pytest.mark.parametrize(
    "fields",
    [{"attributes": ATTRIBUTES}, {"data": encoded(RESOURCE)}, {"data": encoded(RESOURCE), "attributes": ATTRIBUTES}],
)
def test_pubsub_cloud_events(form: Any, fields: dict[str, Any]) -> None:
    assert read_request(*form(PUBSUB_TYPE, message(**fields))) == EXPECTED


@pytest.mark.parametrize("fields", [{"attributes": ATTRIBUTES}, {"data": encoded(RESOURCE), "attributes": {}}])
def test_pubsub_push_in_an_envelope(fields: dict[str, Any]) -> None:
    body = json.dumps(message(**fields)).encode()
    assert read_request(Headers({"content-type": "application/json"}), body) == EXPECTED


def test_pubsub_push_without_an_envelope() -> None:
    headers = Headers({"x-goog-pubsub-message-id": "1", "content-type": "application/json"})
    assert read_request(headers, json.dumps(RESOURCE).encode()) == EXPECTED


def test_pubsub_push_without_envelope_or_payload() -> None:
    headers = Headers({"bucketId": "documents-bucket", "objectId": "hr/x.md", "eventType": "OBJECT_DELETE"})
    assert read_request(headers, b"") == ObjectEvent("documents-bucket", "hr/x.md")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (Headers(), b""),
        (Headers(), b"not json"),
        (Headers(), b'{"message": {"data": "%%%"}}'),
        (Headers(), b'{"message": {}}'),
        (Headers(), b"[]"),
        binary("google.cloud.storage.object.v1.finalized", {"bucket": "b"}),
        binary("google.cloud.firestore.document.v1.written", RESOURCE),
        structured(PUBSUB_TYPE, {"subscription": "s"}),
        (Headers({"content-type": "application/cloudevents+json"}), b"{"),
        (Headers({"ce-specversion": "1.0"}), b"{}"),
    ],
)
def test_what_names_no_object_is_refused(headers: Headers, body: bytes) -> None:
    with pytest.raises(ServiceError) as refused:
        read_request(headers, body)
    assert (refused.value.code, refused.value.status) == ("INVALID_EVENT", 400)
