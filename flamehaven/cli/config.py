"""`flamehaven config`: the settings that are in effect on this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flamehaven.cli.command import AsJson, command
from flamehaven.cli.output import complain, print_json, table

if TYPE_CHECKING:
    from shared.settings import Settings

HIDDEN = "********"


@command
def config(as_json: AsJson = False) -> None:
    """Show the settings of this machine."""
    from shared.misspelt import misspelt
    from shared.settings import settings

    found = settings()
    for sentence in misspelt(os.environ):
        complain(sentence)
    rows = [
        {"name": name.upper(), "value": shown(found, name), "from": _source(found, name)}
        for name in type(found).model_fields
    ]
    if as_json:
        print_json({"settings": rows})
    else:
        table(("setting", "value", "from"), [tuple(row.values()) for row in rows])


def shown(settings: Settings, name: str) -> Any:
    """The value of a setting, as JSON has it, without any secret."""
    from pydantic import SecretStr

    if isinstance(secret := getattr(settings, name), SecretStr):
        return HIDDEN if secret.get_secret_value() else ""
    value = settings.model_dump(mode="json")[name]
    user = urlsplit(value).netloc.rpartition("@")[0] if isinstance(value, str) else ""
    return value.replace(f"{user}@", f"{HIDDEN}@", 1) if user else value


def _source(settings: Settings, name: str) -> str:
    return "environment" if name in settings.model_fields_set else "default"
