"""What a process works with, put together once from its settings when it is first needed."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.answers import Answers, FolderAnswers, FolderMarks, NoAnswers
from shared.buckets import ABSENT, Bucket, PreconditionFailed
from shared.buckets.directory import DirectoryBucket
from shared.content import clear_left
from shared.failures import Transient
from shared.flights import Flights
from shared.keys import Keys
from shared.notices import Notices
from shared.places import place_of
from shared.progress import Progress
from shared.quotas import Quotas
from shared.records import Records
from shared.settings import Settings, settings
from shared.state.collection import read
from shared.stores import Stores
from shared.turns import Turns
from shared.unfinished import Unfinished

if TYPE_CHECKING:
    from shared.gemini.client import Gemini
    from shared.redis_link import RedisLink

DEPLOYMENT_PLACE = "deployment"


@dataclass(frozen=True, slots=True)
class Runtime:
    """The buckets, the index and the identity of this process."""

    settings: Settings
    documents: Bucket
    state: Bucket
    records: Records
    stores: Stores
    gemini: Gemini
    index_notice: Callable[[], str | None]
    """What an operator should know of the index after an upgrade, in a sentence; blocks."""
    redis: RedisLink | None
    answers: Answers
    flights: Flights[Any]
    """Questions that are being put to Gemini."""
    turns: Turns
    """Taken to put one."""
    progress: Progress
    quotas: Quotas
    unfinished: Unfinished
    notices: Notices
    keys: Keys
    uploads: asyncio.Semaphore
    """Held while a document is fetched and sent to Gemini."""
    deployment: str
    backend: str
    trouble: dict[str, str] = field(default_factory=dict)
    """What of this process's work has stopped until an operator acts, and why; the health check tells."""

    async def aclose(self) -> None:
        """Close every connection, and end what an emulator in this process works on."""
        for part in (self.gemini, self.notices, self.documents, self.state, self.answers, self.redis):
            if part is not None:
                await part.aclose()


async def runtime() -> Runtime:
    """The runtime of this process. Raises ServiceError (CONFIGURATION_ERROR), Misconfigured, Transient."""
    if not _opened:
        made = await open_runtime(settings())
        if not _opened:  # another request may have been faster
            _opened.append(made)
    return _opened[0]


_opened: list[Runtime] = []


async def close_runtime() -> None:
    """End what the runtime of this process started; the next caller of `runtime` starts from the settings again."""
    while _opened:
        await _opened.pop().aclose()
    settings.cache_clear()


async def open_runtime(settings: Settings) -> Runtime:
    """Put a runtime together: says whose documents these are, and finds or makes this deployment's id."""
    await asyncio.to_thread(clear_left)
    state = await asyncio.to_thread(open_bucket, settings.state_place)
    documents = await asyncio.to_thread(open_bucket, settings.documents_place)
    if isinstance(state, DirectoryBucket):
        await state.make()
        state.root = await asyncio.to_thread(state.root.resolve)  # a link that is replaced later leads nowhere else
    if isinstance(documents, DirectoryBucket) and not settings.documents_url:
        await documents.make()
    gemini, backend, index_notice = await asyncio.to_thread(_open_gemini, settings)
    deployment = await _deployment(state)
    redis = _link(settings)
    answers = _answers(settings, state, redis, deployment)
    records = Records(state, answers, backend=backend)
    return Runtime(
        settings=settings,
        documents=documents,
        state=state,
        records=records,
        stores=Stores(state, gemini, deployment=deployment, backend=backend),
        gemini=gemini,
        index_notice=index_notice,
        redis=redis,
        answers=answers,
        flights=Flights(),
        turns=Turns(settings.parallel_searches, waiting=settings.parallel_searches),
        progress=Progress(documents, records),
        quotas=Quotas(documents, settings.store_quota_mb << 20),
        unfinished=Unfinished(state),
        notices=Notices(state, settings),
        keys=Keys(state),
        uploads=asyncio.Semaphore(settings.parallel_uploads),
        deployment=deployment,
        backend=backend,
    )


def open_bucket(address: str) -> Bucket:
    """The bucket at an address: gs://BUCKET/PREFIX, s3://BUCKET/PREFIX, the path of a folder, or a file:// address.

    Raises Misconfigured where there are no credentials for it.
    """
    place = place_of(address)
    if place.kind == "gs":
        from shared.buckets.gcs import CloudStorageBucket

        return CloudStorageBucket(place.bucket, place.prefix)
    if place.kind == "s3":
        from shared.buckets.s3 import S3Bucket

        return S3Bucket(place.bucket, place.prefix)
    return DirectoryBucket(Path(place.path))


def _link(settings: Settings) -> RedisLink | None:
    address = settings.redis_address()
    if not address:
        return None
    from shared.redis_link import RedisLink

    return RedisLink(address)


def _answers(settings: Settings, state: Bucket, redis: RedisLink | None, deployment: str) -> Answers:
    """Where answers are kept: in Redis, else in this process where other processes can tell it what they change."""
    marks = FolderMarks(state.root / "marks") if isinstance(state, DirectoryBucket) else None
    if redis is not None:
        from shared.redis_answers import RedisAnswers

        return RedisAnswers(redis, deployment, ttl=settings.cache_ttl_sec, folder=marks)
    if marks is not None:
        return FolderAnswers(marks, ttl=settings.cache_ttl_sec, size=settings.cache_max_size)
    return NoAnswers()


async def _deployment(state: Bucket) -> str:
    """This deployment's id, made up once and kept in the state bucket."""
    with contextlib.suppress(PreconditionFailed):
        await state.put(DEPLOYMENT_PLACE, secrets.token_hex(8).encode(), if_generation=ABSENT)
    entry = await read(state, DEPLOYMENT_PLACE)
    if entry is None:
        raise Transient(f"{DEPLOYMENT_PLACE} was deleted while it was read.")
    return entry.data.decode()


def _open_gemini(settings: Settings) -> tuple[Gemini, str, Callable[[], str | None]]:
    """The client for the Gemini that the settings ask for, a name for what is behind it, and its `index_notice`."""
    from shared.gemini.client import Gemini

    timeout = settings.upload_timeout_sec
    if settings.embedded:
        from file_search_emulator.app import create_app, instance_id
        from shared.gemini.transport import InProcessTransport

        folder = settings.data_dir / "emulator"
        app = create_app(folder)
        app.state.emulator.set_aside_if_unreadable()
        transport = InProcessTransport(app, app.state.emulator.close)
        gemini = Gemini(
            settings.key_source(), base_url="http://emulator.local", transport=transport, upload_timeout=timeout
        )
        return gemini, f"emulator:{instance_id(folder)}", app.state.emulator.notice
    address = settings.gemini_base_url
    gemini = Gemini(settings.key_source(), base_url=address or None, upload_timeout=timeout)
    return gemini, f"{address or 'google'}:{settings.gemini_project}", lambda: None
