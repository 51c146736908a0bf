"""What may happen to reconcile, in any order: hypothesis draws the schedules, `tests/simulator.py` judges them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import product
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.simulator import CONTENTS, GOOD, KINDS, LEASE_SECONDS, Process, SimDocument, World

NAMES = st.sampled_from(["x.txt", "x.txt", "hr/y.txt"])
WORKERS = 2
PICK = st.integers(0, 5)
MANY = 60
STOPS = [1, 2, 4, 8, 20, MANY, MANY, *(f"{where} {kind}" for kind in KINDS for where in ("before", "after"))]
TURN = st.sampled_from(list(product(range(WORKERS + 1), STOPS)))
FAULTS = [
    *((kind, when) for kind in KINDS for when in ("before", "after")),
    ("put", "twice"),
    ("upload", "late"),
]

Turn = tuple[int, int | str]


def happens(**drawn: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A rule after which some processes have a turn, because hypothesis leaves out whole rules in each schedule."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def happen(self: Schedule, turn: Turn, next_turn: Turn, **arguments: Any) -> None:
            function(self, **arguments)
            self.run(*turn)
            self.run(*next_turn)

        decorated: Callable[..., None] = rule(turn=TURN, next_turn=TURN, **drawn)(happen)
        return decorated

    return decorate


class Schedule(RuleBasedStateMachine):
    """One schedule, as hypothesis draws it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def teardown(self) -> None:
        try:
            if self.world.failure is None:
                self.world.finish()
        finally:
            self.world.close()

    @initialize(name=NAMES, content=st.sampled_from(GOOD))
    def begin(self, name: str, content: str) -> None:
        self.world.put(name, content)

    @happens(name=NAMES, content=st.sampled_from(GOOD))
    def put(self, name: str, content: str) -> None:
        self.world.put(name, content)

    @happens(name=NAMES, content=st.sampled_from([None, None, *CONTENTS]))
    def change(self, name: str, content: str | None) -> None:
        if content is None:
            self.world.delete(name)
        else:
            self.world.put(name, content)

    @happens(name=NAMES, author=st.sampled_from([None, "ann"]))
    def describe(self, name: str, author: str | None) -> None:
        self.world.describe(name, {"author": author} if author else {})

    @happens(name=NAMES)
    def renew(self, name: str) -> None:
        self.world.start(name, renew=True)

    @precondition(lambda self: not self.sweeping())
    @happens()
    def sweep(self) -> None:
        self.world.start(None)

    @happens(seconds=st.sampled_from([1.0, 20.0, LEASE_SECONDS + 1, LEASE_SECONDS + 1, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds

    @happens(pace=st.sampled_from(["slow", "steady", "quick"]))
    def gemini_changes_its_pace(self, pace: str) -> None:
        self.world.index.slow, self.world.index.quick = pace == "slow", pace == "quick"

    @precondition(lambda self: self.world.index.documents_now)
    @happens(picks=st.sampled_from([{0}, {1}, {0, 1, 2, 3}]))
    def gemini_indexes(self, picks: set[int]) -> None:
        for pick in picks:
            self.world.index.progress(self.document(pick))

    @precondition(lambda self: self.world.events)
    @happens(pick=PICK)
    def duplicate_event(self, pick: int) -> None:
        self.world.events.append(self.world.events[pick % len(self.world.events)])

    # From here on it is not gentle any more.

    @precondition(lambda self: self.world.events)
    @happens(pick=PICK)
    def lose_event(self, pick: int) -> None:
        self.world.gentle = False
        self.world.events.pop(pick % len(self.world.events))

    @precondition(lambda self: self.world.running)
    @happens(pick=PICK, how=st.sampled_from(["crash", "seen to crash", "cancel"]))
    def stop(self, pick: int, how: str) -> None:
        process = self.world.running[pick % len(self.world.running)]
        if how == "cancel":
            self.world.cancel(process)
        else:
            self.world.crash(process, noticed=how == "seen to crash")

    @precondition(lambda self: self.world.index.documents_now)
    @happens(pick=PICK, does=st.sampled_from(["flake", "recover", "lose"]))
    def gemini_is_odd(self, pick: int, does: str) -> None:
        getattr(self.world.index, does)(self.document(pick))

    @happens(fault=st.sampled_from(FAULTS))
    def something_fails(self, fault: tuple[str, str]) -> None:
        kind, when = fault
        self.world.faults[kind] = when

    @precondition(lambda self: self.world.late)
    @happens()
    def late_uploads_arrive(self) -> None:
        self.world.arrive()

    # Helpers

    def sweeping(self) -> bool:
        return any(process.event is None for process in self.world.running)

    def document(self, pick: int) -> SimDocument:
        documents = list(self.world.index.documents_now.values())
        return documents[pick % len(documents)]

    def run(self, pick: int, stop: int | str) -> None:
        """Let one process run for some steps or to a place; it may be a worker that begins with an event."""
        world = self.world
        choices: list[Process | None] = [*world.running]
        if world.events and len(world.running) - self.sweeping() < WORKERS:
            choices.append(None)
        if not choices:
            return
        process = choices[pick % len(choices)] or world.start(world.events.pop(pick % len(world.events)))
        for _ in range(stop if isinstance(stop, int) else MANY):
            if process not in world.running:
                return
            world.step(process)
            if process.at == stop:
                return


SETTINGS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    stateful_step_count=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
