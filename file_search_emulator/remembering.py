"""What was computed for a word is remembered, within bounds: documents choose how many and how long words are."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

Result = TypeVar("Result")

LONGEST = 24
"""Characters of a word that is remembered: longer ones are rare, and their results are large."""
MOST = 20_000
"""Words that are remembered; the least recently used is forgotten first."""


def remembering(work: Callable[[str], Result]) -> Callable[[str], Result]:
    """The same function of a word, with a cache for short words."""
    known = lru_cache(maxsize=MOST)(work)

    @wraps(work)
    def remembered(word: str) -> Result:
        return (known if len(word) <= LONGEST else work)(word)

    return remembered
