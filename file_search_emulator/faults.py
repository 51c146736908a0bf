"""Faults that were asked for: which calls go wrong, how often and how; the same ones each time."""

from __future__ import annotations

import json
import random
import threading
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Fault = Literal[
    "answer",
    "delay",
    "drop",
    "truncate",
    "lose_answer",
    "invalid_key",
    "stuck",
    "fail",
    "fail_then_recover",
    "blocked_prompt",
    "empty_text",
    "no_grounding",
]
_CALLS: dict[str, tuple[str, ...]] = {
    "stuck": ("uploadToFileSearchStore.upload.bytes", "fileSearchStores.importFile"),
    "fail": ("uploadToFileSearchStore.upload.bytes", "fileSearchStores.importFile"),
    "fail_then_recover": ("uploadToFileSearchStore.upload.bytes", "fileSearchStores.importFile"),
    "blocked_prompt": ("models.generateContent", "models.streamGenerateContent"),
    "empty_text": ("models.generateContent", "models.streamGenerateContent", "interactions.create"),
    "no_grounding": ("models.generateContent", "models.streamGenerateContent", "interactions.create"),
}
"""The calls that some faults can happen to; the others can happen to any."""
_INVALID_KEY = {
    "error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            }
        ],
    }
}


class Rule(BaseModel):
    """Some calls that go wrong."""

    model_config = ConfigDict(extra="forbid")

    call: str = "*"
    """The name of the call, as in docs/emulator.md; `*` stands for any part of it."""
    key: str = ""
    """The API key of the calls; any, where it is not given."""
    fault: Fault
    skip: Annotated[int, Field(ge=0)] = 0
    """How many such calls go well before the first that may not."""
    times: Annotated[int, Field(ge=1)] | None = None
    """How many go wrong; all, where it is not given."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """How many of those calls go wrong, as a share."""
    seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """To wait first, with any fault; with `fail_then_recover`, until it is ACTIVE."""
    status: Annotated[int, Field(ge=200, le=599)] = 503
    body: dict[str, Any] | list[Any] | str = ""
    headers: dict[str, str] = {}
    length: Annotated[int, Field(ge=0)] = 20
    """How many bytes of the answer arrive before it is truncated."""
    message: str = "Failed to count tokens."
    """The error of an operation that fails."""

    @model_validator(mode="after")
    def _can_happen(self) -> Self:
        calls = _CALLS.get(self.fault)
        if calls and not any(fnmatchcase(call, self.call) for call in calls):
            raise ValueError(f"fault {self.fault!r} can only happen to {' or '.join(calls)}")
        return self

    def can_happen_to(self, call: str, key: str) -> bool:
        """Whether this rule is about a call that comes with this API key."""
        is_meant = fnmatchcase(call, self.call) and self.key in ("", key)
        return is_meant and (self.fault not in _CALLS or call in _CALLS[self.fault])

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """What is answered in place of the work: status, headers and body."""
        if self.fault == "invalid_key":
            return 400, {"content-type": "application/json"}, json.dumps(_INVALID_KEY).encode()
        if isinstance(self.body, str):
            return self.status, {"content-type": "text/plain", **self.headers}, self.body.encode()
        return self.status, {"content-type": "application/json", **self.headers}, json.dumps(self.body).encode()


class Rules(BaseModel):
    """All that goes wrong; of several rules for one call the first counts."""

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    rules: Annotated[list[Rule], Field(max_length=100)] = []


class RulesError(Exception):
    """The rules cannot be used; the message says why."""


def read_rules(path: Path) -> Rules:
    """The rules in a file. Raises RulesError."""
    try:
        return Rules.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RulesError(f"The fault rules {path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RulesError(f"The fault rules {path} are not right at '{place}': {first['msg']}.") from None


class Faults:
    """The rules of one process, and how often each has met a call. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.set(Rules())

    def set(self, rules: Rules) -> None:
        """Put these rules in the place of the others, and count from the beginning."""
        with self._lock:
            self._rules = rules
            self._chances = [random.Random(f"{rules.seed}/{place}") for place in range(len(rules.rules))]  # noqa: S311 (no secret)
            self._met = [0] * len(rules.rules)
            self._happened = [0] * len(rules.rules)

    @property
    def any(self) -> bool:
        """Whether there are any rules."""
        return bool(self._rules.rules)

    def next(self, call: str, key: str = "") -> Rule | None:
        """The rule by which this call goes wrong, if it does."""
        with self._lock:
            for place, rule in enumerate(self._rules.rules):
                if rule.can_happen_to(call, key) and self._happens(place, rule):
                    return rule
        return None

    def described(self) -> dict[str, Any]:
        """The rules, and of each how many calls it was asked about, and how many went wrong."""
        with self._lock:
            return {
                "seed": self._rules.seed,
                "rules": [
                    rule.model_dump(exclude_unset=True) | {"met": met, "happened": happened}
                    for rule, met, happened in zip(self._rules.rules, self._met, self._happened, strict=True)
                ],
            }

    def _happens(self, place: int, rule: Rule) -> bool:
        self._met[place] += 1
        if self._met[place] <= rule.skip or (rule.times is not None and self._happened[place] >= rule.times):
            return False
        if self._chances[place].random() >= rule.share:
            return False
        self._happened[place] += 1
        return True
