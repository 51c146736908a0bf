"""Queues that tell of changes in a bucket: which one an address means."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urlsplit

from flamehaven.deliveries import Deliveries
from flamehaven.queues.dead_letters import DeadLetters


class Queue(Protocol):
    """A queue and what it does with messages that were delivered too often."""

    async def deliver(self, deliveries: Deliveries) -> None:
        """Fetch messages and have them settled, until cancelled; then settle or give back what was fetched."""

    async def dead_letters(self) -> DeadLetters:
        """The messages that were delivered too often. Raises Misconfigured where the queue keeps none."""

    async def aclose(self) -> None:
        """Close the connections."""


def open_queue(address: str) -> Queue:
    """The queue at pubsub://PROJECT/SUBSCRIPTION or sqs://QUEUE. Raises Misconfigured without credentials for it."""
    parts = urlsplit(address)
    if parts.scheme == "pubsub":
        from flamehaven.queues.pubsub import PubsubQueue

        return PubsubQueue(parts.netloc, parts.path.strip("/"))
    from flamehaven.queues.sqs import SqsQueue

    return SqsQueue(parts.netloc)
