"""Every form of event that names an object, and what is no event."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from functions.ingest.events import ObjectEvent, read_message, read_request, read_sqs_message
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


def structured(event_type: Any, data: Any) -> tuple[Headers, bytes]:
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


def test_what_is_nested_without_end_is_refused() -> None:
    for headers in (Headers(), Headers({"content-type": "application/cloudevents+json"}), binary("x", {})[0]):
        with pytest.raises(ServiceError):
            read_request(headers, b"[" * 200_000)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        structured(5, RESOURCE),
        structured(None, RESOURCE),
        structured([], RESOURCE),
        (Headers(), b'{"message": {"data": "\xc3\xa9"}}'),
        (Headers({"content-type": "application/cloudevents+json"}), b"[]"),
        (Headers({"content-type": "application/cloudevents+json"}), b"\xff"),
        (Headers({"content-type": "application/cloudevents+json"}), b'{"specversion": 1, "id": 1, "source": 1}'),
    ],
)
def test_what_only_looks_like_an_event_is_refused(headers: Headers, body: bytes) -> None:
    with pytest.raises(ServiceError) as refused:
        read_request(headers, body)
    assert refused.value.code == "INVALID_EVENT"


# Pulled from Pub/Sub


KINDS = ("OBJECT_FINALIZE", "OBJECT_DELETE", "OBJECT_ARCHIVE", "OBJECT_METADATA_UPDATE")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b"", json.dumps(RESOURCE).encode(), b"of another format"])
def test_every_kind_of_pulled_message_names_its_object(kind: str, data: bytes) -> None:
    assert read_message({**ATTRIBUTES, "eventType": kind}, data) == EXPECTED


def test_a_pulled_message_without_attributes_names_its_object_in_its_data() -> None:
    assert read_message({}, json.dumps(RESOURCE).encode()) == EXPECTED
    assert read_message({"bucketId": "documents-bucket"}, json.dumps(RESOURCE).encode()) == EXPECTED


@pytest.mark.parametrize("attributes", [{}, {"bucketId": "b"}, {"objectId": "x"}, {"bucketId": "b", "objectId": ""}])
def test_a_pulled_message_that_names_no_object_is_refused(attributes: dict[str, str]) -> None:
    with pytest.raises(ServiceError):
        read_message(attributes, b"{}")


# SQS


def record(key: str, bucket: str = "documents-bucket", kind: str = "ObjectCreated:Put") -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": kind,
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": key, "size": 42, "eTag": "0", "sequencer": "0055AED6DCD90281E5"},
        },
    }


def through_sns(message: str) -> str:
    notification = {"Type": "Notification", "MessageId": "1", "TopicArn": "arn", "Message": message, "Signature": "s"}
    return json.dumps(notification)


def through_event_bridge(key: str, kind: str = "Object Created") -> str:
    detail = {"version": "0", "bucket": {"name": "documents-bucket"}, "object": {"key": key, "size": 42}}
    return json.dumps({"version": "0", "detail-type": kind, "source": "aws.s3", "detail": detail})


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("hr/a+b.md", "hr/a b.md"),
        ("hr/a%20b.md", "hr/a b.md"),
        ("hr/a%2Bb.md", "hr/a+b.md"),
        ("hr%2Fa.md", "hr/a.md"),
        ("hr/100%25.md", "hr/100%.md"),
        ("hr/a%252Fb.md", "hr/a%2Fb.md"),
        ("hr/%C3%A9t%C3%A9.md", "hr/été.md"),
        ("hr/%F0%9F%8E%88.md", "hr/🎈.md"),
        ("hr/a%26b%3Dc%3Fd%23e.md", "hr/a&b=c?d#e.md"),
    ],
)
def test_keys_in_messages_of_s3_are_decoded(key: str, name: str) -> None:
    body = json.dumps({"Records": [record(key)]})
    assert read_sqs_message(body) == [ObjectEvent("documents-bucket", name)]
    assert read_sqs_message(through_sns(body)) == [ObjectEvent("documents-bucket", name)]


@given(name=st.text(min_size=1))
def test_every_key_that_was_encoded_is_decoded_to_itself(name: str) -> None:
    for encode in (quote_plus, quote, partial(quote, safe="")):
        [event] = read_sqs_message(json.dumps({"Records": [record(encode(name))]}))
        assert event.name == name


@given(name=st.text(min_size=1))
def test_keys_of_event_bridge_are_as_they_are(name: str) -> None:
    for body in (through_event_bridge(name), through_sns(through_event_bridge(name))):
        assert read_sqs_message(body) == [ObjectEvent("documents-bucket", name)]


@pytest.mark.parametrize("kind", ["ObjectCreated:Copy", "ObjectRemoved:Delete", "LifecycleExpiration:Delete"])
def test_every_record_of_a_message_is_an_event(kind: str) -> None:
    records = [record("a.md", kind=kind), record("b.md", bucket="another", kind=kind), record("a.md", kind=kind)]
    expected = [ObjectEvent("documents-bucket", "a.md"), ObjectEvent("another", "b.md")]
    assert read_sqs_message(json.dumps({"Records": records})) == [*expected, expected[0]]


def test_a_try_of_s3_whether_the_queue_takes_messages_is_no_event() -> None:
    tried = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b", "RequestId": "1"})
    assert read_sqs_message(tried) == []
    assert read_sqs_message(through_sns(tried)) == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "x",
        "[]",
        "{}",
        "null",
        '{"Records": null}',
        '{"Records": [{}]}',
        '{"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": ""}}}]}',
        '{"Event": "another"}',
        '{"detail": {}}',
        '{"Message": "hello"}',
        '{"Message": "{}"}',
        "[" * 200_000,
        "\ud800",
    ],
    ids=range(14),
)
def test_what_is_no_message_of_s3_is_refused(body: str) -> None:
    with pytest.raises(ServiceError) as refused:
        read_sqs_message(body)
    assert refused.value.code == "INVALID_EVENT"


# Anything at all


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "message", "attributes", "bucket", "name", "type"]), inner)
        | st.dictionaries(st.sampled_from(["Records", "s3", "object", "key", "detail", "Message", "Event"]), inner)
        | st.dictionaries(st.sampled_from(["specversion", "id", "source", "datacontenttype", "data_base64"]), inner)
    ),
    max_leaves=8,
)
BODIES = st.binary() | JSON.map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(
    st.sampled_from(["ce-specversion", "ce-type", "ce-id", "ce-source", "ce-time", "bucketId", "objectId"]),
    st.sampled_from(["1.0", "", "x", PUBSUB_TYPE, STORAGE_TYPES[0]]),
) | st.just({"content-type": "application/cloudevents+json"})


@given(headers=HEADERS, body=BODIES)
@settings(max_examples=300)
def test_whatever_comes_is_an_event_or_refused(headers: dict[str, str], body: bytes) -> None:
    with suppress(ServiceError):
        assert read_request(Headers(headers), body).name
    with suppress(ServiceError):
        assert read_message({}, body).name
    with suppress(ServiceError):
        assert all(event.name for event in read_sqs_message(body.decode(errors="surrogateescape")))
