"""How a bulk load ends: the files of a bucket announced as fast as they are copied, through Pub/Sub and Cloud Run.

    .venv/bin/python -m benchmarks.bulk_load [--files 100000]

The queue is the tests' Pub/Sub, with its real backoff and dead letters, on a clock that jumps to what happens next. An
instance of `ingest` holds so many requests, of which so many upload at once; the others wait for their turn. A request
that finds no room is refused with 429, and Pub/Sub counts that as a delivery.

Pub/Sub pushes as many requests at once as its window allows. It starts small, grows with each success and shrinks with
each failure ("Create push subscriptions", Pub/Sub). By how much it shrinks is not published, so both are tried: by half
and by one; with few files also a window of 1,000 that never shrinks. Cloud Run's own queue, which holds a request for
some seconds, is left out: it only helps.
"""

from __future__ import annotations

import argparse
import asyncio
import selectors
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from typing import Literal, get_args

from google.pubsub_v1 import types

from tests.pubsub_emulator import Delivery, Queue

Shrinks = Literal["by half", "by one", "never"]
FEW = 5_000
"""With a window that never shrinks a file is delivered up to a hundred times: only so many are simulated."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What infra/terraform sets, and how long a document takes, in seconds."""

    instances: int = 5
    requests: int = 32
    """That an instance takes at once."""
    uploads: int = 8
    """Of them, those that send to Gemini at once."""
    attempts: int = 100
    deadline: float = 600
    backoff: tuple[int, int] = (10, 600)
    upload: float = 2
    indexing: float = 8
    files_per_second: int = 500
    shrinks: Shrinks = "by half"
    """What a failure does to Pub/Sub's window."""


FIRST_WINDOW = 3
REFUSAL = 0.05  # seconds until a 429
BEFORE = Setting(requests=8, attempts=20)
"""What it was: as many requests as uploads, and 20 deliveries."""


@dataclass(slots=True)
class Result:
    """How it ended."""

    indexed: int = 0
    dead: int = 0
    deliveries: int = 0
    refused: int = 0
    most_attempts: int = 0
    hours: float = 0.0


class _Jumping(selectors.SelectSelector):
    """Waits by moving a clock forward."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("Nothing will ever happen: the simulation hangs.")
        self.now += max(timeout, 0)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop in which no time is spent waiting."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class _Instance:
    """An instance of the function: the requests that it can still take, and the turns to upload."""

    def __init__(self, setting: Setting) -> None:
        self.free = setting.requests
        self.turns = asyncio.Semaphore(setting.uploads)


class _Simulation:
    """One bulk load."""

    def __init__(self, files: int, setting: Setting) -> None:
        self.result = Result()
        self._files, self._setting = files, setting
        self._window, self._pushed = 1000 if setting.shrinks == "never" else FIRST_WINDOW, 0
        self._room, self._done = asyncio.Event(), asyncio.Event()
        self._instances = [_Instance(setting) for _ in range(setting.instances)]
        least, longest = (timedelta(seconds=seconds) for seconds in setting.backoff)
        policy = types.RetryPolicy(minimum_backoff=least, maximum_backoff=longest)
        self._queue = Queue(types.Subscription(name="ingest", retry_policy=policy), self._bury)

    async def run(self) -> None:
        """Copy the files, and push until each is indexed or a dead letter."""
        working = [asyncio.create_task(self._copy()), asyncio.create_task(self._push())]
        await self._done.wait()
        for task in working:
            task.cancel()
        self.result.hours = asyncio.get_running_loop().time() / 3600

    async def _copy(self) -> None:
        for number in range(self._files):
            self._queue.put(Delivery(types.PubsubMessage()))
            if number % self._setting.files_per_second == 0:
                await asyncio.sleep(1)

    async def _push(self) -> None:
        async with asyncio.TaskGroup() as requests:
            while True:
                while self._pushed >= self._window:
                    self._room.clear()
                    await self._room.wait()
                delivery = await self._queue.take(self._setting.deadline + 1)
                self._pushed += 1
                self.result.deliveries += 1
                self.result.most_attempts = max(self.result.most_attempts, delivery.attempt)
                instance = max(self._instances, key=lambda each: each.free)
                if instance.free:
                    instance.free -= 1
                    requests.create_task(self._handle(delivery, instance))
                else:
                    self.result.refused += 1
                    asyncio.get_running_loop().call_later(REFUSAL, self._failed, delivery)

    async def _handle(self, delivery: Delivery, instance: _Instance) -> None:
        try:
            async with asyncio.timeout(self._setting.deadline):
                async with instance.turns:
                    await asyncio.sleep(self._setting.upload)
                await asyncio.sleep(self._setting.indexing)
        except TimeoutError:
            self._failed(delivery)
        else:
            self._succeeded(delivery)
        finally:
            instance.free += 1

    def _succeeded(self, delivery: Delivery) -> None:
        self._window += 1
        self._queue.acknowledge(delivery.ack_id)
        self.result.indexed += 1
        self._ended()

    def _failed(self, delivery: Delivery) -> None:
        smaller = {"by half": self._window // 2, "by one": self._window - 1, "never": self._window}
        self._window = max(1, smaller[self._setting.shrinks])
        self._queue.give_back(delivery.ack_id)
        self._ended()

    def _ended(self) -> None:
        self._pushed -= 1
        self._room.set()
        if self.result.indexed + self.result.dead == self._files:
            self._done.set()

    def _bury(self, queue: Queue, delivery: Delivery) -> bool:
        dead = delivery.attempt >= self._setting.attempts
        self.result.dead += dead
        return dead


def load(files: int, setting: Setting) -> Result:
    """Simulate a bulk load of so many files."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:

        async def simulated() -> Result:
            simulation = _Simulation(files, setting)
            await simulation.run()
            return simulation.result

        return runner.run(simulated())


def main() -> None:
    """Print a row for each setting and each time that a document takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    files = parser.parse_args().files
    print("| requests, uploads, deliveries | time | window shrinks | dead | hours | 429s a file | most tries |")
    print("|---|---|---|---|---|---|---|")
    for upload, indexing in ((2, 8), (10, 60)):
        for setting, shrinks in product((BEFORE, Setting()), get_args(Shrinks)):
            if shrinks == "never" and files > FEW:
                continue
            found = load(files, replace(setting, upload=upload, indexing=indexing, shrinks=shrinks))
            kind = (
                f"{setting.instances} * {setting.requests}, {setting.instances} * {setting.uploads}, {setting.attempts}"
            )
            print(
                f"| {kind} | {upload} + {indexing} s | {shrinks} | {found.dead:,} | {found.hours:.1f}"
                f" | {found.refused / files:.2f} | {found.most_attempts} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
