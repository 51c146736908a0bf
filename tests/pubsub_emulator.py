"""A small Pub/Sub service for tests, on loopback: `python -m tests.pubsub_emulator PORT`.

It has the calls of https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1 that tests need: topics,
subscriptions with retry and dead-letter policies, Publish, Pull, StreamingPull, push, and ack deadlines. Filters,
ordering keys, exactly-once delivery, limits of outstanding bytes, retention, seek, snapshots and schemas are left out:
such settings are taken and ignored. All is in memory and in one event loop, so that nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
import sys
import typing
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc.aio
import httpx2
from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, InvalidArgument, NotFound
from google.protobuf import empty_pb2
from google.protobuf.json_format import MessageToDict
from google.pubsub_v1 import types

Call = Callable[[Any], Awaitable[Any]]
ACK_DEADLINE = 10  # seconds; the least and the default
LONGEST_ACK_DEADLINE = 600  # seconds
LONGEST_PULL = 20  # seconds until Pull answers with nothing
OUTSTANDING = 1000  # messages at once on a stream that names no limit
PUSHES_AT_ONCE = 32  # of one subscription
PUSH_BACKOFF = (0.1, 60.0)  # seconds; for pushes without a retry policy
PUSHED = {102, 200, 201, 202, 204}  # https://cloud.google.com/pubsub/docs/push#receive_push
NAME = re.compile(r"projects/[^/]+/(topics|subscriptions)/(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}")


@dataclass(eq=False)
class Delivery:
    """One message on its way through one subscription."""

    message: types.PubsubMessage
    attempt: int = 0  # how often it was delivered
    ack_id: str = ""
    released: Callable[[], None] = lambda: None  # called when the subscriber no longer holds it
    expiry: asyncio.TimerHandle | None = None


class Queue:
    """One subscription: its settings, the messages that wait, and those that a subscriber holds until a deadline."""

    def __init__(self, subscription: types.Subscription, bury: Callable[[Queue, Delivery], bool]) -> None:
        self.subscription = subscription
        self.pushing: asyncio.Task[None] | None = None
        self._bury = bury
        self._waiting: deque[Delivery] = deque()
        self._held: dict[str, Delivery] = {}
        self._changed = asyncio.Event()
        self._closed = False
        self._numbers = itertools.count(1)

    def put(self, delivery: Delivery) -> None:
        """Have a message wait for a subscriber."""
        self._waiting.append(delivery)
        self._changed.set()

    def close(self) -> None:
        """The subscription is deleted: nobody waits for its messages any more."""
        self._closed = True
        self._changed.set()

    async def take(self, seconds: float, released: Callable[[], None] = lambda: None) -> Delivery:
        """Wait for a message, and hold it for `seconds` unless it is acknowledged, given back or extended."""
        while not self._closed and not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        if self._closed:
            raise NotFound("Subscription does not exist")
        delivery = self._waiting.popleft()
        delivery.attempt += 1
        delivery.ack_id = f"{self.subscription.name}:{next(self._numbers)}"
        delivery.released = released
        self._held[delivery.ack_id] = delivery
        self.extend(delivery.ack_id, seconds)
        return delivery

    async def take_many(self, most: int, seconds: float) -> list[Delivery]:
        """Wait for a message, and take those that follow it at once."""
        deliveries = [await self.take(seconds)]
        while self._waiting and len(deliveries) < most:
            deliveries.append(await self.take(seconds))
        return deliveries

    def is_empty(self) -> bool:
        """Whether no message waits now."""
        return not self._waiting

    def acknowledge(self, ack_id: str) -> None:
        """Be done with a message, if the subscriber still holds it."""
        self._release(ack_id)

    def extend(self, ack_id: str, seconds: float) -> None:
        """Move the deadline to `seconds` from now, if the subscriber still holds the message."""
        if delivery := self._held.get(ack_id):
            if delivery.expiry:
                delivery.expiry.cancel()
            delivery.expiry = asyncio.get_running_loop().call_later(seconds, self.give_back, ack_id)

    def give_back(self, ack_id: str) -> None:
        """Deliver a message again after its backoff, or bury it after its last attempt."""
        if (delivery := self._release(ack_id)) and not self._bury(self, delivery):
            asyncio.get_running_loop().call_later(backoff(self.subscription, delivery.attempt), self.put, delivery)

    def _release(self, ack_id: str) -> Delivery | None:
        if delivery := self._held.pop(ack_id, None):
            if delivery.expiry:
                delivery.expiry.cancel()
            delivery.expiry = None
            delivery.released()
        return delivery

    def received(self, delivery: Delivery) -> types.ReceivedMessage:
        """The delivery as a subscriber gets it; attempts are only told where there is a dead-letter policy."""
        attempt = delivery.attempt if self.subscription.dead_letter_policy.dead_letter_topic else 0
        return types.ReceivedMessage(ack_id=delivery.ack_id, message=delivery.message, delivery_attempt=attempt)


def backoff(subscription: types.Subscription, attempt: int) -> float:
    """Seconds from the failure of an attempt to the next one; they double with each."""
    if "retry_policy" in subscription:
        policy = subscription.retry_policy
        least = policy.minimum_backoff.total_seconds() if policy.minimum_backoff is not None else 10.0
        longest = policy.maximum_backoff.total_seconds() if policy.maximum_backoff is not None else 600.0
    elif subscription.push_config.push_endpoint:
        least, longest = PUSH_BACKOFF
    else:
        return 0.0
    return float(min(least * 2 ** min(attempt - 1, 40), longest))


async def push(queue: Queue, http: httpx2.AsyncClient) -> None:
    """Send a subscription's messages to its endpoint, several at a time, for as long as it exists."""
    slots = asyncio.Semaphore(PUSHES_AT_ONCE)
    seconds = queue.subscription.ack_deadline_seconds  # of a push it is the request's timeout too
    async with asyncio.TaskGroup() as posts:
        while True:
            await slots.acquire()
            delivery = await queue.take(seconds, slots.release)
            posts.create_task(_post(queue, delivery, http))


async def _post(queue: Queue, delivery: Delivery, http: httpx2.AsyncClient) -> None:
    message = MessageToDict(types.PubsubMessage.pb(delivery.message))
    message |= {"message_id": message["messageId"], "publish_time": message["publishTime"]}  # Google sends both
    envelope = {"message": message, "subscription": queue.subscription.name}
    if attempt := queue.received(delivery).delivery_attempt:
        envelope["deliveryAttempt"] = attempt
    try:
        async with asyncio.timeout(queue.subscription.ack_deadline_seconds):
            response = await http.post(queue.subscription.push_config.push_endpoint, json=envelope)
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError):
        queue.give_back(delivery.ack_id)
    else:
        settle = queue.acknowledge if response.status_code in PUSHED else queue.give_back
        settle(delivery.ack_id)


class Emulator:
    """The calls of the services Publisher and Subscriber."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._topics: dict[str, types.Topic] = {}
        self._queues: dict[str, Queue] = {}
        self._message_ids = itertools.count(1)

    def services(self) -> tuple[grpc.GenericRpcHandler, grpc.GenericRpcHandler]:
        """The handlers of both services, for a gRPC server."""
        publisher: list[Call] = [self.create_topic, self.get_topic, self.list_topics, self.delete_topic]
        publisher += [self.list_topic_subscriptions, self.publish]
        subscriber: list[Call] = [self.create_subscription, self.get_subscription, self.update_subscription]
        subscriber += [self.list_subscriptions, self.delete_subscription]
        subscriber += [self.pull, self.acknowledge, self.modify_ack_deadline]
        streaming = grpc.stream_stream_rpc_method_handler(
            self.streaming_pull, types.StreamingPullRequest.deserialize, types.StreamingPullResponse.serialize
        )
        handlers = dict(map(_unary, subscriber)) | {"StreamingPull": streaming}
        return (
            grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", dict(map(_unary, publisher))),
            grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", handlers),
        )

    async def close(self) -> None:
        """End all pushes and streams."""
        for name in list(self._queues):
            self._close(self._queues.pop(name))

    async def create_topic(self, request: types.Topic) -> types.Topic:
        _check_name(request.name)
        if request.name in self._topics:
            raise AlreadyExists("Topic already exists")
        self._topics[request.name] = request
        return request

    async def get_topic(self, request: types.GetTopicRequest) -> types.Topic:
        return self._topic(request.topic)

    async def list_topics(self, request: types.ListTopicsRequest) -> types.ListTopicsResponse:
        topics = [topic for name, topic in self._topics.items() if name.startswith(f"{request.project}/")]
        return types.ListTopicsResponse(topics=topics)

    async def delete_topic(self, request: types.DeleteTopicRequest) -> empty_pb2.Empty:
        del self._topics[self._topic(request.topic).name]
        for queue in self._queues_of(request.topic):
            queue.subscription.topic = "_deleted-topic_"
        return empty_pb2.Empty()

    async def list_topic_subscriptions(
        self, request: types.ListTopicSubscriptionsRequest
    ) -> types.ListTopicSubscriptionsResponse:
        names = [queue.subscription.name for queue in self._queues_of(self._topic(request.topic).name)]
        return types.ListTopicSubscriptionsResponse(subscriptions=names)

    async def publish(self, request: types.PublishRequest) -> types.PublishResponse:
        topic = self._topic(request.topic).name
        return types.PublishResponse(message_ids=[self._publish(topic, message) for message in request.messages])

    async def create_subscription(self, request: types.Subscription) -> types.Subscription:
        _check_name(request.name)
        if request.name in self._queues:
            raise AlreadyExists("Subscription already exists")
        self._topic(request.topic)
        self._complete(request)
        queue = self._queues[request.name] = Queue(request, self._bury)
        self._start_pushing(queue)
        return request

    async def get_subscription(self, request: types.GetSubscriptionRequest) -> types.Subscription:
        return self._queue(request.subscription).subscription

    async def update_subscription(self, request: types.UpdateSubscriptionRequest) -> types.Subscription:
        queue = self._queue(request.subscription.name)
        changed = types.Subscription(queue.subscription)
        source, target = types.Subscription.pb(request.subscription), types.Subscription.pb(changed)
        request.update_mask.MergeMessage(source, target, replace_message_field=True)
        self._complete(changed)
        queue.subscription = changed
        self._start_pushing(queue)
        return changed

    async def list_subscriptions(self, request: types.ListSubscriptionsRequest) -> types.ListSubscriptionsResponse:
        prefix = f"{request.project}/"
        subscriptions = [queue.subscription for name, queue in self._queues.items() if name.startswith(prefix)]
        return types.ListSubscriptionsResponse(subscriptions=subscriptions)

    async def delete_subscription(self, request: types.DeleteSubscriptionRequest) -> empty_pb2.Empty:
        self._close(self._queue(request.subscription))
        del self._queues[request.subscription]
        return empty_pb2.Empty()

    async def pull(self, request: types.PullRequest) -> types.PullResponse:
        queue = self._queue(request.subscription)
        if request.max_messages < 1:
            raise InvalidArgument("max_messages must be positive")
        if request.return_immediately and queue.is_empty():
            return types.PullResponse()
        try:
            async with asyncio.timeout(LONGEST_PULL):
                deliveries = await queue.take_many(request.max_messages, queue.subscription.ack_deadline_seconds)
        except TimeoutError:
            return types.PullResponse()
        return types.PullResponse(received_messages=[queue.received(delivery) for delivery in deliveries])

    async def acknowledge(self, request: types.AcknowledgeRequest) -> empty_pb2.Empty:
        queue = self._queue(request.subscription)
        for ack_id in request.ack_ids:
            queue.acknowledge(ack_id)
        return empty_pb2.Empty()

    async def modify_ack_deadline(self, request: types.ModifyAckDeadlineRequest) -> empty_pb2.Empty:
        queue = self._queue(request.subscription)
        for ack_id in request.ack_ids:
            _modify(queue, ack_id, request.ack_deadline_seconds)
        return empty_pb2.Empty()

    async def streaming_pull(
        self, requests: AsyncIterator[types.StreamingPullRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        async with _refusing(context):
            first = await anext(requests)
            _check_deadline(first.stream_ack_deadline_seconds)
            queue = self._queue(first.subscription)
            tasks = [
                asyncio.create_task(_listen(queue, requests)),
                asyncio.create_task(_send(queue, first, context)),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # raises what ended it
            finally:
                for task in tasks:
                    task.cancel()

    def _topic(self, name: str) -> types.Topic:
        if name not in self._topics:
            raise NotFound(f"Topic not found: {name}")
        return self._topics[name]

    def _queue(self, name: str) -> Queue:
        if name not in self._queues:
            raise NotFound(f"Subscription does not exist: {name}")
        return self._queues[name]

    def _queues_of(self, topic: str) -> list[Queue]:
        return [queue for queue in self._queues.values() if queue.subscription.topic == topic]

    def _publish(self, topic: str, message: types.PubsubMessage) -> str:
        message.message_id = str(next(self._message_ids))
        message.publish_time = datetime.now(UTC)
        for queue in self._queues_of(topic):
            queue.put(Delivery(message))
        return message.message_id

    def _bury(self, queue: Queue, delivery: Delivery) -> bool:
        """Forward a message to the dead-letter topic if that was its last attempt; returns whether it was."""
        policy = queue.subscription.dead_letter_policy
        if policy.dead_letter_topic not in self._topics or delivery.attempt < policy.max_delivery_attempts:
            return False
        _, project, _, name = queue.subscription.name.split("/")
        source = {
            "SourceDeliveryCount": str(delivery.attempt),
            "SourceSubscription": name,
            "SourceSubscriptionProject": project,
            "SourceTopicPublishTime": delivery.message.publish_time.rfc3339(),
        }
        dead = types.PubsubMessage(data=delivery.message.data, ordering_key=delivery.message.ordering_key)
        dead.attributes = {**delivery.message.attributes, **{f"CloudPubSubDeadLetter{k}": v for k, v in source.items()}}
        self._publish(policy.dead_letter_topic, dead)
        return True

    def _complete(self, subscription: types.Subscription) -> None:
        """Check a subscription's settings and fill in the defaults; 5 to 100 delivery attempts are allowed."""
        subscription.ack_deadline_seconds = subscription.ack_deadline_seconds or ACK_DEADLINE
        _check_deadline(subscription.ack_deadline_seconds)
        if topic := subscription.dead_letter_policy.dead_letter_topic:
            self._topic(topic)
            attempts = subscription.dead_letter_policy.max_delivery_attempts or 5
            if not 5 <= attempts <= 100:
                raise InvalidArgument(f"max_delivery_attempts must be between 5 and 100, not {attempts}")
            subscription.dead_letter_policy.max_delivery_attempts = attempts

    def _start_pushing(self, queue: Queue) -> None:
        if queue.pushing:
            queue.pushing.cancel()
        endpoint = queue.subscription.push_config.push_endpoint
        queue.pushing = asyncio.create_task(push(queue, self._http)) if endpoint else None

    def _close(self, queue: Queue) -> None:
        if queue.pushing:
            queue.pushing.cancel()
        queue.close()


async def _listen(queue: Queue, requests: AsyncIterator[types.StreamingPullRequest]) -> None:
    """Do what a stream's subscriber asks for until it is done; its requests without content keep the stream alive."""
    async for request in requests:
        for ack_id in request.ack_ids:
            queue.acknowledge(ack_id)
        for ack_id, seconds in zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True):
            _modify(queue, ack_id, seconds)


async def _send(
    queue: Queue, first: types.StreamingPullRequest, context: grpc.aio.ServicerContext[Any, types.StreamingPullResponse]
) -> None:
    """Send messages on a stream; the subscriber holds no more of them at once than its first request allows."""
    most = first.max_outstanding_messages
    room = asyncio.Semaphore(most if most > 0 else OUTSTANDING)
    while True:
        await room.acquire()
        delivery = await queue.take(first.stream_ack_deadline_seconds, room.release)
        await context.write(types.StreamingPullResponse(received_messages=[queue.received(delivery)]))


def _modify(queue: Queue, ack_id: str, seconds: int) -> None:
    if not 0 <= seconds <= LONGEST_ACK_DEADLINE:
        raise InvalidArgument(f"Invalid ack deadline: {seconds}")
    if seconds:
        queue.extend(ack_id, seconds)
    else:
        queue.give_back(ack_id)


def _check_deadline(seconds: int) -> None:
    if not ACK_DEADLINE <= seconds <= LONGEST_ACK_DEADLINE:
        raise InvalidArgument(f"Invalid ack deadline: {seconds}")


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InvalidArgument(f"Invalid resource name: {name}")


@asynccontextmanager
async def _refusing(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Answer an error of the API with its status."""
    try:
        yield
    except GoogleAPICallError as error:
        await context.abort(error.grpc_status_code, error.message)


def _unary(method: Call) -> tuple[str, grpc.RpcMethodHandler[Any, Any]]:
    """The name and the handler of a call with one answer; `create_topic` serves CreateTopic with the types it names."""
    request = typing.get_type_hints(method)["request"]

    async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        async with _refusing(context):
            return await method(request)

    def serialize(answer: Any) -> bytes:
        return typing.cast("bytes", getattr(answer, "_pb", answer).SerializeToString())

    name = method.__name__.title().replace("_", "")
    return name, grpc.unary_unary_rpc_method_handler(handle, request.deserialize, serialize)


async def serve(port: int) -> None:
    """Serve Pub/Sub on a loopback port until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    options = [
        ("grpc.so_reuseport", 0),  # a port in use is an error
        ("grpc.max_receive_message_length", -1),
        ("grpc.http2.max_ping_strikes", 0),  # clients ping every 30 s, also without a call
    ]
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(timeout=LONGEST_ACK_DEADLINE, limits=limits, trust_env=False) as http:
        emulator = Emulator(http)
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers(emulator.services())
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        print(f"Pub/Sub is served on 127.0.0.1:{port}", flush=True)
        await stop.wait()
        await emulator.close()
        await server.stop(grace=None)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
