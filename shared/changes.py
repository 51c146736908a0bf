"""The log of changes: a line for each change that a request made, with who asked for it and from where."""

from __future__ import annotations

import logging
from typing import Literal

from starlette.requests import Request

from shared.access import caller
from shared.secret import without_keys

log = logging.getLogger(__name__)

Change = Literal[
    "document uploaded",
    "document deleted",
    "document retried",
    "store created",
    "store deleted",
    "store reindexed",
    "key created",
    "key revoked",
    "sweep with all deletions",
]


def log_change(request: Request, change: Change, target: str) -> None:
    """Log a change that a request made to `target`: an object, a store, or a key by its id and name."""
    target = without_keys(target)
    log.info("%s: %r", change, target, extra={"change": change, "target": target, **sender_of(request)})


def sender_of(request: Request) -> dict[str, str | None]:
    """The caller and the address of a request, as fields of a log line; None for what is not known.

    The address is that of the connection, or what a trusted proxy says (flamehaven/proxies.py).
    """
    label = without_keys(caller.get().label)
    return {"caller": label or None, "address": request.client.host if request.client else None}
