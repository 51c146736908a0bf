"""`flamehaven search`: a question in, a cited answer out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

import typer

from flamehaven.cli.command import AsJson, Key, Url, command, with_client
from flamehaven.cli.excerpt import excerpt
from flamehaven.cli.output import console, on_terminal, print_json, printable, say, say_marked

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from flamehaven.client import Client
    from functions.search.models import Retracted, SearchAnswer, Source

DOCUMENTS = "/api/documents/"


@command
def search(
    question: Annotated[str, typer.Argument(help="What you want to know.", show_default=False)],
    store: Annotated[
        list[str] | None, typer.Option(help="A store to search; may be given again. Without it, all are.")
    ] = None,
    metadata_filter: Annotated[
        str | None, typer.Option("--filter", help="""Which documents to look at, such as 'type = "pdf"'.""")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model that answers.")] = None,
    url: Url = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Answer a question from the documents."""
    asked = {"query": question, "stores": store or [], "metadata_filter": metadata_filter, "model": model}
    if as_json:
        print_json(with_client(url, key, lambda client: client.search(asked)).model_dump(mode="json"))
    elif on_terminal():
        _show(with_client(url, key, lambda client: _watched(client, asked)))
    else:
        _show(with_client(url, key, lambda client: client.search(asked)))


async def _watched(client: Client, asked: dict[str, Any]) -> SearchAnswer:
    """The answer, which is shown while it is written; nothing of that is left on the terminal in the end."""
    from rich.live import Live

    from functions.search.models import Text

    screen, shown = console(), ""
    with Live("Searching", console=screen, auto_refresh=False, transient=True) as live:

        def show(event: Text | Retracted) -> None:
            nonlocal shown
            shown = shown + event.text if isinstance(event, Text) else ""
            live.update(_end_of(shown, screen), refresh=True)

        return await client.stream(asked, show)


def _end_of(text: str, screen: Console) -> RenderableType:
    """As much of the end of a text as the terminal has room for: what scrolled away could not be taken back."""
    from rich.text import Text

    lines = Text(printable(text)).wrap(screen, screen.width)
    return Text("\n").join(lines[-max(1, screen.height - 2) :])


def _show(answer: SearchAnswer) -> None:
    say(cited(answer))
    for number, source in enumerate(answer.sources, 1):
        say(f"\n[{number}] {_place(source)}", style="bold")
        say_marked(*excerpt(source.excerpt, _cited_from(answer, number - 1)), indent=4)
    if not answer.grounded:
        say(f"Stores searched: {', '.join(answer.stores)}")


def _cited_from(answer: SearchAnswer, source: int) -> str:
    """The parts of the answer that rest on a source; all of it where none names one."""
    parts = [answer.answer[each.start : each.end] for each in answer.citations if source in each.sources]
    return " ".join(parts) or answer.answer


def cited(answer: SearchAnswer) -> str:
    """The answer's text with the numbers of its sources, such as [1], behind what rests on them."""
    text = answer.answer
    for citation in sorted(answer.citations, key=lambda citation: citation.end, reverse=True):
        marks = "".join(f"[{source + 1}]" for source in sorted(citation.sources))
        text = f"{text[: citation.end]} {marks}{text[citation.end :]}"
    return text


def _place(source: Source) -> str:
    """Where a source is: the name of its document, its store and its page."""
    name = unquote(source.uri.removeprefix(DOCUMENTS)) if source.uri else source.title
    parts = [f"store {source.store}"] if source.store else []
    parts += [f"page {source.page}"] if source.page else []
    return f"{name} ({', '.join(parts)})" if parts else name
