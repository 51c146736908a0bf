"""A message is done with, comes again, or is held, and nothing that is not its own fault makes it a dead letter."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

import pytest

from flamehaven import deliveries as module
from flamehaven.deliveries import INGEST, Deliveries
from functions.ingest.events import ObjectEvent
from shared.errors import ServiceError
from shared.failures import Misconfigured, Throttled, Transient
from shared.logs import request_id

EVENTS = [ObjectEvent("documents", "a.md"), ObjectEvent("documents", "b.md")]


class Message:
    """A delivery that notes what became of it."""

    def __init__(self, events: list[ObjectEvent] | None = None, *, name: str = "1") -> None:
        self.id = name
        self.attempt = 2
        self.sent = datetime.now(UTC)
        self.became: list[tuple[str, float | None]] = []
        self._events = events

    def events(self) -> list[ObjectEvent]:
        if self._events is None:
            raise ServiceError("INVALID_EVENT", "This is no event.")
        return self._events

    async def done(self) -> None:
        self.became.append(("done", None))

    async def again(self, delay: float | None = None) -> None:
        self.became.append(("again", delay))


class Worker:
    """Settles what it is given, after raising what it was told to raise."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.settled: list[str] = []
        self.requests: list[str | None] = []
        self.trouble: dict[str, str] = {}
        self.deliveries = Deliveries(self._settle, self.trouble)

    async def _settle(self, event: ObjectEvent) -> str:
        self.requests.append(request_id.get())
        if self.errors:
            raise self.errors.pop(0)
        self.settled.append(event.name)
        return "indexed"


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited while everything was held, which takes no time here."""
    waited: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        waited.append(seconds)
        await sleep(0)

    monkeypatch.setattr(module.asyncio, "sleep", note)
    return waited


async def test_a_message_is_done_with_when_all_its_events_are_settled() -> None:
    worker, message = Worker(), Message(EVENTS)
    await worker.deliveries.see_to(message)
    assert (worker.settled, message.became) == (["a.md", "b.md"], [("done", None)])


async def test_a_message_without_events_is_done_with() -> None:
    worker, message = Worker(), Message([])
    await worker.deliveries.see_to(message)
    assert (worker.settled, message.became) == ([], [("done", None)])


async def test_a_message_that_is_no_event_comes_again_until_it_is_a_dead_letter(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker, message = Worker(), Message(None)
    await worker.deliveries.see_to(message)
    assert message.became == [("again", None)]
    assert "dead letter" in caplog.text
    assert worker.trouble == {}


@pytest.mark.parametrize(
    ("error", "delay"),
    [(Transient("busy"), None), (Transient("busy", retry_after=7.5), 7.5), (Throttled("busy"), None)],
)
async def test_a_message_comes_again_when_what_it_needs_is_busy(error: Transient, delay: float | None) -> None:
    worker, message = Worker(error), Message(EVENTS)
    await worker.deliveries.see_to(message)
    assert (worker.settled, message.became) == ([], [("again", delay)])
    assert worker.trouble == {}


async def test_a_message_that_fails_for_no_known_reason_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    worker, message = Worker(ZeroDivisionError()), Message(EVENTS)
    await worker.deliveries.see_to(message)
    assert message.became == [("again", None)]
    assert "ZeroDivisionError" in caplog.text


async def test_while_the_operator_is_needed_a_message_is_held_and_then_goes_on(
    waited: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    worker, message = Worker(*[Misconfigured("The key is wrong.")] * 7), Message(EVENTS)
    await worker.deliveries.see_to(message)
    assert waited == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]
    assert (worker.settled, message.became) == (["a.md", "b.md"], [("done", None)])
    assert worker.trouble == {}
    assert [record.getMessage() for record in caplog.records] == [
        "Indexing has stopped, and nothing is lost: The key is wrong.",
        "Indexing goes on.",
    ]


async def test_the_health_check_is_told_while_messages_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, message = Worker(Misconfigured("The key is wrong."), Misconfigured("The store is full.")), Message(EVENTS)
    told: list[str] = []

    async def note(seconds: float) -> None:
        told.append(worker.trouble[INGEST])

    monkeypatch.setattr(module.asyncio, "sleep", note)
    await worker.deliveries.see_to(message)
    assert told == ["Indexing has stopped: The key is wrong.", "Indexing has stopped: The store is full."]
    assert worker.trouble == {}


async def test_a_held_message_whose_needs_are_then_only_busy_comes_again(waited: list[float]) -> None:
    worker, message = Worker(Misconfigured("The key is wrong."), Transient("busy", retry_after=3)), Message(EVENTS)
    await worker.deliveries.see_to(message)
    assert message.became == [("again", 3)]


async def test_messages_that_were_held_together_all_go_on(
    waited: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(*[Misconfigured("The key is wrong.")] * 20)
    messages = [Message(EVENTS[:1], name=str(n)) for n in range(5)]
    await asyncio.gather(*(worker.deliveries.see_to(message) for message in messages))
    assert [message.became for message in messages] == [[("done", None)]] * 5
    assert worker.trouble == {}
    assert caplog.text.count("Indexing has stopped") == caplog.text.count("Indexing goes on") == 1


async def test_a_message_that_is_held_when_the_server_stops_is_given_back_at_once() -> None:
    worker, message = Worker(Misconfigured("The key is wrong.")), Message(EVENTS)
    task = asyncio.create_task(worker.deliveries.see_to(message))
    while not worker.trouble:  # noqa: ASYNC110 (there is nothing else to wait for)
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert message.became == [("again", 0)]


async def test_log_lines_of_a_message_carry_its_id() -> None:
    before = request_id.get()
    worker = Worker(Transient("busy"))
    await worker.deliveries.see_to(Message(EVENTS[:1], name="7"))
    await worker.deliveries.see_to(Message(EVENTS[:1], name="8"))
    assert worker.requests == ["message-7", "message-8"]
    assert request_id.get() == before
