"""Exchange the Gemini key: one operation that looks at what there is and does what is next, safe to stop and to repeat.

A version of the secret that has grown old gets a successor: a key is made, tried, and stored as a new version, which
the functions read within a minute. Once that has lasted for the grace period, whatever it replaced is deleted. The id
of a new key follows from the version that it succeeds: whoever comes again, or at the same time, finds the same key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from shared.failures import Misconfigured, Transient

EARLY = timedelta(days=1)
"""How much before its time a key is exchanged, so that the message that it is due never comes too early."""
PATIENCE = timedelta(hours=1)
"""How long a new key may take until it works."""
ATTEMPTS = 5
"""How many keys are made for one exchange, each when the one before never worked."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the Gemini API that was made here; `text` is the secret, empty once the key is deleted."""

    id: str
    text: str = field(repr=False)
    created: datetime
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the secret that can be read."""

    number: int
    created: datetime


class KeyRing(Protocol):
    """The keys that were made here (API Keys API)."""

    def every(self) -> list[Key]:
        """All, with those that were deleted lately. Raises DependencyFailure."""

    def create(self, key_id: str) -> Key:
        """Make a key for the Gemini API alone; where there is one of this id, it is that. Raises DependencyFailure."""

    def delete(self, key_id: str) -> None:
        """Delete a key, unless it is deleted already. Raises DependencyFailure."""


class Vault(Protocol):
    """The versions of the secret (Secret Manager)."""

    def versions(self) -> list[Version]:
        """Those that can be read, newest first. Raises DependencyFailure."""

    def read(self, number: int) -> str:
        """The key that a version holds. Raises DependencyFailure."""

    def add(self, text: str) -> Version:
        """Store a key as the newest version. Raises DependencyFailure."""

    def destroy(self, number: int) -> None:
        """End a version, unless it has ended already. Raises DependencyFailure."""


class Gemini(Protocol):
    """The Gemini API, asked with a key."""

    def stores(self, text: str) -> frozenset[str] | None:
        """Some stores that the key sees; None where Gemini refuses it. Raises Transient."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What keys are called, after how long they are exchanged, and how long the old one goes on beside the new one."""

    name: str
    period: timedelta
    grace: timedelta


@dataclass(slots=True)
class Done:
    """What was done: ids of keys, numbers of versions."""

    made: str | None = None
    version: int | None = None
    deleted: list[str] = field(default_factory=list)
    destroyed: list[int] = field(default_factory=list)


def rotate(ring: KeyRing, vault: Vault, gemini: Gemini, rules: Rules, now: datetime, *, at_once: bool = False) -> Done:
    """Exchange the key where it is due, or `at_once`, and delete what a key replaced long enough ago.

    Raises DependencyFailure: Transient where it has only to be tried again.
    """
    done = Done()
    versions = vault.versions()
    newest = versions[0] if versions else None
    if newest is None or at_once or now - newest.created >= rules.period - EARLY:
        _exchange(ring, vault, gemini, rules, newest, now, done)
    elif now - newest.created >= rules.grace:
        _clear(ring, vault, gemini, versions, done)
    return done


def _exchange(
    ring: KeyRing, vault: Vault, gemini: Gemini, rules: Rules, newest: Version | None, now: datetime, done: Done
) -> None:
    key = ring.create(_next_id(ring.every(), f"{rules.name}-gemini-{newest.number + 1 if newest else 1}"))
    seen = gemini.stores(key.text)
    if seen is None and now - key.created < PATIENCE:
        raise Transient(f"The new key {key.id} does not work yet.")
    before = gemini.stores(vault.read(newest.number)) if newest else None
    if seen is None or (before and not before & seen):
        ring.delete(key.id)
        problem = "never worked" if seen is None else "is of another Gemini project than the one in use"
        raise Misconfigured(f"The new key {key.id} {problem}, and was deleted.")
    done.made, done.version = key.id, vault.add(key.text).number


def _next_id(keys: list[Key], first: str) -> str:
    deleted = {key.id for key in keys if key.deleted}
    for candidate in (first, *(f"{first}-{number}" for number in range(2, ATTEMPTS + 1))):
        if candidate not in deleted:
            return candidate
    raise Misconfigured(f"{ATTEMPTS} new keys did not work. Make one by hand, and store it as a version of the secret.")


def _clear(ring: KeyRing, vault: Vault, gemini: Gemini, versions: list[Version], done: Done) -> None:
    newest, *older = versions
    current = vault.read(newest.number)
    replaced = [key for key in ring.every() if not key.deleted and key.created < newest.created and key.text != current]
    if not older and not replaced:
        return
    if gemini.stores(current) is None:
        raise Misconfigured("Gemini refuses the key in use, so that nothing older is deleted.")
    for key in replaced:
        ring.delete(key.id)
        done.deleted.append(key.id)
    for version in older:
        vault.destroy(version.number)
        done.destroyed.append(version.number)
