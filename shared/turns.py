"""Turns for work of which only so much may be done at once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.errors import ServiceError

PATIENCE = 10.0
"""Seconds that anybody waits for a turn."""


class Turns:
    """Lets `at_once` work, and at most `waiting` wait, who then get in one caller after the other.

    When one more than that would wait, the caller who has most of them waiting is refused the latest, so that nobody is
    kept out by somebody else's flood.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._free = at_once
        self._room = waiting
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it. Raises ServiceError (SERVICE_UNAVAILABLE) where there is none to be had."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(caller)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, caller: str) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(place)
        if sum(map(len, self._waiting.values())) > self._room:
            most = max(self._waiting, key=lambda each: len(self._waiting[each]))
            self._waiting[most][-1].set_exception(_refusal())
            self._leave(most, self._waiting[most][-1])
        try:
            async with asyncio.timeout(PATIENCE):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._pass_on()  # the turn came in the very moment in which nobody waited for it any more
            self._leave(caller, place)
            if isinstance(error, TimeoutError):
                raise _refusal() from None
            raise

    def _leave(self, caller: str, place: asyncio.Future[None]) -> None:
        places = self._waiting.get(caller)
        if places and place in places:
            places.remove(place)
            if not places:
                del self._waiting[caller]

    def _pass_on(self) -> None:
        """Give a turn that has ended to the caller who is next."""
        if not self._waiting:
            self._free += 1
            return
        caller, places = next(iter(self._waiting.items()))
        place = places.popleft()
        if places:
            self._waiting.move_to_end(caller)
        else:
            del self._waiting[caller]
        if place.done():  # who waited for it has just gone
            self._pass_on()
        else:
            place.set_result(None)


def _refusal() -> ServiceError:
    message = "Too much is asked at once just now. Ask again in a moment."
    return ServiceError("SERVICE_UNAVAILABLE", message, headers={"Retry-After": "1"})
