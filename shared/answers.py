"""Answers that can be given again: kept for a time, and only for as long as no document of their stores changes.

Every change of what can be found ends in the write of a record, which calls `changed`. That gives the store another
mark, and answers are kept under the marks that their stores had before the question was put to Gemini. Marks are
random, so that one that was lost never comes back.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cachetools import TTLCache

from shared.metrics import CACHE_SIZE
from shared.names import digest_of


class Answers(Protocol):
    """Where answers are kept."""

    async def mark(self, stores: Sequence[str]) -> str | None:
        """What to keep and get answers from these stores by; None where none can be kept.

        Ask for it before the question is put to Gemini.
        """

    async def get(self, mark: str | None, question: str) -> str | None:
        """The answer that is kept, or None."""

    async def keep(self, mark: str | None, question: str, answer: str) -> None:
        """Keep an answer that was made after `mark` was given."""

    async def changed(self, store: str) -> None:
        """End all answers from a store, in every process."""

    async def aclose(self) -> None:
        """End what is still to be done."""


class NoAnswers:
    """Keeps none: nothing here would tell this process of what another changed."""

    async def mark(self, stores: Sequence[str]) -> str | None:
        return None

    async def get(self, mark: str | None, question: str) -> str | None:
        return None

    async def keep(self, mark: str | None, question: str, answer: str) -> None:
        return None

    async def changed(self, store: str) -> None:
        return None

    async def aclose(self) -> None:
        return None


class FolderMarks:
    """The marks of stores as files, for all processes of a machine.

    They are not synced to the disk: after a power cut no process is left that keeps an answer.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, stores: Sequence[str]) -> str:
        """The marks of the stores."""
        return " ".join([self._read(store) for store in stores])

    async def change(self, store: str) -> None:
        """Give a store another mark."""
        await asyncio.to_thread(self._change, store)

    def _read(self, store: str) -> str:
        try:
            return self._place(store).read_text()
        except FileNotFoundError:
            return "new"

    def _change(self, store: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self._folder, prefix=".", delete=False) as file:
            file.write(secrets.token_hex(8))
        Path(file.name).replace(self._place(store))

    def _place(self, store: str) -> Path:
        return self._folder / digest_of(store)


class FolderAnswers:
    """Answers of this process, which all processes of the machine end together."""

    def __init__(self, marks: FolderMarks, *, ttl: float, size: int) -> None:
        self._marks = marks
        self._kept: TTLCache[tuple[str, str], str] = TTLCache(size, ttl)

    async def mark(self, stores: Sequence[str]) -> str | None:
        return self._marks.read(stores) if self._kept.ttl else None

    async def get(self, mark: str | None, question: str) -> str | None:
        return self._kept.get((mark, question)) if mark is not None else None

    async def keep(self, mark: str | None, question: str, answer: str) -> None:
        if mark is not None:
            self._kept[mark, question] = answer
            CACHE_SIZE.set(self._kept.currsize, "search")

    async def changed(self, store: str) -> None:
        await self._marks.change(store)

    async def aclose(self) -> None:
        return None
