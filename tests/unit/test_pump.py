"""The pump sees to each name, at most so many at once, and again when it fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from flamehaven import pump as pump_module
from flamehaven.pump import PARALLEL, Pump
from functions.ingest.reconcile import Outcome
from shared.failures import Misconfigured, Transient


@asynccontextmanager
async def running(settle: Callable[[str], Awaitable[Outcome]]) -> AsyncIterator[Pump]:
    pump = Pump(settle)
    task = asyncio.create_task(pump.run())
    try:
        yield pump
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(pump_module, "PENDING_DELAY", 0.001)


async def test_every_name_is_seen_to_with_a_bound_on_how_many_at_once() -> None:
    now, most, done = 0, 0, Counter[str]()

    async def settle(name: str) -> Outcome:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        done[name] += 1
        return Outcome.INDEXED

    async with running(settle) as pump:
        for number in range(50):
            await pump.add(f"{number}")
            await pump.add(f"{number}")
        await asyncio.wait_for(pump.idle(), 10)
    assert set(done) == {f"{number}" for number in range(50)}
    assert most == PARALLEL


async def test_a_name_added_while_it_is_seen_to_is_seen_to_again_and_never_twice_at_once() -> None:
    started, go = asyncio.Event(), asyncio.Event()
    log: list[str] = []

    async def settle(name: str) -> Outcome:
        log.append("start")
        started.set()
        await go.wait()
        log.append("end")
        return Outcome.INDEXED

    async with running(settle) as pump:
        await pump.add("x")
        await started.wait()
        for _ in range(5):
            await pump.add("x")
        go.set()
        await asyncio.wait_for(pump.idle(), 10)
    assert log == ["start", "end", "start", "end"]


async def test_what_waits_for_an_operator_goes_on_soon_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "FIRST_DELAY", 1000.0)
    monkeypatch.setattr(pump_module, "LONGEST_HOLD", 0.001)
    tries, succeeded = 0, asyncio.Event()

    async def settle(name: str) -> Outcome:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Misconfigured("no key")
        succeeded.set()
        return Outcome.INDEXED

    async with running(settle) as pump:
        await pump.add("x")
        await asyncio.wait_for(succeeded.wait(), 10)


@pytest.mark.parametrize("failure", [Transient("busy"), Misconfigured("no key"), RuntimeError("a bug"), None])
async def test_what_failed_or_is_pending_is_tried_again(failure: Exception | None) -> None:
    tries = 0
    succeeded = asyncio.Event()

    async def settle(name: str) -> Outcome:
        nonlocal tries
        tries += 1
        if tries < 3:
            if failure is None:
                return Outcome.PENDING
            raise failure
        succeeded.set()
        return Outcome.INDEXED

    async with running(settle) as pump:
        await pump.add("x")
        await asyncio.wait_for(succeeded.wait(), 10)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)


async def started(pump: Pump, order: list[str], name: str) -> int:
    """How many objects are begun before this one, which is added now by another caller."""
    before = len(order)
    await pump.add(name, caller="somebody else")
    await until(lambda: name in order)
    return order.index(name) - before


@pytest.mark.parametrize("stores", [1, 50])
async def test_nobody_waits_for_the_many_objects_of_another_caller(stores: int) -> None:
    order: list[str] = []

    async def settle(name: str) -> Outcome:
        order.append(name)
        await asyncio.sleep(0.001)
        return Outcome.INDEXED

    async with running(settle) as pump:
        for number in range(500):
            await pump.add(f"flood{number % stores}/{number}", caller="flood")
        assert await started(pump, order, "calm/x") <= PARALLEL
        await pump.idle()
    assert len(order) == 501


async def test_the_stores_of_one_caller_take_turns() -> None:
    order: list[str] = []

    async def settle(name: str) -> Outcome:
        order.append(name)
        return Outcome.INDEXED

    async with running(settle) as pump:
        for number in range(100):
            await pump.add(f"flood/{number}", caller="one")
        await pump.add("calm/x", caller="one")
        await asyncio.wait_for(pump.idle(), 10)
    assert order.index("calm/x") <= PARALLEL


async def test_objects_that_take_long_hold_up_no_other_caller_and_are_few() -> None:
    begun: list[str] = []

    async def settle(name: str) -> Outcome:
        begun.append(name)
        return Outcome.PENDING if name.startswith("slow/") else Outcome.INDEXED

    async with running(settle) as pump:
        for number in range(30):
            await pump.add(f"slow/{number}", caller="slow")
        for name in ("calm/1", "calm/2"):
            await started(pump, begun, name)
        await pump.add("slow/0")  # the watch of the folder sees it as well
        await until(lambda: begun.count("slow/0") >= 20)
    assert len({name for name in begun if name.startswith("slow/")}) == PARALLEL


async def test_an_object_that_is_indexed_at_last_makes_room_for_the_next_of_its_caller() -> None:
    looks, done = Counter[str](), set[str]()

    async def settle(name: str) -> Outcome:
        looks[name] += 1
        if looks[name] < 3:
            return Outcome.PENDING
        done.add(name)
        return Outcome.INDEXED

    async with running(settle) as pump:
        for number in range(30):
            await pump.add(f"slow/{number}", caller="slow")
        await until(lambda: len(done) == 30)


async def test_what_never_ends_counts_only_for_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "UNSETTLED", 0.01)
    begun: set[str] = set()

    async def settle(name: str) -> Outcome:
        begun.add(name)
        return Outcome.PENDING

    async with running(settle) as pump:
        for number in range(30):
            await pump.add(f"stuck/{number}", caller="stuck")
        await until(lambda: len(begun) == 30)
