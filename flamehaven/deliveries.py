"""What becomes of a message that a queue delivered: done with, brought again later, or held until an operator acts.

A message counts its deliveries, and after some the queue takes it for poison. So nothing is given back that is not its
own fault: what another worker or Gemini is busy with is left to the small sweep, and while a key is wrong or a store is
full, messages are held and no new ones are fetched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

from functions.ingest.events import ObjectEvent
from shared import metrics
from shared.errors import ServiceError
from shared.failures import DependencyFailure, Misconfigured, Transient
from shared.logs import request_id

log = logging.getLogger(__name__)

PARALLEL = 16
"""Messages that one process has taken at once."""
HELD_AT_FIRST, HELD_AT_MOST = 5.0, 60.0
"""Seconds between two tries while everything is held."""
LAST_DELIVERY = 5
"""The delivery after which a queue that is set up as the documentation says makes a dead letter of a message."""
DRAIN = 8.0
"""Seconds that a stop leaves to what is under way, before it is given back to the queue."""
INGEST = "ingest"
"""The name under which the health check tells that messages are held."""


class Delivery(Protocol):
    """One message that a queue delivered to this process, which the queue keeps from others until it is settled."""

    id: str
    attempt: int
    """How often it was delivered, this time included; 0 where the queue does not say."""

    sent: datetime | None
    """When the queue took it; None where it does not say."""

    def events(self) -> list[ObjectEvent]:
        """What it says. Raises ServiceError where it is no event."""

    async def done(self) -> None:
        """Have the queue forget it."""

    async def again(self, delay: float | None = None) -> None:
        """Have the queue deliver it again, after `delay` seconds where the queue takes one."""


class Deliveries:
    """Settles deliveries; `trouble` is told what holds them up."""

    def __init__(self, settle: Callable[[ObjectEvent], Awaitable[str]], trouble: dict[str, str]) -> None:
        self._settle = settle
        self._trouble = trouble
        self._holding = 0
        metrics.DEAD_LETTERS.add(amount=0)  # Prometheus sees no increase from nothing to 1

    async def see_to(self, delivery: Delivery) -> None:
        """Settle one message; when cancelled, give it back."""
        token = request_id.set(f"message-{delivery.id}")
        try:
            await self._see_to(delivery)
        except asyncio.CancelledError:
            await delivery.again(0)
            raise
        finally:
            request_id.reset(token)

    async def _see_to(self, delivery: Delivery) -> None:
        about = {"message_id": delivery.id, "delivery": delivery.attempt}
        try:
            for event in delivery.events():
                await self._held(event)
        except ServiceError as error:
            log.error("A message cannot be read, and the queue will make it a dead letter: %s", error, extra=about)
        except DependencyFailure as error:
            log.warning("A message could not be settled, delivery %d: %s", delivery.attempt, error, extra=about)
            if delivery.attempt >= LAST_DELIVERY:
                metrics.DEAD_LETTERS.add()
            await delivery.again(error.retry_after if isinstance(error, Transient) else None)
            return
        except Exception:
            log.exception("A message could not be settled, delivery %d", delivery.attempt, extra=about)
        else:
            await delivery.done()
            if delivery.sent:
                metrics.EVENT_AGE.observe((datetime.now(UTC) - delivery.sent).total_seconds())
            return
        if delivery.attempt >= LAST_DELIVERY:
            metrics.DEAD_LETTERS.add()
        await delivery.again()

    async def _held(self, event: ObjectEvent) -> None:
        """Settle an event, holding it for as long as nothing can be settled for a reason that is not its own."""
        try:
            await self._settle(event)
        except Misconfigured as error:
            self._holding += 1
            try:
                await self._hold(event, error)
            finally:
                self._holding -= 1
                if not self._holding:
                    del self._trouble[INGEST]
            if not self._holding:
                log.warning("Indexing goes on.")

    async def _hold(self, event: ObjectEvent, error: Misconfigured) -> None:
        delay = HELD_AT_FIRST
        while True:
            if INGEST not in self._trouble:
                log.error("Indexing has stopped, and nothing is lost: %s", error)
            self._trouble[INGEST] = f"Indexing has stopped: {error}"
            await asyncio.sleep(delay)
            delay = min(delay * 2, HELD_AT_MOST)
            try:
                await self._settle(event)
            except Misconfigured as again:
                error = again
            else:
                return
