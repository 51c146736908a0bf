"""Adds to locks a line without extras, and one for each extra: `scripts/lock_extras.py LOCK...`. scripts/lock calls it.

pip before 23.3 takes `name` and `name[extra]` for two packages. If a lock pins only one of them, it looks for the
newest version of the other and fails, because that has no hash. A lock that pins both holds with every pip.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ENTRY = re.compile(r"^(?P<name>[\w.-]+)\[(?P<extras>[^\]]+)\](?P<rest>==.*\n(?: .*--hash.*\n)+)", re.MULTILINE)
"""A requirement with extras, its version and its hashes."""


def with_each_extra(lock: str) -> str:
    """The text of a lock in which a package that is pinned with extras is pinned without them and with each, too."""
    return ENTRY.sub(_each, lock)


def _each(entry: re.Match[str]) -> str:
    name, rest = entry["name"], entry["rest"]
    extras = [extra.strip() for extra in entry["extras"].split(",")]
    asked = dict.fromkeys(["", *(f"[{extra}]" for extra in extras), f"[{','.join(extras)}]"])
    return "".join(f"{name}{each}{rest}" for each in asked)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(with_each_extra(path.read_text()))
