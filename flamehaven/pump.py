"""The pump: names of changed objects in, each reconciled soon, a bounded number at once, and again when it fails.

Callers take turns, and so do the stores of each. An object that takes long to index gives its place to the next, and a
caller has a bounded number of such objects: so nobody's documents hold up those of others for long.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass

from functions.ingest.reconcile import Outcome
from shared.buckets.writers import QUIET
from shared.failures import DependencyFailure, Misconfigured, Transient
from shared.logs import request_id
from shared.names import store_of

log = logging.getLogger(__name__)

PARALLEL = 8
"""Objects reconciled at once: more parallel uploads than this have been seen to get lost at Gemini."""
PATIENCE = 15.0
"""Seconds that an object which is being indexed keeps its place; after that the next one gets it."""
UNSETTLED = 300.0
"""Seconds for which an object that is still being indexed counts as one of the `PARALLEL` that its caller may have."""
FIRST_DELAY = 1.0
LONGEST_DELAY = 300.0
LONGEST_HOLD = 60.0
"""The same where an operator has to act: what waits for a new key goes on soon after that."""
PENDING_DELAY = 10.0
"""Seconds after which an object that Gemini, or another worker, is still busy with is looked at again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object to see to, the id of the request that wants it, and who sent that; "" is the server itself."""

    name: str
    request: str | None = None
    caller: str = ""


class Waiting:
    """What waits for its turn: each name once, in the order of its store; callers and their stores take turns."""

    def __init__(self) -> None:
        self._callers: dict[str, dict[str, dict[str, Wanted]]] = {}
        self._places: dict[str, str] = {}
        """The caller under whom each name waits."""

    def __bool__(self) -> bool:
        return bool(self._places)

    def add(self, wanted: Wanted) -> None:
        """Let an object wait; one that waits already keeps its place, and is told the latest request."""
        caller = self._places.setdefault(wanted.name, wanted.caller)
        names = self._callers.setdefault(caller, {}).setdefault(store_of(wanted.name), {})
        before = names.get(wanted.name)
        request = wanted.request or (before.request if before else None)
        names[wanted.name] = Wanted(wanted.name, request, caller)

    def next(self, busy: Container[str], full: Container[str], unsettled: Mapping[str, object]) -> Wanted | None:
        """What comes next and is not busy, of a caller who is `full` only what is `unsettled`; it stays."""
        for caller, stores in self._callers.items():
            for names in stores.values():
                for name in names.keys() & unsettled.keys() if caller in full else names:
                    if name not in busy:
                        return names[name]
        return None

    def take(self, wanted: Wanted) -> None:
        """Take an object out; its caller and its store are the last to come again."""
        store = store_of(wanted.name)
        stores = self._callers.pop(self._places.pop(wanted.name))
        names = stores.pop(store)
        del names[wanted.name]
        if names:
            stores[store] = names
        if stores:
            self._callers[wanted.caller] = stores


class Pump:
    """What a queue does for the functions, in one process: a name waits at most once, however often it is added."""

    def __init__(self, settle: Callable[[str], Awaitable[Outcome]]) -> None:
        self._settle = settle
        self._waiting = Waiting()
        self._running: dict[str, Wanted] = {}
        self._unsettled: dict[str, tuple[str, float]] = {}
        """The caller of each object that is still being indexed, and since when (`time.monotonic`)."""
        self._failures: dict[str, int] = {}
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._changed = asyncio.Condition()

    async def add(self, name: str, request: str | None = None, caller: str = "") -> None:
        """Have the object seen to, now or as soon as it is no longer being seen to.

        `request` is the id of the request that wants it, for the lines that its work logs; `caller` is who sent it.
        """
        async with self._changed:
            if timer := self._later.pop(name, None):
                timer.cancel()
            self._waiting.add(Wanted(name, request, caller or self._caller_of(name)))
            self._changed.notify()

    async def suggest(self, name: str) -> None:
        """Have the object seen to, unless that is under way or planned: asking often must not hurry a retry."""
        if name not in self._running and name not in self._later:
            await self.add(name)

    def _caller_of(self, name: str) -> str:
        """Who wanted an object that is on its way: the watch of the folder, which sees it too, is not asked who."""
        if wanted := self._running.get(name):
            return wanted.caller
        return self._unsettled.get(name, ("", 0.0))[0]

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
            wanted = await self._next()
            token = request_id.set(wanted.request or str(uuid.uuid4()))
            try:
                await self._see_to(wanted)
            finally:
                request_id.reset(token)
                async with self._changed:
                    del self._running[wanted.name]
                    self._changed.notify_all()

    async def _next(self) -> Wanted:
        async with self._changed:
            while (wanted := self._startable()) is None:
                await self._changed.wait()
            self._waiting.take(wanted)
            self._running[wanted.name] = wanted
            return wanted

    def _startable(self) -> Wanted | None:
        """The next object whose caller has not as many on their way as one may have."""
        long_ago = time.monotonic() - UNSETTLED
        on_their_way = {name: caller for name, (caller, since) in self._unsettled.items() if since > long_ago}
        on_their_way |= {name: wanted.caller for name, wanted in self._running.items()}
        full = {caller for caller, count in Counter(on_their_way.values()).items() if count >= PARALLEL}
        return self._waiting.next(self._running, full, self._unsettled)

    async def _see_to(self, wanted: Wanted) -> None:
        try:
            outcome = await self._settle(wanted.name)
        except DependencyFailure as error:
            self._try_again(wanted, error)
        except Exception:
            log.exception("An object could not be seen to", extra={"object": wanted.name})
            self._try_again(wanted, None)
        else:
            self._failures.pop(wanted.name, None)
            self._note(wanted, outcome)
            if outcome is Outcome.CHANGING:
                self._add_after(QUIET, wanted)
            elif outcome in (Outcome.PENDING, Outcome.BUSY):
                self._add_after(PENDING_DELAY, wanted)

    def _note(self, wanted: Wanted, outcome: Outcome) -> None:
        if outcome is Outcome.PENDING:
            self._unsettled.setdefault(wanted.name, (wanted.caller, time.monotonic()))
        else:
            self._unsettled.pop(wanted.name, None)

    def _try_again(self, wanted: Wanted, error: DependencyFailure | None) -> None:
        failures = self._failures[wanted.name] = self._failures.get(wanted.name, 0) + 1
        longest = LONGEST_HOLD if isinstance(error, Misconfigured) else LONGEST_DELAY
        delay = min(FIRST_DELAY * 2 ** (failures - 1), longest)
        if isinstance(error, Transient) and error.retry_after:
            delay = max(delay, error.retry_after)
        log.warning("%s: %s Trying again in %.0f s.", wanted.name, error or "It failed.", delay)
        self._add_after(delay, wanted)

    def _add_after(self, seconds: float, wanted: Wanted) -> None:
        """Add the object later, unless it is added before; the request it was seen to for is still who wants it."""
        loop, name, caller, request = asyncio.get_running_loop(), wanted.name, wanted.caller, request_id.get()
        if timer := self._later.pop(name, None):
            timer.cancel()
        self._later[name] = loop.call_later(seconds, lambda: loop.create_task(self.add(name, request, caller)))
