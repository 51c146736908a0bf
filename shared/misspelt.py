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
CLOSE = 0.85
"""How alike two names are, from 0 to 1 (difflib's ratio), of which one is the other misspelt."""
KUBERNETES = re.compile(r"\w+_(SERVICE_(HOST|PORT)\w*|PORT(_\d+_\w+)?)")
"""Variables that Kubernetes sets for each service ("Accessing the Service: Environment Variables")."""


def misspelt(environment: Iterable[str]) -> list[str]:
    """A sentence about each variable that was probably meant for a setting; other programs' variables get none."""
    settings = sorted({*(name.upper() for name in Settings.model_fields), "GOOGLE_API_KEY"})
    known = {*settings, *COMMAND}
    shorter = {name: setting for setting in reversed(settings) for name in _shorter(setting)}

    def meant(name: str, close: float) -> list[str]:
        """The setting that a name stands for: with the prefix or a word too many or too few, else the nearest."""
        longer = name.removeprefix(PREFIX) if name.removeprefix(PREFIX) in known else shorter.get(name)
        return [longer] if longer else get_close_matches(name, sorted(known), n=1, cutoff=close)

    def looks_like_ours(name: str) -> bool:
        if name in known or KUBERNETES.fullmatch(name):
            return False
        return name.startswith(PREFIX) or bool(meant(name, CLOSE))

    ours = [name for name in sorted(environment) if looks_like_ours(name.upper())]
    return [_sentence(name, meant(name.upper(), 0.6)) for name in ours]


def _shorter(setting: str) -> list[str]:
    """A setting without one of its words, such as `GEMINI_KEY`, but not the first: many programs have an `API_KEY`."""
    first, *others = setting.removeprefix(PREFIX).split("_")
    shorter = ["_".join((first, *others[:index], *others[index + 1 :])) for index in range(len(others))]
    return [name for name in (*shorter, setting.removeprefix(PREFIX)) if "_" in name]


def _sentence(name: str, meant: list[str]) -> str:
    question = f" Did you mean {meant[0]}?" if meant else ""
    return f"{name} is not a setting, and is ignored.{question} docs/settings.md lists all settings."
