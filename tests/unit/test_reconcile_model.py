"""Thousands of schedules of workers, a sweep, a user, crashes and failures: the index must come to agree all the same.

`tests/simulator.py` says what must hold at every step; in the end, after at most one sweep, each live object has one
ACTIVE document made of its newest content, and there is no other document.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from shared.buckets import Stability
from tests.schedule import NAMES, SETTINGS, Schedule, happens


def test_the_index_comes_to_agree() -> None:
    run_state_machine_as_test(Schedule, settings=settings(SETTINGS, max_examples=100))


class WithWriters(Schedule):
    """Schedules in which objects may still be written while they are looked at."""

    @happens(name=NAMES, stability=st.sampled_from(Stability))
    def somebody_writes(self, name: str, stability: Stability) -> None:
        self.world.writing[name] = stability


def test_the_index_comes_to_agree_on_files_that_were_being_written() -> None:
    run_state_machine_as_test(WithWriters, settings=settings(SETTINGS, max_examples=30))


@pytest.mark.slow
def test_the_index_comes_to_agree_in_thousands_of_schedules() -> None:
    run_state_machine_as_test(Schedule, settings=settings(SETTINGS, max_examples=5000))
    run_state_machine_as_test(WithWriters, settings=settings(SETTINGS, max_examples=2000))
