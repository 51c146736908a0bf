"""Objects that were begun and must be looked at again soon, listed so that nobody has to search the records for them.

An event about such an object is acknowledged, because bringing it back would make a dead letter of a document that only
takes long. The small sweep (`sweep?unfinished=true`, once a minute) sees to what is on the list.
"""

from __future__ import annotations

from shared.buckets import Bucket, ObjectInfo
from shared.names import digest_of
from shared.state.collection import read, read_each


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

        async def load(info: ObjectInfo) -> str | None:
            entry = await read(self._state, info.name)
            return entry.data.decode() if entry else None

        return [name async for name in read_each(self._state, self.PREFIX, load)]

    def _place(self, name: str) -> str:
        return f"{self.PREFIX}{digest_of(name)}"
