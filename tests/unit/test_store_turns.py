"""Stores take turns in the emulator's queue."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from file_search_emulator.turns import Turns


def test_nothing_waits() -> None:
    assert Turns().next({}) is None


def test_a_store_with_one_document_waits_for_one_of_another_store() -> None:
    turns = Turns()
    assert turns.next({1: 10}) == 10
    assert turns.next({1: 11, 2: 99}) == 99
    assert turns.next({1: 11}) == 11


@given(st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=40))
def test_no_store_has_two_turns_while_another_waits(waiting: list[set[int]]) -> None:
    """`waiting` are the stores in which documents wait at each turn."""
    turns = Turns()
    served = [turns.next({store: store for store in stores}) for stores in waiting]
    for store in set().union(*waiting):
        others: list[int | None] = []
        for stores, chosen in zip(waiting, served, strict=True):
            others = [*others, chosen] if store in stores and chosen != store else []
            assert len(others) == len(set(others)), f"store {store} waited while another had two turns"
