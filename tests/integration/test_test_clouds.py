"""The cloud services that tests run on: they deliver, deliver again, and give up as the real ones do."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any, cast

import pytest
from google.api_core.exceptions import AlreadyExists, NotFound
from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1.types import ReceivedMessage, StreamingPullRequest

from tests import clouds
from tests.clouds import Aws, Pubsub
from tests.servers import until


@pytest.fixture(scope="module", params=["google", "own"])
def pubsub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pubsub]:
    if request.param == "google" and not clouds.google_pubsub_emulator():
        pytest.skip("NOT CHECKED: java or the package google-cloud-cli-pubsub-emulator is not installed")
    folder = tmp_path_factory.mktemp("pubsub")
    with clouds.pubsub(folder, own=request.param == "own") as service:
        assert service.kind == request.param
        yield service
    assert "Traceback" not in (folder / "pubsub.log").read_text()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return cast("str", request.function.__name__)


@contextmanager
def endpoint(answer: Callable[[dict[str, Any]], int]) -> Iterator[str]:
    """The URL of an HTTP server that answers every push with the status that `answer` has for it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            envelope = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(answer(envelope))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/push"
        finally:
            server.shutdown()
            thread.join()


def pull(pubsub: Pubsub, subscription: str) -> ReceivedMessage:
    """The next message, which is then held."""
    return until(lambda: pubsub.subscriber.pull(subscription=subscription, max_messages=1).received_messages)[0]


def nack(pubsub: Pubsub, subscription: str, received: ReceivedMessage) -> None:
    pubsub.subscriber.modify_ack_deadline(subscription=subscription, ack_ids=[received.ack_id], ack_deadline_seconds=0)


def test_a_published_message_comes_by_streaming_pull_until_it_is_acknowledged(pubsub: Pubsub, name: str) -> None:
    topic = pubsub.create_topic(name)
    subscription = pubsub.create_subscription(name, topic)
    arrived: Queue[Message] = Queue()
    stream = pubsub.subscriber.subscribe(subscription, arrived.put)
    try:
        message_id = pubsub.publish(topic, b"first", color="red")
        first = arrived.get(timeout=20)
        assert (first.data, dict(first.attributes), first.message_id) == (b"first", {"color": "red"}, message_id)
        first.nack()
        again = arrived.get(timeout=20)
        assert again.message_id == message_id
        again.ack()
    finally:
        stream.cancel()
        stream.result(20)
    assert pubsub.pull_all(subscription) == []


@pytest.mark.parametrize("pubsub", ["own"], indirect=True)  # Google's emulator sends all at once
def test_a_stream_holds_no_more_messages_than_it_asked_for(pubsub: Pubsub, name: str) -> None:
    topic = pubsub.create_topic(name)
    subscription = pubsub.create_subscription(name, topic)
    for data in (b"1", b"2", b"3"):
        pubsub.publish(topic, data)
    requests: Queue[StreamingPullRequest | None] = Queue()
    requests.put(
        StreamingPullRequest(subscription=subscription, stream_ack_deadline_seconds=60, max_outstanding_messages=2)
    )
    stream = pubsub.subscriber.streaming_pull(requests=iter(requests.get, None))
    arrived = (message for response in stream for message in response.received_messages)
    held = [next(arrived), next(arrived)]
    left = pubsub.pull_all(subscription)
    assert sorted(message.data for message in [*left, *(each.message for each in held)]) == [b"1", b"2", b"3"]
    pubsub.publish(topic, b"4")
    requests.put(StreamingPullRequest(ack_ids=[held[0].ack_id]))
    assert next(arrived).message.data == b"4"
    requests.put(None)
    stream.cancel()


def test_a_message_that_was_given_back_comes_again_after_its_backoff(pubsub: Pubsub, name: str) -> None:
    topic = pubsub.create_topic(name)
    soon = pubsub.create_subscription(f"{name}-soon", topic, backoff=(0.1, 0.1))
    late = pubsub.create_subscription(f"{name}-late", topic, backoff=(600, 600))
    pubsub.publish(topic, b"x")
    for _ in range(2):
        nack(pubsub, soon, pull(pubsub, soon))
    # Google's emulator does not wait after the first nack.
    for _ in range(1 if pubsub.kind == "own" else 2):
        nack(pubsub, late, pull(pubsub, late))
    assert until(lambda: pubsub.pull_all(soon))
    assert pubsub.pull_all(late) == []


def test_a_message_that_is_not_acknowledged_in_time_comes_again(pubsub: Pubsub, name: str) -> None:
    topic = pubsub.create_topic(name)
    subscription = pubsub.create_subscription(name, topic)
    pubsub.publish(topic, b"x")
    held = pull(pubsub, subscription)
    assert pubsub.pull_all(subscription) == []
    pubsub.subscriber.modify_ack_deadline(subscription=subscription, ack_ids=[held.ack_id], ack_deadline_seconds=1)
    assert [message.data for message in until(lambda: pubsub.pull_all(subscription))] == [b"x"]


def test_a_message_goes_to_the_dead_letters_after_its_last_attempt(pubsub: Pubsub, name: str) -> None:
    topic, dead_letter = pubsub.create_topic(name), pubsub.create_topic(f"{name}-dead")
    dead = pubsub.create_subscription(f"{name}-dead", dead_letter)
    subscription = pubsub.create_subscription(name, topic, dead_letter=dead_letter, max_delivery_attempts=6)
    pubsub.publish(topic, b"x", color="red")
    attempts = []
    for _ in range(6):
        received = pull(pubsub, subscription)
        attempts.append(received.delivery_attempt)
        nack(pubsub, subscription, received)
    # Google's emulator moves a message when it is asked for once more.
    (message,) = until(lambda: pubsub.pull_all(subscription) or pubsub.pull_all(dead))
    assert attempts == [1, 2, 3, 4, 5, 6]
    assert message.data == b"x"
    assert message.attributes["color"] == "red"
    assert message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "6"
    assert message.attributes["CloudPubSubDeadLetterSourceSubscription"] == name


def test_a_message_that_is_refused_by_push_goes_to_the_dead_letters(pubsub: Pubsub, name: str) -> None:
    topic, dead_letter = pubsub.create_topic(name), pubsub.create_topic(f"{name}-dead")
    dead = pubsub.create_subscription(f"{name}-dead", dead_letter)
    pushed: list[dict[str, Any]] = []

    def refuse(envelope: dict[str, Any]) -> int:
        pushed.append(envelope)
        return 500

    with endpoint(refuse) as url:
        pubsub.create_subscription(name, topic, push=url, dead_letter=dead_letter)
        pubsub.publish(topic, b"x")
        (message,) = until(lambda: pubsub.pull_all(dead))
    assert message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert len(pushed) == 5


@pytest.mark.parametrize("pubsub", ["own"], indirect=True)  # Google's emulator pushes two at a time
def test_messages_are_pushed_at_the_same_time_until_they_are_taken(pubsub: Pubsub, name: str) -> None:
    topic = pubsub.create_topic(name)
    together = threading.Barrier(3)
    pushed: Queue[dict[str, Any]] = Queue()

    def answer(envelope: dict[str, Any]) -> int:
        together.wait(20)
        pushed.put(envelope)
        return 204

    with endpoint(answer) as url:
        subscription = pubsub.create_subscription(name, topic, push=url, ack_deadline=60)
        message_ids = {pubsub.publish(topic, b"x", color="red") for _ in range(3)}
        envelopes = [pushed.get(timeout=20) for _ in range(3)]
    assert {envelope["message"]["messageId"] for envelope in envelopes} == message_ids
    for envelope in envelopes:
        assert envelope["subscription"] == subscription
        assert envelope["message"]["data"] == "eA=="
        assert envelope["message"]["attributes"] == {"color": "red"}
        assert envelope["message"]["publishTime"].endswith("Z")


def test_topics_and_subscriptions_are_listed_changed_and_deleted(pubsub: Pubsub, name: str) -> None:
    topic = pubsub.create_topic(name)
    subscription = pubsub.create_subscription(name, topic)
    assert topic in [each.name for each in pubsub.publisher.list_topics(project="projects/test")]
    assert list(pubsub.publisher.list_topic_subscriptions(topic=topic)) == [subscription]
    assert subscription in [each.name for each in pubsub.subscriber.list_subscriptions(project="projects/test")]
    with pytest.raises(AlreadyExists):
        pubsub.create_topic(name)
    with pytest.raises(AlreadyExists):
        pubsub.create_subscription(name, topic)

    change = {"subscription": {"name": subscription, "ack_deadline_seconds": 33}}
    pubsub.subscriber.update_subscription({**change, "update_mask": {"paths": ["ack_deadline_seconds"]}})
    changed = pubsub.subscriber.get_subscription(subscription=subscription)
    assert (changed.ack_deadline_seconds, changed.topic) == (33, topic)

    pubsub.publisher.delete_topic(topic=topic)
    with pytest.raises(NotFound):
        pubsub.publish(topic, b"x")
    pubsub.subscriber.delete_subscription(subscription=subscription)
    with pytest.raises(NotFound):
        pubsub.subscriber.get_subscription(subscription=subscription)


def test_a_push_endpoint_that_is_set_later_gets_what_waits(pubsub: Pubsub, name: str) -> None:
    topic = pubsub.create_topic(name)
    subscription = pubsub.create_subscription(name, topic)
    pubsub.publish(topic, b"x")
    pushed: Queue[dict[str, Any]] = Queue()

    def accept(envelope: dict[str, Any]) -> int:
        pushed.put(envelope)
        return 200

    with endpoint(accept) as url:
        change = {"subscription": {"name": subscription, "push_config": {"push_endpoint": url}}}
        pubsub.subscriber.update_subscription({**change, "update_mask": {"paths": ["push_config"]}})
        assert pushed.get(timeout=20)["message"]["data"] == "eA=="


def test_what_happens_to_an_object_in_cloud_storage_is_published(pubsub: Pubsub, name: str, tmp_path: Path) -> None:
    subscription = pubsub.create_subscription(name, pubsub.create_topic(name))
    with clouds.fake_gcs(tmp_path, pubsub_host=pubsub.host, topic=name) as gcs:
        blob = gcs.client.create_bucket("documents").blob("hr/leave policy.txt")
        blob.upload_from_string("30 days")
        (event,) = until(lambda: pubsub.pull_all(subscription))
        assert event.attributes["eventType"] == "OBJECT_FINALIZE"
        assert event.attributes["bucketId"] == "documents"
        assert event.attributes["objectId"] == "hr/leave policy.txt"
        assert event.attributes["objectGeneration"] == str(blob.generation)
        blob.delete()
        (event,) = until(lambda: pubsub.pull_all(subscription))
        assert event.attributes["eventType"] == "OBJECT_DELETE"


@pytest.mark.parametrize("start", [clouds.moto, pytest.param(clouds.localstack, marks=pytest.mark.slow)])
def test_what_happens_to_an_object_in_s3_is_sent_to_the_queue(
    start: Callable[[Path], AbstractContextManager[Aws]], tmp_path: Path
) -> None:
    with start(tmp_path) as aws:
        queues = aws.bucket_with_queue(
            "documents", "events", dead_letter=True, max_receive_count=1, visibility_timeout=0
        )
        assert queues.url.startswith(aws.endpoint)
        aws.s3().put_object(Bucket="documents", Key="hr/leave.txt", Body=b"30 days")
        (created,) = until(lambda: records(aws, queues.url))
        assert created["eventName"] == "ObjectCreated:Put"
        assert created["s3"]["bucket"]["name"] == "documents"
        aws.s3().delete_object(Bucket="documents", Key="hr/leave.txt")
        dead: set[str] = set()

        def both_are_dead() -> bool:
            records(aws, queues.url)  # what is received once more goes to the dead letters
            dead.update(each["eventName"] for each in records(aws, queues.dead_letter_url))
            return dead == {"ObjectCreated:Put", "ObjectRemoved:Delete"}

        until(both_are_dead)


def records(aws: Aws, url: str) -> list[dict[str, Any]]:
    """The events that a queue hands out now; none is deleted."""
    messages = aws.sqs().receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    bodies = [json.loads(message["Body"]) for message in messages]
    return [record for body in bodies for record in body.get("Records", [])]  # a test event of S3 has none


def test_the_process_environment_is_left_alone(pubsub: Pubsub) -> None:
    assert "PUBSUB_EMULATOR_HOST" not in os.environ
    assert pubsub.environment() == {"PUBSUB_EMULATOR_HOST": pubsub.host}
