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
