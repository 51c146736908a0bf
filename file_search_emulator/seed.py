"""What an emulator starts from: stores, documents and files with the names that a test wants them to have."""

from __future__ import annotations

import hashlib
import mimetypes
import sqlite3
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from file_search_emulator import catalog, files
from file_search_emulator.analysis import ANALYSIS
from file_search_emulator.blobs import Blobs
from file_search_emulator.database import Database
from file_search_emulator.errors import ApiError
from file_search_emulator.names import check_id, store_id
from file_search_emulator.wire import CreateStore, IndexRequest, Message, NewFile

_SEEDED = "seeded"


class SeedError(Exception):
    """The seed cannot be used; the message says why."""


class _Content(Message):
    """Bytes: written into the seed, or in a file beside it; neither is a thing without content."""

    name: str
    mime_type: str = ""
    text: str | None = None
    path: str | None = None

    @model_validator(mode="after")
    def _text_or_path(self) -> Self:
        if self.text is not None and self.path is not None:
            raise ValueError(f"{self.name} has both a text and a path")
        return self

    def data(self, folder: Path) -> bytes:
        if self.path is not None:
            return (folder / self.path).read_bytes()
        return (self.text or "").encode()

    @property
    def kind(self) -> str:
        guessed = mimetypes.guess_type(self.path)[0] if self.path else None
        return self.mime_type or guessed or "text/plain"


class _Document(_Content, IndexRequest):
    display_name: str = ""


class _File(_Content):
    display_name: str = ""


class _Store(CreateStore):
    name: str
    documents: list[_Document] = Field(default_factory=list, max_length=10_000)


class Seed(Message):
    """The content of a seed file."""

    stores: list[_Store] = Field(default_factory=list, max_length=1000)
    files: list[_File] = Field(default_factory=list, max_length=10_000)


def read_seed(path: Path) -> Seed:
    """The seed in a file. Raises SeedError."""
    try:
        return Seed.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SeedError(f"The seed {path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SeedError(f"The seed {path} is not right at '{place}': {first['msg']}.") from None


class Start:
    """The state that an emulator starts from, and can return to: a seed, or nothing at all."""

    def __init__(self, database: Database, blobs: Blobs, path: Path | None) -> None:
        self._database = database
        self._blobs = blobs
        self._path = path

    def is_seeded(self) -> bool:
        """Whether the data folder was made from a seed, or is still empty, and so may be emptied without asking."""
        with self._database.read() as connection:
            seeded = connection.execute("SELECT 1 FROM about WHERE key = ?", (_SEEDED,)).fetchone()
            return seeded is not None or connection.execute("SELECT 1 FROM stores").fetchone() is None

    def restore(self) -> None:
        """Put everything back to the start, in one commit; documents are then PENDING. Raises SeedError."""
        seed = read_seed(self._path) if self._path else Seed()
        folder = self._path.parent if self._path else Path()
        made: list[str] = []
        try:
            with self._database.write() as connection:
                for table in ("stores", "uploads", "files", "interactions"):
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608 (ours)
                connection.execute("DELETE FROM about WHERE key = ?", (_SEEDED,))
                if self._path is not None:
                    connection.execute("INSERT INTO about VALUES (?, 'yes')", (_SEEDED,))
                for store in seed.stores:
                    self._add_store(connection, store, folder, made)
                for file in seed.files:
                    self._add_file(connection, file, folder, made)
        except (ApiError, OSError, sqlite3.IntegrityError) as error:
            self._blobs.remove(*made)
            said = error.message if isinstance(error, ApiError) else str(error)
            raise SeedError(f"The seed {self._path} cannot be used: {said}") from None

    def _add_store(self, connection: sqlite3.Connection, store: _Store, folder: Path, made: list[str]) -> None:
        number = catalog.add_store(connection, store, store_id(store.name))
        for document in store.documents:
            prefix, _, name = document.name.rpartition("/")
            if prefix != f"{store.name}/documents":
                raise SeedError(f"{document.name} is not of the form {store.name}/documents/ID.")
            data = document.data(folder)
            catalog.check_type(connection, number, document.kind)
            made.append(self._blobs.put(data))
            new = catalog.NewDocument(
                blob=made[-1],
                size=len(data),
                mime_type=document.kind,
                file_name=Path(document.path or "").name,
                display_name=document.display_name,
            )
            catalog.add_document(connection, number, new, document, check_id("Document", name))
            if not data:
                connection.execute(
                    "UPDATE documents SET state = 'ACTIVE', analysis = ? WHERE blob = ?", (ANALYSIS, made[-1])
                )

    def _add_file(self, connection: sqlite3.Connection, file: _File, folder: Path, made: list[str]) -> None:
        data = file.data(folder)
        made.append(self._blobs.put(data))
        files.add_file(
            connection,
            NewFile(name=file.name, display_name=file.display_name),
            blob=made[-1],
            mime_type=file.kind,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )


def state(connection: sqlite3.Connection, base_url: str) -> dict[str, Any]:
    """What is inside: the stores with their documents and how many chunks each has, and the files.

    Of each store the first thousand documents are shown, and how many there are more.
    """
    return {
        "stores": [
            store | catalog.shown_documents(connection, store["name"].partition("/")[2], 1000)
            for store in catalog.all_stores(connection)
        ],
        "files": files.all_files(connection, base_url),
    }
