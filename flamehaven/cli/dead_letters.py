"""`flamehaven dead-letters`: messages that the queue delivered as often as it may, to look at, send again or drop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from flamehaven.cli.command import AsJson, ListByDefault, command
from flamehaven.cli.output import complain, print_json, say, table

if TYPE_CHECKING:
    from flamehaven.queues.dead_letters import DeadLetter, DeadLetters

T = TypeVar("T")

LIMIT = 1000
"""The most dead letters that one command takes."""

app = typer.Typer(
    cls=ListByDefault, rich_markup_mode=None, help="Messages of the queue at EVENTS_URL that were delivered too often."
)

Chosen = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which ones. [all]")]


@app.command("list")
@command
def list_(as_json: AsJson = False) -> None:
    """List the dead letters."""

    async def take(dead: DeadLetters) -> list[DeadLetter]:
        letters = await dead.take(LIMIT)
        for letter in letters:
            await dead.release(letter)
        return letters

    letters = _with_dead_letters(take)
    if as_json:
        print_json([letter.model_dump(mode="json") for letter in letters])
    elif letters:
        rows = [(each.id, ", ".join(each.objects) or "(no event)", each.deliveries, each.sent) for each in letters]
        table(("id", "objects", "deliveries", "sent"), rows)
    else:
        say("There are no dead letters.")


@app.command()
@command
def replay(ids: Chosen = None) -> None:
    """Send dead letters to the queue once more, as the cause is mended."""
    done = _with_dead_letters(lambda dead: _each(dead, ids, dead.replay))
    say(f"{done:,} dead letters are sent again.")


@app.command()
@command
def drop(
    ids: Chosen = None, yes: Annotated[bool, typer.Option("--yes", help="Do not ask before dropping all.")] = False
) -> None:
    """Forget dead letters. What they speak of is still found by the next sweep."""
    if not ids and not yes and not typer.confirm("Drop all dead letters?", err=True):
        complain("Nothing was dropped.")
        raise typer.Exit(1)
    done = _with_dead_letters(lambda dead: _each(dead, ids, dead.drop))
    say(f"{done:,} dead letters are dropped.")


async def _each(dead: DeadLetters, ids: list[str] | None, act: Callable[[DeadLetter], Awaitable[None]]) -> int:
    """Do it with those that are chosen, and leave the others; returns how many were found."""
    letters, done = await dead.take(LIMIT), 0
    for letter in letters:
        chosen = not ids or letter.id in ids
        await (act if chosen else dead.release)(letter)
        done += chosen
    for missing in sorted(set(ids or ()) - {letter.id for letter in letters}):
        complain(f"There is no dead letter {missing!r}.")
    if ids and done < len(set(ids)):
        raise typer.Exit(1)
    return done


def _with_dead_letters(work: Callable[[DeadLetters], Awaitable[T]]) -> T:
    from flamehaven.queues import open_queue
    from shared.errors import ServiceError
    from shared.settings import settings

    address = settings().events_url
    if not address:
        raise ServiceError("CONFIGURATION_ERROR", "EVENTS_URL is empty: set it to the queue that is meant.")

    async def run() -> T:
        queue = open_queue(address)
        try:
            return await work(await queue.dead_letters())
        finally:
            await queue.aclose()

    return asyncio.run(run())
