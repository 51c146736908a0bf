"""`flamehaven reconcile`: compare the bucket and the index, and repair where they differ."""

from __future__ import annotations

from typing import Annotated

import typer

from flamehaven.cli.command import AsJson, Key, Url, command, with_client
from flamehaven.cli.output import complain, print_json, say, waiting


@command
def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what differs, and change nothing.")] = False,
    store: Annotated[str | None, typer.Option(help="Only the documents of this store.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Take out what the bucket lacks, even if that is most of a store.")
    ] = False,
    url: Url = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Repair what events missed.

    That is documents which are not indexed, stale, half done or gone.
    """
    with waiting("Reconciling"):
        report = with_client(url, key, lambda client: client.reconcile(store=store, dry_run=dry_run, yes=yes))
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(report.outcomes.items()))
        say(f"{report.objects:,} documents in {report.seconds:.1f} s: {outcomes or 'nothing to do'}.")
        for name in report.unsettled:
            say(name, indent=4)
    for name, count in report.refused.items():
        complain(
            f"The bucket lacks {count:,} documents of store {name!r}, which is most of it: they stay in the index. Is "
            "it the right bucket? If they are to go, give --yes."
        )
    if "error" in report.outcomes or report.refused:
        raise typer.Exit(1)
