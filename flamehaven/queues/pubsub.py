"""Pub/Sub as a queue: streaming pull. `PUBSUB_EMULATOR_HOST` leads to an emulator, as for every client of Google's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from datetime import datetime
from typing import Any

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.message import Message
from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler
from google.cloud.pubsub_v1.types import FlowControl

from flamehaven.deliveries import DRAIN, PARALLEL, Deliveries
from flamehaven.queues.dead_letters import DeadLetter
from functions.ingest.events import ObjectEvent, read_message
from shared.errors import ServiceError
from shared.failures import DependencyFailure, Misconfigured, Transient

TIMEOUT = 30.0
"""Seconds for a call that is no stream."""
HELD_AT_MOST = 12 * 3600.0
"""Seconds that a message is kept from others while it is settled or held."""
EXTENSION = 60
"""Seconds by which a lease is extended at once: how long a message waits when the process that has it dies."""
QUIET = 2.0
"""Seconds that a look into the dead letters waits for the first of them."""
FLOW = FlowControl(max_messages=PARALLEL, max_lease_duration=HELD_AT_MOST, max_duration_per_lease_extension=EXTENSION)
SOURCE = "CloudPubSubDeadLetterSource"
"""How the attributes start that Pub/Sub adds to a dead letter."""
PASSING = (exceptions.ServerError, exceptions.TooManyRequests, exceptions.RetryError)


class PubsubQueue:
    """One subscription of a project."""

    def __init__(self, project: str, subscription: str) -> None:
        self._name = f"projects/{project}/subscriptions/{subscription}"
        try:
            self._subscriber = pubsub_v1.SubscriberClient()
        except GoogleAuthError as error:
            raise _failure(self._name, error) from error
        self._publisher: Any = None

    async def aclose(self) -> None:
        await asyncio.to_thread(self._subscriber.close)
        if self._publisher is not None:
            self._publisher.transport.close()

    async def deliver(self, deliveries: Deliveries) -> None:
        loop, working = asyncio.get_running_loop(), set[asyncio.Task[None]]()

        async def settle(message: Message) -> None:
            task = asyncio.create_task(deliveries.see_to(PubsubDelivery(message)))
            working.add(task)
            task.add_done_callback(working.discard)
            await asyncio.wait([task])

        def settle_in_thread(message: Message) -> None:
            """Returns once the message is settled, so that the client waits for it when it is stopped."""
            asyncio.run_coroutine_threadsafe(settle(message), loop).result()

        pulling = self._subscriber.subscribe(
            self._name,
            settle_in_thread,
            flow_control=FLOW,
            scheduler=ThreadScheduler(ThreadPoolExecutor(PARALLEL, thread_name_prefix="pubsub")),
            await_callbacks_on_shutdown=True,
        )
        try:
            await asyncio.wrap_future(pulling)
        except (exceptions.GoogleAPICallError, GoogleAuthError) as error:
            raise _failure(self._name, error) from error
        finally:
            pulling.cancel()
            if working:
                await asyncio.wait(working, timeout=DRAIN)
            for task in working:
                task.cancel()
            with contextlib.suppress(Exception, CancelledError):
                await asyncio.to_thread(pulling.result, TIMEOUT)

    async def dead_letters(self) -> PubsubDeadLetters:
        subscription = await self._call(self._subscriber.get_subscription, subscription=self._name)
        topic = subscription.dead_letter_policy.dead_letter_topic
        if not topic:
            raise Misconfigured(f"{self._name} has no dead-letter topic.")
        if self._publisher is None:
            self._publisher = await asyncio.to_thread(pubsub_v1.PublisherClient)
        kept_in = list(await self._call(self._publisher.list_topic_subscriptions, topic=topic))
        if not kept_in:
            raise Misconfigured(f"Dead letters go to {topic}, which has no subscription, and are lost.")
        return PubsubDeadLetters(self._subscriber, self._publisher, kept_in[0], subscription.topic)

    async def _call(self, call: Callable[..., Any], **arguments: Any) -> Any:
        return await _in_thread(self._name, call, **arguments)


class PubsubDelivery:
    """A message of a streaming pull, whose lease the client extends until it is acknowledged."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self.id: str = message.message_id
        self.attempt: int = message.delivery_attempt or 0
        self.sent: datetime | None = message.publish_time

    def events(self) -> list[ObjectEvent]:
        return [read_message(self._message.attributes, self._message.data)]

    async def done(self) -> None:
        self._message.ack()

    async def again(self, delay: float | None = None) -> None:
        """How soon is the subscription's own to say (its retry policy)."""
        self._message.nack()


class PubsubDeadLetters:
    """What a dead-letter topic's subscription holds."""

    def __init__(self, subscriber: Any, publisher: Any, subscription: str, topic: str) -> None:
        self._subscriber = subscriber
        self._publisher = publisher
        self._subscription = subscription
        self._topic = topic

    async def take(self, limit: int) -> list[DeadLetter]:
        found: dict[str, DeadLetter] = {}
        while len(found) < limit:
            messages = await self._pull(limit - len(found))
            if not messages:
                break
            await self._extend([message.ack_id for message in messages], EXTENSION)
            found |= {message.message.message_id: _dead_letter(message) for message in messages}
        return list(found.values())

    async def replay(self, letter: DeadLetter) -> None:
        attributes = {key: value for key, value in letter.attributes.items() if not key.startswith(SOURCE)}
        message = pubsub_v1.types.PubsubMessage(data=letter.body, attributes=attributes)
        await _in_thread(self._topic, self._publisher.api.publish, topic=self._topic, messages=[message])
        await self.drop(letter)

    async def drop(self, letter: DeadLetter) -> None:
        await self._call(self._subscriber.acknowledge, ack_ids=[letter.handle])

    async def release(self, letter: DeadLetter) -> None:
        await self._extend([letter.handle], 0)

    async def _pull(self, limit: int) -> list[Any]:
        try:
            answer = await asyncio.to_thread(
                self._subscriber.pull, subscription=self._subscription, max_messages=limit, retry=None, timeout=QUIET
            )
        except exceptions.DeadlineExceeded:
            return []
        except exceptions.GoogleAPICallError as error:
            raise _failure(self._subscription, error) from error
        return list(answer.received_messages)

    async def _extend(self, handles: list[str], seconds: int) -> None:
        await self._call(self._subscriber.modify_ack_deadline, ack_ids=handles, ack_deadline_seconds=seconds)

    async def _call(self, call: Callable[..., Any], **arguments: Any) -> Any:
        return await _in_thread(self._subscription, call, subscription=self._subscription, **arguments)


def _dead_letter(received: Any) -> DeadLetter:
    message = received.message
    attributes = dict(message.attributes)
    try:
        objects = [read_message(attributes, message.data).name]
    except ServiceError:
        objects = []
    deliveries = attributes.get(SOURCE + "DeliveryCount", "")
    return DeadLetter(
        id=message.message_id,
        objects=objects,
        deliveries=int(deliveries) if deliveries.isdecimal() else None,
        sent=message.publish_time,
        handle=received.ack_id,
        body=message.data,
        attributes=attributes,
    )


async def _in_thread(what: str, call: Callable[..., Any], **arguments: Any) -> Any:
    try:
        return await asyncio.to_thread(call, **arguments, timeout=TIMEOUT)
    except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError) as error:
        raise _failure(what, error) from error


def _failure(what: str, error: Exception) -> DependencyFailure:
    if isinstance(error, PASSING):
        return Transient(f"Pub/Sub is busy or failing ({type(error).__name__}).")
    return Misconfigured(f"Pub/Sub refuses {what}: {str(error).partition(chr(10))[0][:300]}")
