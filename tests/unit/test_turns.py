"""Turns: so many at once, nobody forgotten, and nobody kept out by somebody else's flood."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import turns
from shared.errors import ServiceError
from shared.turns import Turns


class Room:
    """Callers who work for as long as they are let."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self.turns = Turns(at_once, waiting)
        self.working: list[str] = []
        self.refused: Counter[str] = Counter()
        self.refusals: set[tuple[str, str]] = set()
        self.done: list[str] = []
        self._end = asyncio.Semaphore(0)

    async def work(self, caller: str) -> None:
        try:
            async with self.turns.turn(caller):
                self.working.append(caller)
                try:
                    await self._end.acquire()
                finally:
                    self.working.remove(caller)
                self.done.append(caller)
        except ServiceError as error:
            self.refused[caller] += 1
            self.refusals.add((error.code, error.headers["Retry-After"]))

    async def end_one(self) -> None:
        self._end.release()
        await settled()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_whoever_waits_gets_in_after_each_caller_once() -> None:
    room = Room(1, 10)
    tasks = [asyncio.create_task(room.work(caller)) for caller in ["flood"] * 4 + ["somebody", "else"]]
    await settled()
    for _ in tasks:
        await room.end_one()
    await asyncio.gather(*tasks)
    assert room.done == ["flood", "flood", "somebody", "else", "flood", "flood"]


async def test_the_caller_with_most_waiting_is_refused_and_nobody_else() -> None:
    room = Room(2, 4)
    tasks = [asyncio.create_task(room.work(caller)) for caller in ["flood"] * 20 + ["somebody", "else"]]
    await settled()
    assert room.refused == {"flood": 16}
    assert room.refusals == {("SERVICE_UNAVAILABLE", "1")}
    for _ in range(6):
        await room.end_one()
    await asyncio.gather(*tasks)
    assert Counter(room.done) == {"flood": 4, "somebody": 1, "else": 1}


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    room = Room(1, 4)
    tasks = [asyncio.create_task(room.work(caller)) for caller in ("first", "second")]
    await asyncio.wait([tasks[1]])
    assert room.refused == {"second": 1}
    await room.end_one()
    await tasks[0]


@given(
    at_once=st.integers(1, 3),
    waiting=st.integers(0, 4),
    steps=st.lists(st.one_of(st.sampled_from("abc"), st.just("end"), st.integers(0, 20)), max_size=40),
)
async def test_no_turn_is_lost_or_given_twice(at_once: int, waiting: int, steps: list[str | int]) -> None:
    """Callers come, end and go away in any order; a number is the task that is cancelled."""
    room = Room(at_once, waiting)
    tasks: list[asyncio.Task[None]] = []
    for step in steps:
        if isinstance(step, int):
            if step < len(tasks):
                tasks[step].cancel()
        elif step == "end":
            room._end.release()
        else:
            tasks.append(asyncio.create_task(room.work(step)))
        await asyncio.sleep(0)
        assert len(room.working) <= at_once
    await settled()
    while not all(task.done() for task in tasks):
        assert room.working, "somebody waits while nobody works"
        await room.end_one()
    assert room.turns._free == at_once
