"""The pump: names of changed objects in, each reconciled soon, a bounded number at once, and again when it fails."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable

from functions.ingest.reconcile import Outcome
from shared.buckets.writers import QUIET
from shared.failures import DependencyFailure, Misconfigured, Transient
from shared.logs import request_id

log = logging.getLogger(__name__)

PARALLEL = 8
"""Objects reconciled at once: more parallel uploads than this have been seen to get lost at Gemini."""
FIRST_DELAY = 1.0
LONGEST_DELAY = 300.0
LONGEST_HOLD = 60.0
"""The same where an operator has to act: what waits for a new key goes on soon after that."""
PENDING_DELAY = 30.0
"""Seconds after which an object that Gemini, or another worker, is still busy with is looked at again."""


class Pump:
    """What a queue does for the functions, in one process: a name waits at most once, however often it is added."""

    def __init__(self, settle: Callable[[str], Awaitable[Outcome]]) -> None:
        self._settle = settle
        self._waiting: dict[str, str | None] = {}
        self._running: set[str] = set()
        self._failures: dict[str, int] = {}
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._changed = asyncio.Condition()

    async def add(self, name: str, request: str | None = None) -> None:
        """Have the object seen to, now or as soon as it is no longer being seen to.

        `request` is the id of the request that wants it, for the lines that its work logs.
        """
        async with self._changed:
            if timer := self._later.pop(name, None):
                timer.cancel()
            self._waiting[name] = request or self._waiting.get(name)
            self._changed.notify()

    async def suggest(self, name: str) -> None:
        """Have the object seen to, unless that is under way or planned: asking often must not hurry a retry."""
        if name not in self._running and name not in self._later:
            await self.add(name)

    async def idle(self) -> None:
        """Wait until nothing is waiting or running; what failed and will be tried again does not count."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting and not self._running)

    async def run(self) -> None:
        """See to names until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(PARALLEL):
                    group.create_task(self._work())
        finally:
            for timer in self._later.values():
                timer.cancel()

    async def _work(self) -> None:
        while True:
            name, request = await self._next()
            token = request_id.set(request or str(uuid.uuid4()))
            try:
                await self._see_to(name)
            finally:
                request_id.reset(token)
                async with self._changed:
                    self._running.discard(name)
                    self._changed.notify_all()

    async def _next(self) -> tuple[str, str | None]:
        async with self._changed:
            await self._changed.wait_for(self._startable)
            name = self._startable()
            assert name is not None
            request = self._waiting.pop(name)
            self._running.add(name)
            return name, request

    def _startable(self) -> str | None:
        return next((name for name in self._waiting if name not in self._running), None)

    async def _see_to(self, name: str) -> None:
        try:
            outcome = await self._settle(name)
        except DependencyFailure as error:
            self._try_again(name, error)
        except Exception:
            log.exception("An object could not be seen to", extra={"object": name})
            self._try_again(name, None)
        else:
            self._failures.pop(name, None)
            if outcome is Outcome.CHANGING:
                self._add_after(QUIET, name)
            elif outcome in (Outcome.PENDING, Outcome.BUSY):
                self._add_after(PENDING_DELAY, name)

    def _try_again(self, name: str, error: DependencyFailure | None) -> None:
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        longest = LONGEST_HOLD if isinstance(error, Misconfigured) else LONGEST_DELAY
        delay = min(FIRST_DELAY * 2 ** (failures - 1), longest)
        if isinstance(error, Transient) and error.retry_after:
            delay = max(delay, error.retry_after)
        log.warning("%s: %s Trying again in %.0f s.", name, error or "It failed.", delay)
        self._add_after(delay, name)

    def _add_after(self, seconds: float, name: str) -> None:
        """Add the name later, unless it is added before; the request it was seen to for is still who wants it."""
        loop, request = asyncio.get_running_loop(), request_id.get()
        if timer := self._later.pop(name, None):
            timer.cancel()
        self._later[name] = loop.call_later(seconds, lambda: loop.create_task(self.add(name, request)))
