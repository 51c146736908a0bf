"""The kinds of failure that a bucket or Gemini can have, by what has to happen next.

DependencyFailure
├── Transient     try again later: the event is not acknowledged
│   └── Throttled it was refused for its rate, so nothing was done, and it can be sent again as it is
├── Misconfigured the key, a quota or a model is wrong: nobody's document is to blame, an operator must act
├── NewerSchema   a newer version of the program wrote this object of the state bucket: it is neither used nor replaced
└── Permanent     this file will never be indexed as it is: its record says why
"""

from __future__ import annotations


class DependencyFailure(Exception):
    """A bucket or Gemini did not do what it was asked to."""


class Transient(DependencyFailure):
    """It may work when tried again, after `retry_after` seconds where the server named a time."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Throttled(Transient):
    """It came too soon after others; nothing was done."""


class Misconfigured(DependencyFailure):
    """No call will work until an operator changes a key, a quota or a setting."""


class NotThere(Misconfigured):
    """Gemini has nothing of that name: for some calls that is an answer, for others a store or a model is gone."""


class NewerSchema(DependencyFailure):
    """A newer version of the program wrote this object of the state bucket; this version leaves it as it is."""


class Permanent(DependencyFailure):
    """This file cannot be indexed; `code` is stable, the message says what its owner can do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
