"""Flights: work that several want at once is done once, for as long as anybody wants it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from shared.flights import Flights


class Work:
    """Counts how often it is done, and how it ended."""

    def __init__(self) -> None:
        self.begun = self.cancelled = 0
        self.end = asyncio.Event()

    async def __call__(self) -> str:
        self.begun += 1
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "done"


async def test_the_same_work_is_done_once_and_other_work_by_itself() -> None:
    flights, work = Flights[str](), Work()
    tasks = [asyncio.create_task(flights.join(key, work)) for key in ("a", "a", "b", "a")]
    await asyncio.sleep(0.01)
    work.end.set()
    assert await asyncio.gather(*tasks) == [("done", False), ("done", True), ("done", False), ("done", True)]
    assert work.begun == 2
    assert await flights.join("a", work) == ("done", False), "what has landed is begun anew"


async def test_who_goes_away_does_not_end_what_others_wait_for() -> None:
    flights, work = Flights[str](), Work()
    first, second = (asyncio.create_task(flights.join("a", work)) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.wait([first])
    work.end.set()
    assert await second == ("done", True)
    assert not work.cancelled


async def test_work_ends_when_nobody_waits_any_more() -> None:
    flights, work = Flights[str](), Work()
    tasks = [asyncio.create_task(flights.join("a", work)) for _ in range(2)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await asyncio.sleep(0.01)
    assert work.cancelled == 1
    work.end.set()
    assert await flights.join("a", work) == ("done", False), "what was given up is not joined"


async def test_a_failure_is_everybody_s_who_joined_and_nobody_s_later() -> None:
    flights, fails = Flights[str](), asyncio.Event()

    async def work() -> str:
        await fails.wait()
        raise ValueError("no")

    tasks = [asyncio.create_task(flights.join("a", work)) for _ in range(2)]
    await asyncio.sleep(0.01)
    fails.set()
    for task in tasks:
        with pytest.raises(ValueError, match="no"):
            await task
    with contextlib.suppress(ValueError):
        assert not (await flights.join("a", work))[1]
