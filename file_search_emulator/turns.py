"""Whose document is next."""

from __future__ import annotations

from collections.abc import Mapping


class Turns:
    """Gives each store its turn before any has another, however many documents wait in it."""

    def __init__(self) -> None:
        self._turn = 0
        self._last: dict[int, tuple[int, int]] = {}

    def next(self, first: Mapping[int, int]) -> int | None:
        """The next document, of the first that waits in each store; None where none waits."""
        if not first:
            return None
        self._turn += 1
        newcomer = (self._turn - 1, 0)  # before the store whose turn it was
        self._last = {store: self._last.get(store, newcomer) for store in first}
        store = min(first, key=lambda each: (self._last[each], first[each]))
        self._last[store] = (self._turn, 1)
        return first[store]
