"""Dead letters: messages that a queue delivered as often as it may, kept aside for people to look at."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field


class DeadLetter(BaseModel):
    """A message that could not be settled; the reason of each try is in the log, under its `message_id`."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="What the dead-letter queue calls it.")
    objects: list[str] = Field(description="The objects that it speaks of; none where it is no event.")
    deliveries: int | None = Field(description="How often it was delivered before; null where the queue does not say.")
    sent: datetime | None
    handle: str = Field(exclude=True, repr=False)
    """By which the queue knows this delivery of it."""
    body: bytes = Field(exclude=True, repr=False)
    attributes: dict[str, str] = Field(exclude=True, repr=False)


class DeadLetters(Protocol):
    """The dead letters of one queue. Every method may raise DependencyFailure."""

    async def take(self, limit: int) -> list[DeadLetter]:
        """Up to `limit` of them, which nobody else gets for a minute."""

    async def replay(self, letter: DeadLetter) -> None:
        """Send it to the queue that it came from once more, and forget it here."""

    async def drop(self, letter: DeadLetter) -> None:
        """Forget it."""

    async def release(self, letter: DeadLetter) -> None:
        """Leave it where it is, for anybody to take."""
