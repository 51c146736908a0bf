"""The `flamehaven` command. Each command imports what it needs only when it runs."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from flamehaven.cli import dead_letters, documents, keys, stores
from flamehaven.cli.config import config
from flamehaven.cli.ingest import ingest
from flamehaven.cli.reconcile import reconcile
from flamehaven.cli.search import search
from flamehaven.cli.serve import emulator, serve
from shared.logs import product_version

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Flamehaven FileSearch. Commands work on this machine, or with --url on a server.",
)
app.command()(ingest)
app.command()(search)
app.add_typer(documents.app, name="documents")
app.add_typer(stores.app, name="stores")
app.command()(reconcile)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(keys.app, name="keys")
app.command()(config)
app.command()(serve)
app.command()(emulator)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flamehaven {product_version()}")
        raise typer.Exit


@app.callback()
def flamehaven(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Take the options of the command itself."""


def main() -> None:
    """Run the `flamehaven` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no text
    app(prog_name="flamehaven")


def serve_main() -> None:
    """Run the `flamehaven-api` command: `flamehaven serve` under the original's name."""
    sys.argv[1:1] = ["serve"]
    app(prog_name="flamehaven-api")
