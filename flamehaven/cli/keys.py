"""`flamehaven keys`: make, list and revoke API keys, on a server or on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from flamehaven.cli.command import AsJson, Key, ListByDefault, Url, command, with_client
from flamehaven.cli.output import print_json, say, table

app = typer.Typer(cls=ListByDefault, rich_markup_mode=None, help="API keys: who may do what, in which stores.")


@app.command("list")
@command
def list_(url: Url = "", key: Key = "", as_json: AsJson = False) -> None:
    """List the keys; none is ever shown whole again."""
    found = with_client(url, key, lambda client: client.keys())
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    rows = [
        (
            each.id,
            each.name,
            ", ".join(each.scopes),
            "all" if each.stores is None else ", ".join(each.stores),
            each.created.isoformat(timespec="seconds"),
            each.expires.isoformat(timespec="seconds") if each.expires else "never",
            "active" if each.active else "revoked" if each.revoked else "expired",
        )
        for each in found.keys
    ]
    if rows:
        table(("id", "name", "scopes", "stores", "created", "expires", "state"), rows)
    else:
        say("There are no keys.")


@app.command()
@command
def create(
    name: Annotated[str, typer.Argument(help="Whose it is, or what for.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="search, upload, manage or admin; may be repeated. [search]")
    ] = None,
    store: Annotated[list[str] | None, typer.Option(help="A store that exists for it; may be repeated. [all]")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="How long it is valid. [for ever]")] = None,
    rate: Annotated[
        int | None, typer.Option(min=1, help="Requests of each kind in a minute. [the server's limits]")
    ] = None,
    daily_tokens: Annotated[
        int | None, typer.Option(min=1, help="Gemini tokens in 24 hours. [the server's budget]")
    ] = None,
    url: Url = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once."""
    asked = {
        "name": name,
        "scopes": scope or ["search"],
        "stores": store or None,
        "expires_in_days": days,
        "rate_limit_per_minute": rate,
        "daily_tokens": daily_tokens,
    }
    made = with_client(url, key, lambda client: client.create_key(asked), makes=True)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        say(made.key)


@app.command()
@command
def revoke(
    id: Annotated[str, typer.Argument(help="The key's id, the 12 characters after sk_live_.")],
    url: Url = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """End a key; within seconds it opens nothing any more."""
    revoked = with_client(url, key, lambda client: client.revoke_key(id))
    if as_json:
        print_json(revoked.model_dump(mode="json"))
    else:
        say(f"Key {revoked.id} ({revoked.name}) is revoked.")
