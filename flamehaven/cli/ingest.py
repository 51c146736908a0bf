"""`flamehaven ingest`: put files and folders into a store, and say what became of each."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flamehaven.cli.command import AsJson, Key, Url, command, told, with_client
from flamehaven.cli.output import complain, print_json, say, table
from shared.names import (
    DEFAULT_STORE,
    METADATA_SUFFIX,
    described_by,
    normal,
    not_a_document,
    object_problem,
    store_problem,
)

if TYPE_CHECKING:
    from flamehaven.client import Client
    from shared.records import Reason

PARALLEL = 8
"""Files sent at once: as many as a server indexes at once."""
LONGEST_WAIT = 10
"""Seconds that one request waits for the final state of a file: proxies give up on silent requests after 30 or 60."""
LONGEST_DELAY = 2.0
DONE = ("indexed", "accepted", "new", "replaces", "describes")
"""What may become of a file, or with --dry-run would, without anything wrong about it."""


@dataclass(slots=True)
class File:
    """A file to send, and what became of it: `status` is empty until that is known."""

    path: Path
    object: str
    status: str = ""
    code: str = ""
    message: str = ""
    request_id: str | None = None

    @property
    def describes(self) -> bool:
        """Whether it is the metadata file of another."""
        return self.object.endswith(METADATA_SUFFIX)

    def end(self, status: str, code: str = "", message: str = "", request_id: str | None = None) -> None:
        """Note what became of it."""
        self.status, self.code, self.message, self.request_id = status, code, message, request_id

    def as_json(self) -> dict[str, Any]:
        """What a program is told about it."""
        reason = {"code": self.code, "message": self.message} if self.code else None
        shown = {"path": str(self.path), "object": self.object, "status": self.status, "reason": reason}
        return {**shown, "request_id": self.request_id} if self.request_id else shown


@dataclass(slots=True)
class Found:
    """What there is to send, and how many of what was passed over."""

    files: list[File] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> Counter[str]:
        """How many files ended in each status."""
        return Counter(file.status for file in self.files)


@command
def ingest(
    paths: Annotated[list[Path], typer.Argument(exists=True, help="Files and folders.", show_default=False)],
    store: Annotated[str, typer.Option(help="The store to put them into.")] = DEFAULT_STORE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would become of each file.")] = False,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds to wait for each file to be indexed.")] = 600,
    url: Url = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Put files and folders into a store.

    Waits until they are indexed, and ends with 1 when one was refused or failed.
    """
    if problem := store_problem(store):
        raise typer.BadParameter(problem, param_hint="--store")
    started = time.monotonic()
    found = find(paths, store)

    async def work(client: Client) -> None:
        await _refuse(found.files, (await client.about()).max_file_bytes)
        if dry_run:
            await _foretell(client, store, found.files)
        else:
            await _send_all(client, found.files, timeout)

    with_client(url, key, work, makes=not dry_run)
    if as_json:
        print_json(
            {
                "store": store,
                "dry_run": dry_run,
                "files": [file.as_json() for file in found.files],
                "counts": found.counts,
                "passed_over": found.passed_over,
                "seconds": round(time.monotonic() - started, 3),
            }
        )
    else:
        _report(found, dry_run=dry_run)
    if any(file.status not in DONE for file in found.files):
        raise typer.Exit(1)


def find(paths: Iterable[Path], store: str) -> Found:
    """The files at and below `paths`, folder by folder in the order of their names.

    What is given is followed, and sent whatever it is; below it, hidden files, symlinks, and what is neither file nor
    folder are passed over.
    """
    found = Found()
    taken: dict[str, Path] = {}
    for path in paths:
        for file in _below(path, store, found.passed_over) if path.is_dir() else [File(path, f"{store}/{path.name}")]:
            other = taken.setdefault(normal(file.object), file.path)
            if other is not file.path and other.samefile(file.path):
                continue
            if other is not file.path:
                file.end("refused", "DUPLICATE_NAME", f"{other} has the same name in the store.")
            found.files.append(file)
    return found


def _below(folder: Path, store: str, passed_over: Counter[str]) -> Iterator[File]:
    closed: list[OSError] = []
    for here, folders, names in os.walk(folder, onerror=closed.append):
        entered = []
        for name in sorted(folders + names):
            path = Path(here, name)
            kind = _kind(path)
            if kind == "folder":
                entered.append(name)
            elif kind == "file":
                yield File(path, f"{store}/{path.relative_to(folder).as_posix()}")
            else:
                passed_over[kind] += 1
        folders[:] = entered
    for error in closed:
        path = Path(error.filename)
        file = File(path, f"{store}/{path.relative_to(folder).as_posix()}")
        file.end("refused", "FILE_UNREADABLE", f"The folder cannot be read: {error.strerror}.")
        yield file


def _kind(path: Path) -> str:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return "vanished"
    if path.name.startswith("."):
        return "hidden"
    if not_a_document(path.name) and not path.name.endswith(METADATA_SUFFIX):
        return "temporary or system"
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISREG(mode):
        return "file"
    return "symlink" if stat.S_ISLNK(mode) else "special"


async def _refuse(files: list[File], max_bytes: int) -> None:
    """Refuse what a server would, by its own rules and before anything is sent."""
    for file in files:
        if not file.status and (reason := await asyncio.to_thread(_refusal, file, max_bytes)):
            file.end("refused", *reason)


def _refusal(file: File, max_bytes: int) -> tuple[str, str] | None:
    """Why a server would not take a file: a code and a sentence."""
    from functions.ingest.acceptance import refusal
    from shared.buckets.metadata_file import MAX_BYTES, parse_metadata

    if problem := object_problem(described_by(file.object)):
        return "INVALID_FILENAME", problem
    try:
        found = file.path.stat()
        if not stat.S_ISREG(found.st_mode):
            return "FILE_UNREADABLE", "It is neither a file nor a folder."
        if not file.describes:
            reason = refusal(file.object, found.st_size, max_bytes)
            return (reason.code, reason.message) if reason else None
        with file.path.open("rb") as opened:
            metadata, notes = parse_metadata(opened.read(MAX_BYTES + 1))
    except OSError as error:
        return "FILE_UNREADABLE", f"The file cannot be read: {error.strerror}."
    return ("INVALID_METADATA", " ".join(notes)) if notes and not metadata else None


async def _foretell(client: Client, store: str, files: list[File]) -> None:
    there = {normal(document.object) async for document in client.documents(store=store)}
    for file in files:
        if not file.status:
            file.end("describes" if file.describes else "replaces" if normal(file.object) in there else "new")


async def _send_all(client: Client, files: list[File], timeout: int) -> None:
    """Send files, a bounded number at once; what describes a document goes before it."""
    wanted = [file for file in files if not file.status]
    documents: dict[str, list[File]] = {}
    for file in sorted(wanted, key=lambda file: not file.describes):
        documents.setdefault(described_by(file.object), []).append(file)
    remaining = iter(sorted(documents.items()))
    with _progress(len(wanted)) as progress:
        client.on_wait = progress.explain

        async def send() -> None:
            for _, parts in remaining:
                for file in parts:
                    await _send(client, file, timeout, settle=file is parts[-1])
                    progress.advance()

        async with asyncio.TaskGroup() as group:
            for _ in range(PARALLEL):
                group.create_task(send())
        if all(file.status != "pending" for file in files):
            await client.finish()


async def _send(client: Client, file: File, timeout: int, *, settle: bool) -> None:
    """Send one file, and with `settle` wait until what it is, or describes, is indexed."""
    from flamehaven.client import RequestFailed

    deadline = time.monotonic() + timeout
    try:
        kept = await client.put(file.object, file.path, wait=min(timeout, LONGEST_WAIT))
        status, reason = kept.status, kept.reason
        if status == "accepted" and settle:
            if kept.trouble:
                client.on_wait(f"Waiting: {kept.trouble}")
            status, reason = await _settled(client, file, deadline)
    except RequestFailed as error:
        file.end("failed", error.code, str(error), error.request_id)
        return
    if reason:
        file.end(status, reason.code, reason.message)
    elif status == "pending":
        file.end(status, "NOT_IN_TIME", f"It was not indexed within {timeout} s, but may yet be.")
    else:
        file.end(status)


async def _settled(client: Client, file: File, deadline: float) -> tuple[str, Reason | None]:
    """The final state of the document that a file is or describes, or `pending` where it has none in time."""
    from flamehaven.client import RequestFailed

    delay = 0.05
    while True:
        try:
            document = await client.document(described_by(file.object))
        except RequestFailed as error:
            if file.describes and error.code == "FILE_NOT_FOUND":
                return "accepted", None  # it waits for a document to describe
            raise
        if document.status != "pending" or time.monotonic() > deadline:
            return document.status, document.reason
        await asyncio.sleep(delay)
        delay = min(delay * 1.5, LONGEST_DELAY)


@dataclass(frozen=True, slots=True)
class _Bar:
    """What is told while files are sent: that one is done, and why there is a wait."""

    advance: Callable[[], None]
    explain: Callable[[str], None]


@contextmanager
def _progress(total: int) -> Iterator[_Bar]:
    """A bar on standard error; where that is no terminal, a line for each reason to wait, once."""
    if not sys.stderr.isatty():
        yield _Bar(advance=lambda: None, explain=_once(complain))
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Indexing", total=total)
        yield _Bar(
            advance=lambda: progress.update(task, advance=1, description="Indexing"),
            explain=lambda reason: progress.update(task, description=reason),
        )


def _once(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Tells a text once, whatever numbers of seconds are in it."""
    told: set[str] = set()

    def tell_once(text: str) -> None:
        if (reason := text.partition(": ")[2]) not in told:
            told.add(reason)
            tell(text)

    return tell_once


def _report(found: Found, *, dry_run: bool) -> None:
    """Say for people what became of the files: with `dry_run` of each, else of those with which something is wrong."""
    if dry_run:
        table(
            ("plan", "document", "file", "reason"),
            [(file.status, file.object, file.path, file.message) for file in found.files],
        )
    else:
        for file in found.files:
            if file.status not in DONE:
                complain(f"{file.path}: {told(file.message, file.code, file.request_id)}")
    say(f"{_plural(len(found.files))}{_counted(found.counts)}.")
    if found.passed_over:
        say(f"Passed over{_counted(found.passed_over)}.")


def _plural(files: int) -> str:
    return "1 file" if files == 1 else f"{files:,} files"


def _counted(counts: Counter[str]) -> str:
    return ":" * bool(counts) + ",".join(f" {count:,} {what}" for what, count in sorted(counts.items()))
