"""`flamehaven documents`: what is in the bucket, how far each document has come, and changes to single ones."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from flamehaven.cli.command import AsJson, Key, ListByDefault, Url, command, with_client
from flamehaven.cli.output import complain, print_json, say, table, waiting

if TYPE_CHECKING:
    from flamehaven.client import Client, Document, DocumentChange

app = typer.Typer(cls=ListByDefault, rich_markup_mode=None, help="List documents, or see to single ones.")

Name = Annotated[str, typer.Argument(help="The document's name, such as hr/leave.md.", show_default=False)]


class Status(StrEnum):
    """How far a document has come."""

    PENDING = "pending"
    INDEXED = "indexed"
    FAILED = "failed"


@app.command("list")
@command
def list_documents(
    store: Annotated[str | None, typer.Option(help="Only documents of this store.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Only documents whose names start so.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only documents of this status.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Only documents with this extension, such as pdf.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many documents at most.")] = 1000,
    url: Url = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """List documents (what `documents` alone does too)."""

    async def work(client: Client) -> tuple[list[Document], bool]:
        found: list[Document] = []
        async with contextlib.aclosing(
            client.documents(store=store, prefix=prefix, status=status, type=type_)
        ) as documents:
            async for document in documents:
                if len(found) == limit:
                    return found, True
                found.append(document)
        return found, False

    found, more = with_client(url, key, work)
    if as_json:
        print_json({"documents": [document.model_dump(mode="json") for document in found], "more": more})
        return
    rows = [
        (
            document.object,
            document.status,
            document.size,
            document.updated.isoformat(timespec="seconds"),
            document.reason and document.reason.code,
        )
        for document in found
    ]
    table(("document", "status", "bytes", "changed", "reason"), rows)
    if more:
        complain(f"There are more than these {limit:,}: --limit shows more.")


@app.command()
@command
def show(name: Name, url: Url = "", key: Key = "", as_json: AsJson = False) -> None:
    """Say where one document stands."""
    document = with_client(url, key, lambda client: client.document(name))
    if as_json:
        print_json(document.model_dump(mode="json"))
        return
    rows: list[tuple[str, object]] = [
        ("document", document.object),
        ("store", document.store),
        ("status", document.status),
        ("reason", document.reason and f"{document.reason.message} ({document.reason.code})"),
        ("bytes", document.size),
        ("type", document.mime_type),
        ("changed", document.updated.isoformat(timespec="seconds")),
        ("indexed", document.indexed and document.indexed.isoformat(timespec="seconds")),
        ("attempts", document.attempts),
        *((f"metadata {key}", value) for key, value in document.metadata.items()),
        *(("note", note) for note in document.notes),
    ]
    table(("", ""), [row for row in rows if row[1] is not None])


@app.command()
@command
def retry(name: Name, url: Url = "", key: Key = "", as_json: AsJson = False) -> None:
    """Index a document anew, whether it failed or not."""
    with waiting("Indexing"):
        changed = with_client(url, key, lambda client: client.retry_document(name))
    _tell(changed, as_json=as_json)


@app.command()
@command
def delete(name: Name, url: Url = "", key: Key = "", as_json: AsJson = False) -> None:
    """Delete a document from the bucket, and with it from the answers."""
    with waiting("Deleting"):
        changed = with_client(url, key, lambda client: client.delete_document(name))
    _tell(changed, as_json=as_json)


def _tell(changed: DocumentChange, *, as_json: bool) -> None:
    if as_json:
        print_json(changed.model_dump(mode="json"))
    else:
        say(changed.message)
