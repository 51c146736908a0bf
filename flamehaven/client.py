"""A client of the server's HTTP API: of a server anywhere, or of the server's own app in this process.

Its models hold what the `flamehaven` command shows; whatever else a server says is kept beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ConfigDict, ValidationError

from flamehaven.keys import Key, KeyList, NewKey
from functions.ingest.models import SweepReport
from functions.search.models import Retracted, SearchAnswer, Text
from shared.keys import ID_LENGTH, PREFIX
from shared.names import name_problem, store_problem
from shared.records import Reason
from shared.secret import SecretSource

if TYPE_CHECKING:
    from fastapi import FastAPI

    from shared.settings import Settings

READ_SIZE = 1 << 20
PAGE_SIZE = 1000
"""The largest page of documents that the server gives."""
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 120.0
"""How long most answers, or the next part of one, are waited for: twice what a server may be asked to wait."""
SWEEP_SECONDS = 3600.0
"""How long to wait for what looks at every document of a store, or of all."""
PATIENCE = 600.0
"""How long a request is sent again that a server's limits refuse."""
THIS_MACHINE = "http://this-machine"
_ELSEWHERE = "(To use a server that runs, give its --url.)"


class RequestFailed(Exception):
    """A request that was refused, or not answered; its text is the sentence for people."""

    def __init__(
        self, message: str, *, code: str, request_id: str | None = None, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id
        self.details = details or {}


class WrongSettings(Exception):
    """No request can be made with these settings; its text says which is wrong."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class About(_Answer):
    """What a server says of itself."""

    max_file_bytes: int


class Accepted(_Answer):
    """A file that the server has kept; `status` is `accepted`, `indexed` or `failed`."""

    status: str
    reason: Reason | None
    trouble: str | None = None


class Document(_Answer):
    """A document, and how far it has come: `status` is `pending`, `indexed` or `failed`."""

    object: str
    store: str
    status: str
    reason: Reason | None
    notes: list[str]
    size: int
    mime_type: str | None
    metadata: dict[str, Any]
    updated: datetime
    indexed: datetime | None
    attempts: int


class Store(_Answer):
    """A store, and how far its documents have come."""

    documents: int
    indexed: int
    pending: int
    failed: int
    size_bytes: int
    problems: list[str] = []


class StoreList(_Answer):
    """Every store by its name."""

    stores: dict[str, Store]


class StoreChange(_Answer):
    """How many documents a change of a store concerned."""

    documents: int


class Change(_Answer):
    """A change that was made or begun."""


class DocumentChange(Change):
    """A change of a document, which shows in the answers in a moment."""

    message: str


class _DocumentPage(_Answer):
    documents: list[Document]
    next_page_token: str | None


class _Failure(_Answer):
    error: str
    message: str
    request_id: str
    details: dict[str, Any] | None = None


Model = TypeVar("Model", bound=BaseModel)


class Client:
    """The server's API. Every method raises RequestFailed where the server refuses, or cannot be reached."""

    def __init__(self, http: httpx2.AsyncClient, idle: Callable[[], Awaitable[None]] | None = None) -> None:
        self._http = http
        self._idle = idle
        self.on_wait: Callable[[str], None] = lambda reason: None
        """Called with a sentence whenever a request waits because a limit of the server refused it."""

    async def finish(self) -> None:
        """Wait until the work is done that requests set off in this process; a server does its work by itself."""
        if self._idle:
            await self._idle()

    async def about(self) -> About:
        """What the server is, and takes."""
        return await self._call("GET", "", About)

    async def put(self, name: str, path: Path, *, wait: int) -> Accepted:
        """Send the file at `path` as the object `name`; its final state is waited for, for `wait` seconds at most."""
        try:
            file = await asyncio.to_thread(path.open, "rb")
        except OSError as error:
            raise RequestFailed(f"The file cannot be read: {error.strerror}.", code="FILE_UNREADABLE") from error
        with file:
            address, headers = _document_path(name), {"Prefer": f"wait={wait}"}
            return await self._call("PUT", address, Accepted, file=file, headers=headers)

    async def document(self, name: str) -> Document:
        """One document."""
        return await self._call("GET", _document_path(name), Document)

    async def documents(self, **query: str | None) -> AsyncGenerator[Document, None]:
        """The documents that fit `store`, `prefix`, `status` and `type`, in the order of their names."""
        params: dict[str, str | int] = {key: value for key, value in query.items() if value}
        params["page_size"] = PAGE_SIZE
        while True:
            page = await self._call("GET", "api/documents", _DocumentPage, params=params)
            for document in page.documents:
                yield document
            if page.next_page_token is None:
                return
            params["page_token"] = page.next_page_token

    async def delete_document(self, name: str) -> DocumentChange:
        """Delete a document."""
        changed = await self._call("DELETE", _document_path(name), DocumentChange)
        await self.finish()
        return changed

    async def retry_document(self, name: str) -> DocumentChange:
        """Index a document anew."""
        changed = await self._call("POST", f"{_document_path(name)}/retry", DocumentChange)
        await self.finish()
        return changed

    async def stores(self) -> StoreList:
        """Every store."""
        return await self._call("GET", "api/stores", StoreList, seconds=SWEEP_SECONDS)

    async def make_store(self, store: str) -> Change:
        """Make a store, where there is none of this name."""
        return await self._call("POST", "api/stores", Change, json={"name": store})

    async def delete_store(self, store: str, *, force: bool) -> StoreChange:
        """Delete an empty store, with `force` any store with its documents."""
        params = {"force": str(force).lower()}
        changed = await self._call("DELETE", _store_path(store), StoreChange, params=params, seconds=SWEEP_SECONDS)
        await self.finish()
        return changed

    async def reindex_store(self, store: str) -> StoreChange:
        """Index every document of a store anew."""
        path = f"{_store_path(store)}/reindex"
        changed = await self._call("POST", path, StoreChange, seconds=SWEEP_SECONDS)
        await self.finish()
        return changed

    async def keys(self) -> KeyList:
        """Every API key, revoked and expired ones too."""
        return await self._call("GET", "api/admin/keys", KeyList)

    async def create_key(self, asked: dict[str, Any]) -> NewKey:
        """Make an API key: a JSON body of `api/admin/keys`."""
        return await self._call("POST", "api/admin/keys", NewKey, json=asked)

    async def revoke_key(self, key_id: str) -> Key:
        """End an API key, by its id; by mistake it may be the key itself, which is for no address."""
        if key_id.startswith(PREFIX):
            key_id = key_id.removeprefix(PREFIX)[:ID_LENGTH]
        return await self._call("DELETE", f"api/admin/keys/{quote(key_id, safe='')}", Key)

    async def reconcile(self, *, store: str | None, dry_run: bool, yes: bool) -> SweepReport:
        """Compare the bucket and the index, and repair where they differ; with `yes` however much that takes out."""
        params = {"dry_run": dry_run, "yes": yes} | ({"store": store} if store else {})
        return await self._call("POST", "api/reconcile", SweepReport, params=params, seconds=SWEEP_SECONDS)

    async def search(self, question: dict[str, Any]) -> SearchAnswer:
        """The answer to a question: a search's JSON body."""
        return await self._call("POST", "api/search", SearchAnswer, json=question)

    async def stream(self, question: dict[str, Any], show: Callable[[Text | Retracted], None]) -> SearchAnswer:
        """The answer to a question, of which each piece is shown as it comes."""
        with self._failures():
            async with self._http.sse("api/search", method="POST", json=question) as source:
                answer = source.response
                if not answer.is_success:
                    await answer.aread()
                    raise self._failure(answer)
                async for event in source:
                    if event.event == "text":
                        show(self._read(answer, Text, event.data))
                    elif event.event == "retracted":
                        show(self._read(answer, Retracted, event.data))
                    elif event.event == "answer":
                        return self._read(answer, SearchAnswer, event.data)
                    elif event.event == "error":
                        raise _refused(self._read(answer, _Failure, event.data))
        raise RequestFailed("The answer broke off; ask again.", code="CONNECTION_FAILED")

    async def _call(
        self,
        method: str,
        path: str,
        model: type[Model],
        *,
        seconds: float = ANSWER_SECONDS,
        file: IO[bytes] | None = None,
        **sent: Any,
    ) -> Model:
        """The answer to a request, which is sent again where it came too soon: a server may limit how many come."""
        patience = time.monotonic() + PATIENCE
        while True:
            body = _parts(file) if file else None
            with self._failures():
                answer = await self._http.request(method, path, timeout=_timeout(seconds), content=body, **sent)
            if answer.is_success:
                return self._read(answer, model, answer.content)
            failure, wait = self._failure(answer), answer.headers.get("retry-after", "")
            too_soon = failure.code == "RATE_LIMIT_EXCEEDED" and wait.isdecimal()
            if not too_soon or time.monotonic() + int(wait) > patience:
                raise failure
            self.on_wait(f"Waiting {wait} s: the server's limit is {failure.details.get('limit', 'reached')}.")
            await asyncio.sleep(int(wait))
            if file:
                file.seek(0)

    def _read(self, answer: httpx2.Response, model: type[Model], data: bytes | str) -> Model:
        try:
            return model.model_validate_json(data)
        except ValidationError:
            raise self._stranger(answer) from None

    def _failure(self, answer: httpx2.Response) -> RequestFailed:
        try:
            return _refused(_Failure.model_validate_json(answer.content))
        except ValidationError:
            return self._stranger(answer)

    def _stranger(self, answer: httpx2.Response) -> RequestFailed:
        said = f"{answer.status_code} {answer.reason_phrase}".strip()
        message = f"{self._place} answered {said}, but not as a Flamehaven server does; is the address right?"
        return RequestFailed(message, code="UNEXPECTED_ANSWER", request_id=answer.headers.get("x-request-id"))

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Say what it means that no answer came."""
        try:
            yield
        except httpx2.ConnectError as error:
            raise RequestFailed(f"Cannot connect to {self._place}: {error}.", code="CONNECTION_FAILED") from error
        except httpx2.TimeoutException as error:
            raise RequestFailed(f"{self._place} did not answer in time.", code="CONNECTION_FAILED") from error
        except httpx2.RequestError as error:
            message = f"The connection to {self._place} failed: {str(error) or type(error).__name__}."
            raise RequestFailed(message, code="CONNECTION_FAILED") from error

    @property
    def _place(self) -> str:
        url = str(self._http.base_url.copy_with(username=None, password=None)).rstrip("/")
        return "this machine's own server" if url == THIS_MACHINE else url


@asynccontextmanager
async def connect(url: str, key: str, *, makes: bool = True) -> AsyncIterator[Client]:
    """A client of the server at `url`, or where that is empty, of the server's app on this machine's settings.

    Unless it `makes` something, there has to be data on this machine already.

    `key` is sent as bearer token (RFC 6750) unless it is empty; it may be the path of a file that holds it. Raises
    WrongSettings.
    """
    headers = _authorization(key)
    async with contextlib.AsyncExitStack() as stack:
        if url:
            http = httpx2.AsyncClient(base_url=_address(url), headers=headers, timeout=_timeout(ANSWER_SECONDS))
            yield Client(await stack.enter_async_context(http))
            return
        from shared.gemini.transport import InProcessTransport

        app = await _start(stack, makes=makes)
        transport = InProcessTransport(app, stack.aclose)
        timeout = _timeout(ANSWER_SECONDS)
        async with httpx2.AsyncClient(
            base_url=THIS_MACHINE, headers=headers, timeout=timeout, transport=transport
        ) as http:
            yield Client(http, app.state.pump.idle)


async def _start(stack: contextlib.AsyncExitStack, *, makes: bool) -> FastAPI:
    """The server's app, ready for requests until `stack` is closed. Raises WrongSettings."""
    from shared.errors import ServiceError
    from shared.failures import DependencyFailure
    from shared.settings import settings

    try:
        if "log_level" not in settings().model_fields_set:
            logging.disable()  # whoever runs a command reads its own messages
        if not makes:
            _check_data(settings())
        from flamehaven.app import create_app

        with contextlib.redirect_stdout(sys.stderr):  # where the server's log goes is settled in here
            app = create_app(watch=False)
        await stack.enter_async_context(app.router.lifespan_context(app))
    except (ServiceError, DependencyFailure) as error:
        raise WrongSettings(f"{error} {_ELSEWHERE}") from error
    except OSError as error:
        raise WrongSettings(f"{error.filename!r} cannot be used: {error.strerror}. {_ELSEWHERE}") from error
    return app


def _check_data(found: Settings) -> None:
    """Make sure that commands that only look at data do not make an empty data folder. Raises WrongSettings."""
    from shared.places import place_of

    places = [place_of(address) for address in (found.state_place, found.documents_place)]
    if any(place.kind in ("gs", "s3") or Path(place.path).exists() for place in places):
        return
    raise WrongSettings(
        f"There is no data folder at {str(found.data_dir.absolute())!r}. Run this where it is, or name it with "
        f"DATA_DIR=FOLDER. {_ELSEWHERE}"
    )


def _timeout(seconds: float) -> httpx2.Timeout:
    return httpx2.Timeout(seconds, connect=CONNECT_SECONDS)


def _address(url: str) -> httpx2.URL:
    try:
        address = httpx2.URL(url)
    except httpx2.InvalidURL:
        address = httpx2.URL()
    if address.scheme not in ("http", "https") or not address.host:
        raise WrongSettings(f"--url (FLAMEHAVEN_URL): got {url!r}; it takes an http:// or https:// address.")
    return address


def _authorization(key: str) -> dict[str, str]:
    try:
        secret = SecretSource(key).value()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        message = f"--key (FLAMEHAVEN_API_KEY) names a file that cannot be read: {why}."
        raise WrongSettings(message) from error
    if not (secret.isascii() and secret.isprintable()):
        raise WrongSettings("--key (FLAMEHAVEN_API_KEY): it takes one line of ASCII characters.")
    return {"Authorization": f"Bearer {secret}"} if secret else {}


def _refused(failure: _Failure) -> RequestFailed:
    return RequestFailed(failure.message, code=failure.error, request_id=failure.request_id, details=failure.details)


def _document_path(name: str) -> str:
    """Where the API has a document. Raises RequestFailed for a name that would lead elsewhere."""
    if problem := name_problem(name):
        raise RequestFailed(problem, code="INVALID_FILENAME")
    return f"api/documents/{quote(name)}"


def _store_path(store: str) -> str:
    """Where the API has a store. Raises RequestFailed for a name that would lead elsewhere."""
    if problem := store_problem(store):
        raise RequestFailed(problem, code="INVALID_FILENAME")
    return f"api/stores/{quote(store)}"


async def _parts(file: IO[bytes]) -> AsyncIterator[bytes]:
    while part := await asyncio.to_thread(file.read, READ_SIZE):
        yield part
