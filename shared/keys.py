"""API keys: random secrets of which only a hash is kept, in the state bucket under `keys/`.

A key names its record, so that checking it is one read: `sk_live_`, 12 characters of id, and 36 that are secret.
Its secret has 144 random bits, for which a plain SHA-256 is enough (a slow hash is for passwords that people choose).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime, timedelta

from cachetools import TTLCache

from shared.access import Caller, Scope
from shared.buckets import ABSENT, Bucket, ObjectInfo, PreconditionFailed
from shared.state.collection import read, read_each
from shared.state.stored import Stored

PREFIX = "sk_live_"
ID_LENGTH = 12
_ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")
_KEY = re.compile(rf"{PREFIX}({_ID.pattern})[0-9a-f]{{36}}")
REMEMBERED = 10.0
"""Seconds for which a key is not read again: so long a revoked one may still work."""
MOST = 10_000


class KeyRecord(Stored):
    """What is known of a key; never the key."""

    id: str
    name: str
    digest: str
    scopes: tuple[Scope, ...]
    stores: tuple[str, ...] | None = None
    rate_limit_per_minute: int | None = None
    daily_tokens: int | None = None
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    @property
    def prefix(self) -> str:
        """The beginning of the key, by which its owner knows it again."""
        return f"{PREFIX}{self.id}"

    @property
    def active(self) -> bool:
        return self.revoked is None and (self.expires is None or self.expires > datetime.now(UTC))

    @property
    def caller(self) -> Caller:
        stores = None if self.stores is None else frozenset(self.stores)
        return Caller(
            self.id,
            frozenset(self.scopes),
            stores,
            self.rate_limit_per_minute,
            self.daily_tokens,
            label=f"key {self.id} ({self.name})",
        )


class Keys:
    """The API keys of one deployment."""

    PLACE = "keys/"

    def __init__(self, state: Bucket) -> None:
        self._state = state
        self._known: TTLCache[str, KeyRecord | None] = TTLCache(MOST, REMEMBERED)
        self._any: TTLCache[str, bool] = TTLCache(1, REMEMBERED)

    async def create(
        self,
        name: str,
        scopes: tuple[Scope, ...],
        *,
        stores: tuple[str, ...] | None = None,
        days: int | None = None,
        rate_limit_per_minute: int | None = None,
        daily_tokens: int | None = None,
    ) -> tuple[str, KeyRecord]:
        """Make a key that is valid for so many days, or for ever; returns it, this once, and its record."""
        key_id, secret = secrets.token_hex(6), secrets.token_hex(18)
        key, now = f"{PREFIX}{key_id}{secret}", datetime.now(UTC)
        record = KeyRecord(
            id=key_id,
            name=name,
            digest=_digest(key),
            scopes=scopes,
            stores=stores,
            rate_limit_per_minute=rate_limit_per_minute,
            daily_tokens=daily_tokens,
            created=now,
            expires=now + timedelta(days=days) if days else None,
        )
        await self._state.put(self._place(key_id), record.encode(), if_generation=ABSENT)
        self._any.clear()
        return key, record

    async def every(self) -> list[KeyRecord]:
        """The records of all keys, oldest first."""

        async def load(info: ObjectInfo) -> KeyRecord | None:
            found = await self._read(info.name)
            return found[0] if found else None

        records = [record async for record in read_each(self._state, self.PLACE, load)]
        return sorted(records, key=lambda record: record.created)

    async def revoke(self, key_id: str) -> KeyRecord | None:
        """End a key; None where there is none of that id. Everywhere it ends within seconds."""
        found = await self._read(self._place(key_id)) if _ID.fullmatch(key_id) else None
        if found is None:
            return None
        record, generation = found
        if record.revoked is None:
            record = record.model_copy(update={"revoked": datetime.now(UTC)})
            data = record.encode()
            with contextlib.suppress(PreconditionFailed):  # another revoked it meanwhile: nothing else changes it
                await self._state.put(self._place(key_id), data, if_generation=generation)
        self._known.pop(key_id, None)
        return record

    async def caller(self, key: str) -> Caller | None:
        """Who has this key; None where it is none, or is revoked or expired."""
        match = _KEY.fullmatch(key)
        if match is None:
            return None
        record = await self._record(match[1])
        opens = _opens(record, key)
        return record.caller if record and opens else None

    def remembers(self, key: str) -> bool:
        """Whether this is a key that was read in the last seconds, and is good."""
        match = _KEY.fullmatch(key)
        return match is not None and _opens(self._known.get(match[1]), key)

    async def any(self) -> bool:
        """Whether any key was ever made."""
        if "any" not in self._any:
            self._any["any"] = False
            async for _ in self._state.list(self.PLACE):
                self._any["any"] = True
                break
        return self._any["any"]

    async def _record(self, key_id: str) -> KeyRecord | None:
        if key_id not in self._known:
            found = await self._read(self._place(key_id))
            self._known[key_id] = found[0] if found else None
        return self._known[key_id]

    async def _read(self, place: str) -> tuple[KeyRecord, str] | None:
        entry = await read(self._state, place)
        return (KeyRecord.decode(entry.data, place), entry.generation) if entry else None

    def _place(self, key_id: str) -> str:
        return f"{self.PLACE}{key_id}.json"


def _opens(record: KeyRecord | None, key: str) -> bool:
    """Whether a record is that of this key, and the key is good now; without a record it takes as long."""
    matches = hmac.compare_digest(record.digest if record else _digest(""), _digest(key))
    return record is not None and matches and record.active


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
