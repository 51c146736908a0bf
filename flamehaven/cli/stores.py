"""`flamehaven stores`: what stores there are, and changes to a store as a whole."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from flamehaven.cli.command import AsJson, Key, ListByDefault, Url, command, with_client
from flamehaven.cli.output import complain, print_json, say, table, waiting

if TYPE_CHECKING:
    from flamehaven.client import RequestFailed

app = typer.Typer(cls=ListByDefault, rich_markup_mode=None, help="List stores, or see to a whole store.")

Name = Annotated[str, typer.Argument(help="The store's name.", show_default=False)]


@app.command("list")
@command
def list_stores(url: Url = "", key: Key = "", as_json: AsJson = False) -> None:
    """List the stores (what `stores` alone does too)."""
    found = with_client(url, key, lambda client: client.stores())
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    rows = [
        (name, store.documents, store.indexed, store.pending, store.failed, store.size_bytes)
        for name, store in sorted(found.stores.items())
    ]
    table(("store", "documents", "indexed", "pending", "failed", "bytes"), rows)
    for store in found.stores.values():
        for problem in store.problems:
            complain(problem)


@app.command()
@command
def create(name: Name, url: Url = "", key: Key = "", as_json: AsJson = False) -> None:
    """Make a store, so that it can be searched before there is anything in it."""
    made = with_client(url, key, lambda client: client.make_store(name), makes=True)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        say(f"There is a store {name!r} now.")


@app.command()
@command
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "--force", help="Do not ask.")] = False,
    url: Url = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Delete a store with its documents. One that holds any is asked about, or needs --yes."""

    from flamehaven.client import RequestFailed

    try:
        deleted = with_client(url, key, lambda client: client.delete_store(name, force=False))
    except RequestFailed as error:
        if error.code != "RESOURCE_CONFLICT":
            raise
        _agree(name, error, agreed=yes)  # outside the client's event loop, which would keep Ctrl-C to itself
        with waiting("Deleting"):
            deleted = with_client(url, key, lambda client: client.delete_store(name, force=True))
    if as_json:
        print_json(deleted.model_dump(mode="json"))
    else:
        say(f"Store {name!r} is deleted, with {deleted.documents:,} documents.")


def _agree(name: str, conflict: RequestFailed, *, agreed: bool) -> None:
    """Say what would be deleted, and go on only if that is wanted."""
    count, size = conflict.details.get("documents", 0), conflict.details.get("size_bytes", 0)
    holds = f"Store {name!r} holds {count:,} documents ({size:,} bytes)"
    if agreed:
        typer.echo(f"{holds}.", err=True)
    elif not sys.stdin.isatty():
        complain(f"{holds}; to delete them too, give --yes.")
        raise typer.Exit(2)
    elif not typer.confirm(f"{holds}. Delete them?", err=True):
        complain("Nothing was deleted.")
        raise typer.Exit(1)


@app.command()
@command
def reindex(name: Name, url: Url = "", key: Key = "", as_json: AsJson = False) -> None:
    """Index every document of a store anew; until that is done each answers as before."""
    with waiting("Indexing"):
        begun = with_client(url, key, lambda client: client.reindex_store(name))
    if as_json:
        print_json(begun.model_dump(mode="json"))
    else:
        say(f"{begun.documents:,} documents of store {name!r} are indexed anew.")
