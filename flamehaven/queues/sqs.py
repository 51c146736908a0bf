"""SQS as a queue: long polling. `AWS_*` variables give credentials, region and endpoint."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from flamehaven.deliveries import DRAIN, PARALLEL, Deliveries
from flamehaven.queues.dead_letters import DeadLetter
from functions.ingest.events import ObjectEvent, read_sqs_message
from shared.errors import ServiceError
from shared.failures import DependencyFailure, Misconfigured, Transient

log = logging.getLogger(__name__)

POLL = 5
"""Seconds that a poll waits for messages; a stop has to wait for it too."""
VISIBILITY = 60
"""Seconds for which a message is hidden at once: how long it waits when the process that has it dies."""
BATCH = 10
"""The most that SQS gives at once."""
LONGEST_DELAY = 300
CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=2 * PARALLEL,
    retries={"mode": "standard", "total_max_attempts": 4},
)
NO_MESSAGES_HIDDEN = ("AWS.SimpleQueueService.MessageNotInflight", "MessageNotInflight", "ReceiptHandleIsInvalid")


class SqsQueue:
    """One queue of the account."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(PARALLEL + 2, thread_name_prefix="sqs")
        try:
            self._client = boto3.session.Session().client("sqs", config=CONFIG)
        except BotoCoreError as error:
            raise Misconfigured(f"SQS cannot be reached: {error}") from error

    async def aclose(self) -> None:
        await asyncio.to_thread(self._client.close)
        self._threads.shutdown(wait=False)

    async def deliver(self, deliveries: Deliveries) -> None:
        url = await self._url(self._name)
        free, working = asyncio.Semaphore(PARALLEL), set[asyncio.Task[None]]()

        def begin(message: dict[str, Any]) -> None:
            task = asyncio.create_task(self._settle(deliveries, SqsDelivery(self, url, message)))
            working.add(task)
            task.add_done_callback(working.discard)
            task.add_done_callback(lambda _: free.release())

        polling: asyncio.Future[list[dict[str, Any]]] | None = None
        try:
            while True:
                await free.acquire()
                wanted = 1
                while wanted < BATCH and not free.locked():
                    await free.acquire()
                    wanted += 1
                polling = asyncio.ensure_future(self.receive(url, wanted, POLL))
                messages = await asyncio.shield(polling)
                for _ in range(wanted - len(messages)):
                    free.release()
                for message in messages:
                    begin(message)
        finally:
            await asyncio.shield(self._stop(url, polling, working))

    async def _stop(
        self, url: str, polling: asyncio.Future[list[dict[str, Any]]] | None, working: set[asyncio.Task[None]]
    ) -> None:
        """Give back what a last poll brings, and what is not settled in time."""

        async def give_back() -> None:
            if polling is not None and not polling.done():
                for message in await polling:
                    await SqsDelivery(self, url, message).again(0)

        async def drain() -> None:
            if working:
                await asyncio.wait(working, timeout=DRAIN)
            for task in working:
                task.cancel()
            if working:
                await asyncio.wait(working)

        await asyncio.gather(give_back(), drain(), return_exceptions=True)

    async def _settle(self, deliveries: Deliveries, delivery: SqsDelivery) -> None:
        hiding = asyncio.create_task(delivery.stay_hidden())
        try:
            await deliveries.see_to(delivery)
        except DependencyFailure as error:
            log.warning("SQS was not told what became of message %s: %s", delivery.id, error)
        finally:
            hiding.cancel()

    async def dead_letters(self) -> SqsDeadLetters:
        url = await self._url(self._name)
        answer = await self.call(self._client.get_queue_attributes, QueueUrl=url, AttributeNames=["RedrivePolicy"])
        policy = json.loads(answer.get("Attributes", {}).get("RedrivePolicy", "{}"))
        arn = str(policy.get("deadLetterTargetArn", ""))
        if not arn:
            raise Misconfigured(f"Queue {self._name!r} has no dead-letter queue.")
        return SqsDeadLetters(self, await self._url(arn.rpartition(":")[2]), url)

    async def receive(self, url: str, count: int, wait: int) -> list[dict[str, Any]]:
        """Up to `count` messages, which are hidden from others for a minute, after at most `wait` seconds."""
        answer = await self.call(
            self._client.receive_message,
            QueueUrl=url,
            MaxNumberOfMessages=count,
            WaitTimeSeconds=wait,
            VisibilityTimeout=VISIBILITY,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
        )
        return list(answer.get("Messages", []))

    async def hide(self, url: str, handle: str, seconds: int) -> None:
        """Hide a message for so many seconds from now; one that is gone already is no error."""
        await self.call(
            self._client.change_message_visibility, QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=seconds
        )

    async def delete(self, url: str, handle: str) -> None:
        """Delete a message; one that is gone already is no error."""
        await self.call(self._client.delete_message, QueueUrl=url, ReceiptHandle=handle)

    async def send(self, url: str, body: str) -> None:
        """Add a message to a queue; none of S3's has attributes."""
        await self.call(self._client.send_message, QueueUrl=url, MessageBody=body)

    async def _url(self, name: str) -> str:
        return str((await self.call(self._client.get_queue_url, QueueName=name))["QueueUrl"])

    async def call(self, call: Callable[..., Any], **arguments: Any) -> Any:
        """What a blocking call of the client returns. Raises DependencyFailure."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, **arguments))
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in NO_MESSAGES_HIDDEN:
                return {}
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status >= 500 or status == 429 or "Throttl" in code:
                raise Transient(f"SQS is busy or failing ({code}).") from error
            raise Misconfigured(f"SQS refuses queue {self._name!r} ({code}).") from error
        except (ConnectionError, HTTPClientError) as error:
            raise Transient(f"The connection to SQS failed ({type(error).__name__}).") from error
        except BotoCoreError as error:
            raise Misconfigured(f"SQS cannot be reached: {error}") from error


class SqsDelivery:
    """A message that a poll brought, hidden from others until it is deleted."""

    def __init__(self, queue: SqsQueue, url: str, message: dict[str, Any]) -> None:
        self._queue = queue
        self._url = url
        self._body = str(message["Body"])
        self._handle = str(message["ReceiptHandle"])
        self.id = str(message["MessageId"])
        self.attempt = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 0))
        self.sent = _sent(message)

    def events(self) -> list[ObjectEvent]:
        return read_sqs_message(self._body)

    async def stay_hidden(self) -> None:
        """Keep it hidden until cancelled."""
        while True:
            await asyncio.sleep(VISIBILITY / 2)
            try:
                await self._queue.hide(self._url, self._handle, VISIBILITY)
            except DependencyFailure as error:
                log.warning("Message %s could not be kept hidden: %s", self.id, error)

    async def done(self) -> None:
        await self._queue.delete(self._url, self._handle)

    async def again(self, delay: float | None = None) -> None:
        """After `delay` seconds, or after ever longer where none is given."""
        seconds = 2 ** min(max(self.attempt - 1, 0), 9) if delay is None else delay
        await self._queue.hide(self._url, self._handle, min(round(seconds), LONGEST_DELAY))


class SqsDeadLetters:
    """What the dead-letter queue of a queue holds."""

    def __init__(self, queue: SqsQueue, dead: str, source: str) -> None:
        self._queue = queue
        self._dead = dead
        self._source = source

    async def take(self, limit: int) -> list[DeadLetter]:
        found: dict[str, DeadLetter] = {}
        while len(found) < limit:
            messages = await self._queue.receive(self._dead, min(BATCH, limit - len(found)), 1)
            if not messages:
                break
            found |= {str(message["MessageId"]): _dead_letter(message) for message in messages}
        return list(found.values())

    async def replay(self, letter: DeadLetter) -> None:
        await self._queue.send(self._source, letter.body.decode())
        await self.drop(letter)

    async def drop(self, letter: DeadLetter) -> None:
        await self._queue.delete(self._dead, letter.handle)

    async def release(self, letter: DeadLetter) -> None:
        await self._queue.hide(self._dead, letter.handle, 0)


def _sent(message: dict[str, Any]) -> datetime | None:
    sent = message.get("Attributes", {}).get("SentTimestamp")
    return datetime.fromtimestamp(int(sent) / 1000, UTC) if sent else None


def _dead_letter(message: dict[str, Any]) -> DeadLetter:
    try:
        objects = [event.name for event in read_sqs_message(message["Body"])]
    except ServiceError:
        objects = []
    return DeadLetter(
        id=message["MessageId"],
        objects=objects,
        deliveries=None,
        sent=_sent(message),
        handle=message["ReceiptHandle"],
        body=message["Body"].encode(),
        attributes={},
    )
