"""Objects that were begun and must be looked at again soon, listed so that nobody has to search the records for them.

An event about such an object is acknowledged, because bringing it back would make a dead letter of a document that only
takes long. The small sweep (`sweep?unfinished=true`, once a minute) sees to what is on the list.
"""

from __future__ import annotations

from shared.buckets import Bucket, ObjectNotFound, PreconditionFailed
from shared.names import digest_of


class Unfinished:
    """The list, in the state bucket under `unfinished/`: one object for each name."""

    PREFIX = "unfinished/"

    def __init__(self, state: Bucket) -> None:
        self._state = state

    async def add(self, name: str) -> None:
        """Put the object `name` on the list; once is enough."""
        await self._state.put(self._place(name), name.encode())

    async def remove(self, name: str) -> None:
        """Take the object `name` off the list."""
        await self._state.delete(self._place(name))

    async def names(self) -> list[str]:
        """The names on the list."""
        places = [info.name async for info in self._state.list(self.PREFIX)]
        return [name for place in places if (name := await self._read(place)) is not None]

    async def _read(self, place: str) -> str | None:
        try:
            async with self._state.open(place) as reader:
                return b"".join([part async for part in reader]).decode()
        except (ObjectNotFound, PreconditionFailed):
            return None

    def _place(self, name: str) -> str:
        return f"{self.PREFIX}{digest_of(name)}"
