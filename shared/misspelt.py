"""Variables of the environment that look like settings and are none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from shared.settings import Settings

PREFIX = "FLAMEHAVEN_"
"""Variables that start so are meant for this program."""
COMMAND = ("FLAMEHAVEN_URL", "FLAMEHAVEN_API_KEY")
"""Variables that only the `flamehaven` command reads."""
CLOSE = 0.88
"""How alike two names are, from 0 to 1 (difflib's ratio), of which one is the other misspelt."""
KUBERNETES = re.compile(r"\w+_(SERVICE_(HOST|PORT)\w*|PORT(_\d+_\w+)?)")
"""Variables that Kubernetes sets for each service ("Accessing the Service: Environment Variables")."""


def misspelt(environment: Iterable[str]) -> list[str]:
    """A sentence about each variable that was probably meant for a setting; other programs' variables get none."""
    known = {*(name.upper() for name in Settings.model_fields), "GOOGLE_API_KEY", *COMMAND}
    return [_sentence(name, known) for name in sorted(environment) if _looks_like_ours(name.upper(), known)]


def _looks_like_ours(name: str, known: set[str]) -> bool:
    if name in known or KUBERNETES.fullmatch(name):
        return False
    return name.startswith(PREFIX) or bool(get_close_matches(name, known, n=1, cutoff=CLOSE))


def _sentence(name: str, known: set[str]) -> str:
    meant = get_close_matches(name.upper(), sorted(known), n=1)
    question = f" Did you mean {meant[0]}?" if meant else ""
    return f"{name} is not a setting, and is ignored.{question} docs/settings.md lists all settings."
