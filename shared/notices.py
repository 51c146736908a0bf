"""Notices: telling others that a document became indexed, failed or was removed.

A notice is first kept in the state bucket and then sent, so that neither a crash nor a receiver that is away loses it;
the small sweep sends what is still there. A receiver may get one twice, and knows it by its `id`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, Field

from shared.buckets import Bucket
from shared.failures import DependencyFailure, Misconfigured, NewerSchema, Transient
from shared.records import Reason, Record, Status
from shared.secret import SecretSource
from shared.state.collection import read
from shared.state.stored import Stored

if TYPE_CHECKING:
    from shared.settings import Settings

log = logging.getLogger(__name__)

TIMEOUT = 10.0
"""Seconds that a receiver may take."""
KEPT = timedelta(days=1)
"""How long a notice that nobody takes is tried again."""
AT_ONCE = 16
SIGNATURE, TIMESTAMP = "X-Flamehaven-Signature", "X-Flamehaven-Timestamp"

_EVENTS: dict[Status, Literal["document.indexed", "document.failed", "document.removed"]] = {
    Status.INDEXED: "document.indexed",
    Status.FAILED: "document.failed",
    Status.DELETED: "document.removed",
}


class NoticedDocument(BaseModel):
    """What the document's record says, without what only concerns the index."""

    object: str
    store: str
    status: Status
    reason: Reason | None
    notes: tuple[str, ...]
    version: str | None
    size: int | None
    mime_type: str | None
    indexed: datetime | None
    updated: datetime


class Notice(Stored):
    """One change of one document."""

    id: str = Field(default_factory=lambda: secrets.token_hex(16))
    event: Literal["document.indexed", "document.failed", "document.removed"]
    time: datetime = Field(default_factory=lambda: datetime.now(UTC))
    deployment: str
    document: NoticedDocument


class Receiver(Protocol):
    """Where notices go."""

    async def send(self, notice: Notice) -> None:
        """Raises DependencyFailure unless the notice was taken."""

    async def aclose(self) -> None: ...


class Notices:
    """The notices of one deployment, kept in the state bucket under `notices/` until they were taken."""

    PREFIX = "notices/"

    def __init__(self, state: Bucket, settings: Settings) -> None:
        self._state = state
        self._receiver = _receiver(settings)

    async def aclose(self) -> None:
        """Close the connection to the receiver."""
        if self._receiver:
            await self._receiver.aclose()

    async def tell(self, record: Record) -> None:
        """Say what became of a document, now or as soon as the receiver takes it. Raises DependencyFailure when neither
        the receiver nor the state bucket does."""
        event = _EVENTS.get(record.status)
        if self._receiver is None or event is None:
            return
        about = NoticedDocument.model_validate(record, from_attributes=True)
        notice = Notice(event=event, deployment=record.deployment, document=about)
        await self._state.put(self._place(notice), notice.encode())
        await self._send(self._receiver, notice)

    async def send_waiting(self) -> None:
        """Send what was not taken before."""
        if self._receiver is None:
            return
        turns, receiver = asyncio.Semaphore(AT_ONCE), self._receiver

        async def send(place: str) -> None:
            async with turns:
                notice = await self._read(place)
                if notice is not None:
                    await self._send(receiver, notice)

        await asyncio.gather(*[send(info.name) async for info in self._state.list(self.PREFIX)])

    async def _send(self, receiver: Receiver, notice: Notice) -> None:
        about = {"object": notice.document.object, "notice": notice.id}
        try:
            await receiver.send(notice)
        except DependencyFailure as error:
            if datetime.now(UTC) - notice.time < KEPT:
                log.warning("A notice was not taken and will be sent again: %s", error, extra=about)
                return
            log.error("A notice was not taken for %s and is given up: %s", KEPT, error, extra=about)
        await self._state.delete(self._place(notice))

    async def _read(self, place: str) -> Notice | None:
        entry = await read(self._state, place)
        if entry is None:
            return None
        try:
            return Notice.decode(entry.data, place)
        except NewerSchema as error:
            log.warning("A notice was not sent: %s", error)
            return None
        except ValueError:
            log.error("An unreadable notice was deleted", extra={"place": place})
            await self._state.delete(place)
            return None

    def _place(self, notice: Notice) -> str:
        return f"{self.PREFIX}{notice.id}.json"


class Webhook:
    """Posts notices to an address, signed where there is a secret.

    The signature is `sha256=` and the hexadecimal HMAC-SHA256 (RFC 2104) of the timestamp's header, a dot and the body.
    """

    def __init__(self, url: str, secret: SecretSource) -> None:
        self._url = url
        self._secret = secret
        self._client: httpx2.AsyncClient | None = None

    async def send(self, notice: Notice) -> None:
        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=TIMEOUT)
        body = notice.model_dump_json().encode()
        headers = {"Content-Type": "application/json", "X-Flamehaven-Event": notice.event, **await self._signed(body)}
        try:
            async with asyncio.timeout(TIMEOUT):
                answer = await self._client.post(self._url, content=body, headers=headers)
        except (httpx2.HTTPError, TimeoutError) as error:
            raise Transient(f"The receiver could not be reached ({type(error).__name__}).") from error
        if not answer.is_success:
            raise Transient(f"The receiver answered {answer.status_code}.")

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _signed(self, body: bytes) -> dict[str, str]:
        try:
            secret = await asyncio.to_thread(self._secret.value)
        except OSError as error:
            raise Misconfigured(f"NOTIFY_SECRET names a file that cannot be read: {error.strerror}.") from error
        if not secret:
            return {}
        timestamp = str(int(time.time()))
        digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
        return {TIMESTAMP: timestamp, SIGNATURE: f"sha256={digest}"}


class Topic:
    """Publishes notices to a Pub/Sub topic, with the event, store and object as attributes."""

    def __init__(self, project: str, topic: str) -> None:
        self._name = f"projects/{project}/topics/{topic}"
        self._publisher: Any = None

    async def send(self, notice: Notice) -> None:
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError

        attributes = {"event": notice.event, "store": notice.document.store, "object": notice.document.object}
        try:
            if self._publisher is None:
                self._publisher = await asyncio.to_thread(_publisher)
            publishing = self._publisher.publish(
                self._name, notice.model_dump_json().encode(), timeout=TIMEOUT, **attributes
            )
            async with asyncio.timeout(TIMEOUT):
                await asyncio.wrap_future(publishing)
        except (GoogleAPIError, GoogleAuthError, TimeoutError) as error:
            raise Transient(f"The notice could not be published ({type(error).__name__}).") from error

    async def aclose(self) -> None:
        if self._publisher is not None:
            await asyncio.to_thread(self._publisher.stop)
            self._publisher.transport.close()


def _receiver(settings: Settings) -> Receiver | None:
    if not settings.notify_url:
        return None
    parts = urlsplit(settings.notify_url)
    if parts.scheme == "pubsub":
        return Topic(parts.netloc, parts.path.strip("/"))
    return Webhook(settings.notify_url, SecretSource(settings.notify_secret.get_secret_value()))


def _publisher() -> Any:
    from google.cloud import pubsub_v1

    return pubsub_v1.PublisherClient()
