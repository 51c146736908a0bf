"""The one way to Gemini: every call has a timeout, is retried where that is safe, and fails as `shared.failures`."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import httpx2
from google import genai
from google.genai import types
from google.genai.pagers import AsyncPager
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from shared.buckets import MetadataValue
from shared.failures import Misconfigured, NotThere, Permanent, Throttled, Transient
from shared.gemini import mime
from shared.gemini.failures import classify, key_refused, not_there, unreadable
from shared.metrics import gemini_call
from shared.secret import SecretSource
from shared.traces import span

T = TypeVar("T")
Call = Callable[[genai.Client], Awaitable[T]]

CALL_TIMEOUT = 30.0
"""Seconds for a call that only reads or deletes."""
GENERATE_TIMEOUT = 60.0
"""Seconds for an answer."""
ATTEMPTS = 4
PAGE_SIZE = 20
"""The most that Gemini lists at once (API reference, documents.list)."""
MAX_DISPLAY_NAME = 512
MAX_RETRY_DELAY = 30.0
"""Seconds: a server that asks for more is asked again by the queue, later."""
_INVALID_ARGUMENT = 3  # google.rpc.Code

mime.register()


class DocumentState(Enum):
    """Where a Gemini document is in its life; ABSENT where there is none of that name."""

    PENDING = "pending"
    ACTIVE = "active"
    FAILED = "failed"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Document:
    """A Gemini document: its resource name, its state and the metadata that we gave it."""

    name: str
    state: DocumentState
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class UploadError:
    """Why an upload failed; `is_final` where it will fail again, as the file itself is at fault."""

    message: str
    is_final: bool


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What Gemini calls the document it will make of an upload, and the operation that makes it."""

    document: str
    operation: str


class Gemini:
    """A Gemini project's File Search, over the network or an emulator in this process."""

    def __init__(
        self,
        key: SecretSource,
        *,
        base_url: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        upload_timeout: float = 60.0,
    ) -> None:
        self._key = key
        self._base_url = base_url
        self._transport = transport
        self._upload_timeout = upload_timeout
        self._client: genai.Client | None = None
        self._client_key = ""

    async def aclose(self) -> None:
        """Close the connections, and end what an emulator in this process works on."""
        if self._client is not None:
            await self._client.aio.aclose()
            self._client = None
        if self._transport is not None:
            await self._transport.aclose()

    async def check(self) -> None:
        """Ask Gemini for something small, to see that the key and the way there work."""
        config = types.ListFileSearchStoresConfig(page_size=1)
        await self._call(
            "stores.list", lambda client: client.aio.file_search_stores.list(config=config), timeout=5, attempts=1
        )

    async def create_store(self, display_name: str) -> str:
        """Make a File Search store; returns its resource name. Not retried: a second try could make a second store."""
        config = types.CreateFileSearchStoreConfig(display_name=display_name[:MAX_DISPLAY_NAME])
        store = await self._call(
            "stores.create", lambda client: client.aio.file_search_stores.create(config=config), attempts=1
        )
        if not store.name:
            raise Transient("Gemini made a store and did not say its name.")
        return store.name

    async def delete_store(self, store: str) -> None:
        """Delete a store with all that is in it; one that is gone already is no error."""
        config = types.DeleteFileSearchStoreConfig(force=True)
        await self._delete(
            "stores.delete", lambda client: client.aio.file_search_stores.delete(name=store, config=config)
        )

    async def upload(
        self, store: str, path: Path, *, display_name: str, metadata: Mapping[str, MetadataValue]
    ) -> Uploaded:
        """Send a file to a store; it answers no question before its document is ACTIVE.

        The file's own name must be ASCII (it goes into a header) and end as its type does in `mime.MIME_TYPES`: a type
        given in words is refused for some types (python-genai issue 1900). Raises Transient also where the work may
        have been done and only the answer was lost: look for the document by its metadata before sending it again.
        """
        config = types.UploadToFileSearchStoreConfig(
            display_name=display_name[:MAX_DISPLAY_NAME], custom_metadata=_custom_metadata(metadata)
        )
        operation = await self._call(
            "upload",
            lambda client: client.aio.file_search_stores.upload_to_file_search_store(
                file_search_store_name=store, file=path, config=config
            ),
            timeout=self._upload_timeout,
            retried=Throttled,
        )
        return _uploaded(store, operation)

    async def document(self, name: str) -> Document:
        """The document as it is now; its state is ABSENT where Gemini has none of that name."""
        try:
            found = await self._call(
                "documents.get", lambda client: client.aio.file_search_stores.documents.get(name=name)
            )
        except NotThere:
            return Document(name, DocumentState.ABSENT, {})
        return _document(found)

    async def upload_error(self, operation: str) -> UploadError | None:
        """What Gemini says went wrong with an upload, or None where it says nothing (yet)."""
        asked = types.UploadToFileSearchStoreOperation.model_validate({"name": operation})
        try:
            answered = await self._call("operations.get", lambda client: client.aio.operations.get(asked))
        except NotThere:
            return None
        if not answered.error:
            return None
        message = str(answered.error.get("message") or "no reason given")
        return UploadError(message, is_final=answered.error.get("code") == _INVALID_ARGUMENT)

    async def documents(self, store: str) -> AsyncIterator[Document]:
        """Every document of a store, oldest first."""
        token: str | None = None
        while True:
            # One page at a time: the SDK's own iteration raises IndexError on an empty last page.
            config = types.ListDocumentsConfig(page_size=PAGE_SIZE, page_token=token)
            page = await self._call("documents.list", partial(_page_of_documents, store=store, config=config))
            for document in page.page or []:
                yield _document(document)
            token = page.config.get("page_token")
            if not token:
                return

    async def delete_document(self, name: str) -> None:
        """Delete a document with its chunks; one that is gone already is no error."""
        config = types.DeleteDocumentConfig(force=True)
        await self._delete(
            "documents.delete", lambda client: client.aio.file_search_stores.documents.delete(name=name, config=config)
        )

    async def generate(
        self, model: str, question: str, config: types.GenerateContentConfig
    ) -> types.GenerateContentResponse:
        """Ask a model. Raises Permanent where Gemini finds the request itself wrong."""
        return await self._call(
            "generate",
            lambda client: client.aio.models.generate_content(model=model, contents=question, config=config),
            timeout=GENERATE_TIMEOUT,
        )

    async def generate_stream(
        self, model: str, question: str, config: types.GenerateContentConfig
    ) -> AsyncGenerator[types.GenerateContentResponse, None]:
        """Ask a model, and get its answer in pieces as it is written; closing this ends the call.

        Raises Permanent where Gemini finds the request itself wrong. What fails after the first piece is not retried.
        """
        pieces, piece = await self._call(
            "stream", partial(_begin_stream, model=model, question=question, config=config), timeout=GENERATE_TIMEOUT
        )
        async with contextlib.aclosing(pieces):
            while piece is not None:
                yield piece
                piece = await self._next_piece(pieces)

    async def _next_piece(
        self, pieces: AsyncGenerator[types.GenerateContentResponse, None]
    ) -> types.GenerateContentResponse | None:
        try:
            async with asyncio.timeout(GENERATE_TIMEOUT):
                return await anext(pieces, None)
        except Exception as error:
            raise classify(error) from error

    async def _delete(self, name: str, call: Call[object]) -> None:
        try:
            await self._call(name, call)
        except NotThere:
            return

    async def _call(
        self,
        name: str,
        call: Call[T],
        *,
        timeout: float = CALL_TIMEOUT,
        attempts: int = ATTEMPTS,
        retried: type[Transient] = Transient,
    ) -> T:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(retried),
            stop=stop_after_attempt(attempts),
            wait=_wait_before_retry,
            reraise=True,
        ):
            with attempt, gemini_call(name), span(f"gemini {name}", outgoing=True):
                return await self._call_once(call, timeout)
        raise AssertionError("tenacity either returns or raises")

    async def _call_once(self, call: Call[T], timeout: float) -> T:
        for last_try in (False, True):
            key = ""
            try:
                async with asyncio.timeout(timeout):
                    key = await self._read(self._key.value)
                    return await call(self._client_for(key))
            except Exception as error:
                if not last_try and (unreadable(error) or await self._key_rotated(error, key)):
                    continue
                if not_there(error):
                    raise NotThere(str(classify(error))) from error
                if unreadable(error):
                    raise Permanent("UNREADABLE_FILE", "Gemini could not read this file, twice.") from error
                raise classify(error) from error
        raise AssertionError("the last try either returns or raises")

    def _client_for(self, key: str) -> genai.Client:
        """The client that sends this key; pools are kept per event loop by google-genai itself."""
        if self._client is None or key != self._client_key:
            arguments = {"transport": self._transport} if self._transport else {}
            options = types.HttpOptions(
                base_url=self._base_url,
                timeout=int(max(CALL_TIMEOUT, GENERATE_TIMEOUT, self._upload_timeout) * 1000),
                async_client_args=arguments,
            )
            self._client = genai.Client(api_key=key or "none", http_options=options, vertexai=False)
            self._client_key = key
        return self._client

    async def _key_rotated(self, error: Exception, refused: str) -> bool:
        """Whether there is another key than the one that was refused; other calls may have found that before."""
        return key_refused(error) and await self._read(self._key.reread) != refused

    async def _read(self, key: Callable[[], str]) -> str:
        try:
            return await asyncio.to_thread(key)
        except OSError as error:
            raise Misconfigured(f"The file that GEMINI_API_KEY names cannot be read: {error.strerror}.") from error


async def _page_of_documents(
    client: genai.Client, *, store: str, config: types.ListDocumentsConfig
) -> AsyncPager[types.Document]:
    return await client.aio.file_search_stores.documents.list(parent=store, config=config)


async def _begin_stream(
    client: genai.Client, *, model: str, question: str, config: types.GenerateContentConfig
) -> tuple[AsyncGenerator[types.GenerateContentResponse, None], types.GenerateContentResponse | None]:
    """The stream and its first piece: the request is only sent when that is asked for."""
    stream = await client.aio.models.generate_content_stream(model=model, contents=question, config=config)
    pieces = cast(AsyncGenerator[types.GenerateContentResponse, None], stream)
    try:
        return pieces, await anext(pieces, None)
    except BaseException:
        await pieces.aclose()
        raise


def _wait_before_retry(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, Transient) else None
    return min(asked * random.uniform(1, 1.25), MAX_RETRY_DELAY) if asked else _backoff(state)  # noqa: S311 - no secret


_backoff = wait_random_exponential(multiplier=0.5, max=MAX_RETRY_DELAY)


def _custom_metadata(metadata: Mapping[str, MetadataValue]) -> list[types.CustomMetadata]:
    return [_entry(key, value) for key, value in metadata.items() if value not in ("", ())]


def _entry(key: str, value: MetadataValue) -> types.CustomMetadata:
    if isinstance(value, tuple):
        return types.CustomMetadata(key=key, string_list_value=types.StringList(values=list(value)))
    if isinstance(value, str):
        return types.CustomMetadata(key=key, string_value=value)
    return types.CustomMetadata(key=key, numeric_value=value)


def _uploaded(store: str, operation: types.UploadToFileSearchStoreOperation) -> Uploaded:
    """The names in an upload's answer; a document is named in full, by its id alone, or only in the operation."""
    if not operation.name:
        raise Transient("Gemini took an upload and did not name its operation.")
    named = operation.response.document_name if operation.response else None
    document_id = (named or operation.name).rsplit("/", 1)[-1]
    return Uploaded(document=f"{store}/documents/{document_id}", operation=operation.name)


_STATES = {
    types.DocumentState.STATE_ACTIVE: DocumentState.ACTIVE,
    types.DocumentState.STATE_FAILED: DocumentState.FAILED,
}


def _document(found: types.Document) -> Document:
    state = _STATES.get(found.state, DocumentState.PENDING) if found.state else DocumentState.PENDING
    metadata = {
        entry.key: entry.string_value for entry in found.custom_metadata or [] if entry.key and entry.string_value
    }
    return Document(found.name or "", state, metadata)
