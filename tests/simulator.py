"""A world to play reconcile in: buckets, Gemini and a clock that do nothing on their own.

Every process is a coroutine that is stepped by hand. What it asks of the world lets it pause once before the effect and
once after it, so a crash can fall before the effect, or between the effect and the process hearing of it. The world
knows what is true at every moment, and raises `Broken` as soon as a rule that users rely on no longer holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from functions.ingest.reconcile import Identity, Listed, Outcome, Reconciler
from functions.ingest.sweep import Report, _work, see_to, survey
from shared.buckets import Bucket, ObjectInfo, ObjectNotFound, PreconditionFailed, Stability
from shared.content import Content
from shared.failures import DependencyFailure, Permanent, Transient
from shared.gemini.client import Document, DocumentState, Uploaded, UploadError
from shared.gemini.metadata import ATTEMPT, OBJECT
from shared.records import Record, Records, Status

DEPLOYMENT, BACKEND = "deployment", "backend"
LEASE_SECONDS = 100.0
MAX_BYTES = 1000

EMPTY, REJECTED, BROKEN, DAMAGED = "", "rejected", "broken", "damaged"
"""Contents that cannot be indexed: refused unsent, refused by Gemini at once, FAILED with a reason, FAILED without."""
GOOD = ("alpha", "beta")
CONTENTS = (*GOOD, EMPTY, REJECTED, BROKEN, DAMAGED)

KINDS = ("look", "fetch", "read", "put", "upload", "ask", "delete")
"""What a process may ask the world for: of the bucket, of its content, of the state, and of Gemini."""
PAGE = 2
"""Documents that one call lists."""


class Broken(AssertionError):
    """A rule does not hold; the message starts with its name."""


class _Abandoned(BaseException):
    """A process that crashed does nothing more, whatever its cleanup tries."""


class _Pause:
    def __await__(self) -> Generator[None, None, None]:
        yield


_PAUSE = _Pause()


@dataclass(eq=False)
class Process:
    """One worker at one event, one sweep, or somebody who wants an object indexed anew."""

    holder: str
    event: str | None
    renews: bool = False
    coroutine: Coroutine[Any, Any, Any] = field(init=False)
    at: str = ""
    """Where it pauses: before or after the effect of what it asked for."""
    wake: float = 0.0
    dead: bool = False
    attempts: set[str] = field(default_factory=set)
    looked: dict[str, int] = field(default_factory=dict)
    wrote: dict[str, tuple[int, Record]] = field(default_factory=dict)


@dataclass
class SimDocument:
    """A document of the simulated Gemini, made from one generation of an object."""

    name: str
    object: str
    attempt: str
    generation: str
    content: str
    metadata: dict[str, str]
    state: DocumentState = DocumentState.PENDING
    stray: bool = False
    """It arrived when its sender no longer held the lease: its sender deletes it, or whoever finds it."""

    @property
    def fails(self) -> bool:
        return self.content in (BROKEN, DAMAGED)


@dataclass(frozen=True)
class Moment:
    """What an object was from `tick` on."""

    tick: int
    info: ObjectInfo | None

    @property
    def version(self) -> str | None:
        return self.info.version if self.info else None


class World:
    """Everything outside the processes, and the truth about it."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.tick = 0
        self.current: Process | None = None
        self.running: list[Process] = []
        self.events: list[str] = []
        self.faults: dict[str, str] = {}
        self.late: list[Callable[[], None]] = []
        self.gone: set[str] = set()
        self.writing: dict[str, Stability] = {}
        """Objects that somebody may still be writing."""
        self.failure: Exception | None = None
        self.gentle = True
        """Nothing crashed, got lost, failed or took too long so far: the index has to agree without a sweep."""
        self.documents = SimBucket(self)
        self.state = SimBucket(self, on_change=self._record_changed)
        self.index = SimIndex(self)
        self.stores = SimStores(self)
        self.history: dict[str, list[Moment]] = {}
        self.content: dict[str, str] = {}
        self.records: dict[str, Record] = {}
        self.flaked: set[str] = set()
        """Generations of which Gemini failed a document that it need not have failed."""
        self._leased: dict[str, int] = {}
        self._retired: set[str] = set()
        self._searchable: set[str] = set()
        self._promises: list[tuple[str, str, int]] = []
        self._numbers = 0

    # Processes

    def number(self) -> int:
        """A number that is larger than all before."""
        self._numbers += 1
        return self._numbers

    def start(self, event: str | None, *, renew: bool = False) -> Process:
        """A worker that handles an event, or renews its object, or with None a sweep; it has not begun yet."""
        process = Process(holder=f"holder-{self.number()}", event=event, renews=renew)

        def new_attempt() -> str:
            attempt = f"attempt-{self.number():06}"
            process.attempts.add(attempt)
            return attempt

        reconciler = Watched(
            documents=self.documents,
            records=Records(self.state),
            index=self.index,
            stores=self.stores,
            fetch=self.fetch,
            clock=SimClock(self),
            identity=Identity(deployment=DEPLOYMENT, backend=BACKEND, holder=process.holder),
            max_bytes=MAX_BYTES,
            lease_seconds=LEASE_SECONDS,
            new_attempt=new_attempt,
            holder_gone=self.gone.__contains__,
        )
        if event is None:
            process.coroutine = self._sweep(reconciler)
        else:
            process.coroutine = reconciler.renew(event) if renew else reconciler.reconcile(event)
        self.running.append(process)
        return process

    async def _sweep(self, reconciler: Reconciler) -> None:
        found = await survey(reconciler, self.stores)  # type: ignore[arg-type]  # only `resources` is asked for
        await _work(partial(see_to, reconciler), iter(found.items()), Report())

    def step(self, process: Process, *, error: BaseException | None = None) -> None:
        """Let a process run to its next pause; one that sleeps makes the time pass."""
        self.now = max(self.now, process.wake)
        self.current = process
        try:
            if error is None:
                process.coroutine.send(None)
            else:
                process.coroutine.throw(error)
        except StopIteration as end:
            self.running.remove(process)
            if end.value is Outcome.CHANGING and process.event is not None:
                self.events.append(process.event)  # the pump looks again in a moment
            if process.renews and process.event is not None:
                self.events.append(process.event)
        except (DependencyFailure, asyncio.CancelledError):
            self._deliver_again(process)
        except Exception as unexpected:
            self.running.remove(process)
            self.failure = self.failure or unexpected
        finally:
            self.current = None
        if self.failure is not None:
            raise self.failure

    def broke(self, what: str) -> NoReturn:
        """Note that a rule is broken, so that no process can hide it, and raise Broken."""
        self.failure = self.failure or Broken(what)
        raise self.failure

    def crash(self, process: Process, *, noticed: bool) -> None:
        """End a process here and now; `noticed` when others can know that the lease's holder is gone."""
        self.gentle = False
        process.dead = True
        self.current = process
        try:
            process.coroutine.close()
        except _Abandoned:
            pass
        finally:
            self.current = None
        if noticed:
            self.gone.add(process.holder)
        self._deliver_again(process)

    def cancel(self, process: Process) -> None:
        """Ask a process to stop; it may still clean up."""
        self.gentle = False
        self.step(process, error=asyncio.CancelledError())

    def _deliver_again(self, process: Process) -> None:
        self.running.remove(process)
        if process.event is not None:
            self.events.append(process.event)

    async def before(self, kind: str) -> Process:
        """The pause before an effect; an injected failure keeps the effect from happening."""
        process = self.current
        assert process is not None
        if process.dead:
            raise _Abandoned
        process.at = f"before {kind}"
        await _PAUSE
        self.tick += 1
        if self.faults.get(kind) == "before":
            self._fault(kind)
        return process

    async def after(self, kind: str) -> None:
        """The pause after an effect; an injected failure keeps the process from hearing of it."""
        assert self.current is not None
        self.current.at = f"after {kind}"
        await _PAUSE
        if self.faults.get(kind) == "after":
            self._fault(kind)

    def _fault(self, kind: str) -> None:
        self.faults.pop(kind)
        self.gentle = False
        raise Transient(f"injected: {kind}")

    # The user

    def put(self, name: str, content: str) -> None:
        info = ObjectInfo(name, f"g{self.number()}", len(content), self.time())
        self.content[info.generation] = content
        self._changed(name, info)

    def describe(self, name: str, metadata: Mapping[str, str]) -> None:
        info = self.object(name)
        if info is not None and dict(info.metadata) != metadata:
            self._changed(name, replace(info, metadata=metadata))

    def delete(self, name: str) -> None:
        if self.object(name) is not None:
            self._changed(name, None)

    def _changed(self, name: str, info: ObjectInfo | None) -> None:
        self.tick += 1
        if info is None:
            self.documents.objects.pop(name, None)
        else:
            self.documents.objects[name] = (info, b"")
        self.history.setdefault(name, [Moment(0, None)]).append(Moment(self.tick, info))
        self.events.append(name)
        self.check(name)

    def object(self, name: str) -> ObjectInfo | None:
        found = self.documents.objects.get(name)
        return found[0] if found else None

    def time(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    @asynccontextmanager
    async def fetch(self, bucket: Bucket, info: ObjectInfo, max_bytes: int) -> AsyncIterator[Content]:
        """What `shared.content.fetch` does; the file is only named here, after the generation that was read."""
        await self.before("fetch")
        there = self.object(info.name)
        if there is None:
            raise ObjectNotFound(info.name)
        if there.generation != info.generation:
            raise PreconditionFailed(info.name)
        await self.after("fetch")
        yield Content(Path(there.generation), f"sha256 of {self.content[there.generation]}")

    # What must be true

    def _record_changed(self, place: str, data: bytes | None) -> None:
        if data is None or not place.startswith(Records.PREFIX):
            self.broke(f"kept: {place} was deleted, or is no record")
        record = Record.model_validate_json(data)
        before = self.records.get(record.object)
        writer = self.current
        assert writer is not None
        self._check_writer(before, record, writer)
        self.records[record.object] = record
        writer.wrote[record.object] = (self.tick, record)
        if record.status is not Status.PENDING:
            self._check_stated(before, record)
        self._retired.update(record.retired)
        if record.document in self._retired:
            self.broke(f"retired for ever: {record.document} stands for {record.object} again")
        self.check(record.object)

    def _check_writer(self, before: Record | None, record: Record, writer: Process) -> None:
        """Only who holds the lease changes a record; others take an expired one over, or say that something changed."""
        mine = record.lease is not None and record.lease.attempt in writer.attempts
        lease = before.lease if before is not None else None
        if lease is not None and lease.attempt in writer.attempts:
            return
        if mine:
            self._leased[record.object] = self.tick
        if writer.renews:
            forgotten = {"status": Status.PENDING, "version": None, "digest": None, "reason": None}
            free = lease is None or lease.expires <= self.now or lease.holder in self.gone
            taken_over = {"lease": None, "uploads": record.uploads, "updated": record.updated}
            allowed = free and before is not None and record == before.model_copy(update={**forgotten, **taken_over})
        elif lease is None:
            allowed = mine
        elif mine:
            allowed = lease.expires <= self.now or lease.holder in self.gone
        else:
            allowed = before is not None and record == before.model_copy(update={"dirty": True})
        if not allowed:
            self.broke(f"only the holder writes: {writer.holder} changed {record.object}")

    def _check_stated(self, before: Record | None, record: Record) -> None:
        """What the record says of the object was true at a moment under this lease, and its document says the same."""
        name, version = record.object, record.version
        news = before is None or (before.status, before.version) != (record.status, version)
        if news and not self._was(name, version, self._leased[name]):
            self.broke(f"look under the lease: {name} was not {version} any more")
        if record.document is not None and version is not None:
            made_of = self.index.made[record.document].content
            should_be = self.content[version.partition("+")[0]]
            if made_of != should_be:
                self.broke(f"that generation: {version} is {should_be!r}, its document says {made_of!r}")

    def accounted(self, document: SimDocument) -> bool:
        """Whether the object's record leads to the document, by its name or by the attempt that sent it."""
        record = self.records.get(document.object)
        if record is None:
            return False
        if record.lease is not None and record.lease.attempt == document.attempt:
            return True
        unknown = {upload.attempt for upload in record.uploads if upload.document is None}
        return record.mentions(document.name) or document.attempt in unknown

    def check(self, name: str) -> None:
        """What must be true of an object at every moment."""
        documents = self._documents_of(name)
        for document in documents:
            if not document.stray and not self.accounted(document):
                self.broke(f"written down: no record leads to {document.name}")
        active = {document.name for document in documents if document.state is DocumentState.ACTIVE}
        failed = {document.name for document in documents if document.state is DocumentState.FAILED}
        record = self.records.get(name)
        named = {upload.document for upload in record.uploads} | {record.document} if record else set()
        named.discard(None)
        gemini_to_blame = failed & named or not named <= self.index.documents_now.keys()
        if not self._indexable(name) or gemini_to_blame:
            self._searchable.discard(name)
        elif record is not None and record.document in active:
            self._searchable.add(name)
        elif name in self._searchable and not active:
            self.broke(f"always searchable: nothing answers for {name}")

    def _documents_of(self, name: str) -> list[SimDocument]:
        return [document for document in self.index.documents_now.values() if document.object == name]

    def _indexable(self, name: str) -> bool:
        info = self.object(name)
        return info is not None and self.content[info.generation] in GOOD and info.generation not in self.flaked

    def check_delete(self, document: SimDocument) -> None:
        """Nothing that a record relies on is deleted, and nothing that another holder of the lease has just sent."""
        record = self.records.get(document.object)
        if record is None or document.name in record.retired:
            return
        attempt = record.lease.attempt if record.lease else None
        sent_by_holder = document.attempt == attempt and self.current and attempt not in self.current.attempts
        if record.mentions(document.name) or sent_by_holder:
            self.broke(f"nothing in use is deleted: {document.name}")

    def gemini_failed(self, document: SimDocument) -> None:
        """Gemini failed or lost a document: nobody else is to blame for what cannot be found now."""
        self.gentle = False
        self._searchable.discard(document.object)

    def check_end(self, process: Process, name: str, outcome: Outcome, began: int) -> None:
        """What a call of `reconcile` must have done when it returns."""
        record = self.records.get(name)
        for document in self._documents_of(name):
            if document.attempt in process.attempts and not self.accounted(document):
                self.broke(f"tidy: {process.holder} sent {document.name}, and told nobody")
        if outcome is Outcome.BUSY:
            if record is not None and record.lease is not None:
                self._promises.append((name, record.lease.attempt, began))
            return
        for promised, attempt, tick in self._promises:
            if promised == name and attempt in process.attempts and process.looked[name] < tick:
                self.broke(f"busy is a promise: {process.holder} did not look at {name} again")
        if outcome in (Outcome.PENDING, Outcome.CHANGING):  # it is looked at again: by a sweep, or soon
            self.gentle = self.gentle and outcome is Outcome.CHANGING
            return
        tick, last = process.wrote.get(name, (-1, None))
        if last is None or last is not record or last.status is Status.PENDING:
            return  # somebody wrote later, or renewed the object and will have it looked at again
        if tick >= began and not self._was(name, last.version, tick):
            self.broke(f"look again: {name} had changed before {last.version} was written")

    def _was(self, name: str, version: str | None, since: int) -> bool:
        """Whether the object was of this version at some moment after `since`."""
        moments = self.history.get(name, [Moment(0, None)])
        ends = [moment.tick for moment in moments[1:]] + [self.tick + 1]
        return any(moment.version == version and end > since for moment, end in zip(moments, ends, strict=True))

    def check_agreement(self, when: str) -> None:
        """The index says what the bucket says, and nobody has anything left to do."""
        for name in self.history | self.records:
            info, record = self.object(name), self.records.get(name)
            documents = self._documents_of(name)
            problem = self._disagreement(info, record, documents)
            if problem:
                self.broke(f"agreement {when}: {name} {problem}: {info}, {record}, {documents}")

    def _disagreement(self, info: ObjectInfo | None, record: Record | None, documents: list[SimDocument]) -> str | None:
        if record is not None and (record.lease or record.uploads or record.retired or record.dirty):
            return "is not at rest"
        if info is None:
            if documents:
                return "is gone, and has documents"
            return "is gone, and its record says otherwise" if record and record.status is not Status.DELETED else None
        if record is None or record.version != info.version:
            return "was not looked at"
        good = self.content[info.generation] in GOOD
        if record.status is Status.FAILED and (not good or info.generation in self.flaked):
            return "has failed, and has documents" if documents or record.document else None
        if not good or record.status is not Status.INDEXED:
            return "has the wrong status"
        if [document.name for document in documents] != [record.document]:
            return "has not just the document that its record names"
        if documents[0].state is not DocumentState.ACTIVE:
            return "cannot be found"
        return None if documents[0].content == self.content[info.generation] else "answers with old content"

    # The end

    def finish(self) -> None:
        """Let everything come to rest without a further failure, sweep once, and look whether all agree."""
        self.faults.clear()
        self.writing.clear()
        self.arrive()
        self.index.slow = False
        for process in list(self.running):
            self._run_out(process)
        for _ in range(200):
            if not self.events:
                break
            self._run_out(self.start(self.events.pop(0)))
        else:
            self.broke("rest: events are delivered again for ever")
        if self.gentle:
            self.check_agreement("without a sweep")
        self.now += LEASE_SECONDS + 1
        self._run_out(self.start(None))
        self.check_agreement("after one sweep")

    def close(self) -> None:
        """Drop what still runs."""
        for process in list(self.running):
            self.crash(process, noticed=False)

    def _run_out(self, process: Process) -> None:
        for _ in range(5000):
            if process not in self.running:
                return
            self.step(process)
        self.broke("rest: a process runs for ever")

    def arrive(self) -> None:
        """Uploads whose sender waits no longer come in."""
        for land in self.late:
            land()
        self.late.clear()


class Watched(Reconciler):
    """The reconciler itself; the world is told what each call came to."""

    async def reconcile(self, name: str, *, listed: Listed | None = None) -> Outcome:
        world: World = self.clock.world  # type: ignore[attr-defined]  # the clock is a SimClock
        process, began = world.current, world.tick
        assert process is not None
        outcome = await Reconciler.reconcile(self, name, listed=listed)
        world.check_end(process, name, outcome, began)
        return outcome


@dataclass(frozen=True)
class SimClock:
    """The world's time; who sleeps is woken late, so that waiting takes few steps."""

    PACE: ClassVar[float] = 8.0
    world: World

    def now(self) -> float:
        return self.world.now

    async def sleep(self, seconds: float) -> None:
        process = self.world.current
        assert process is not None
        process.wake = self.world.now + seconds * self.PACE
        await self.world.before("sleep")


@dataclass
class SimReader:
    """One generation of a state object; it is small, and read in one piece."""

    generation: str
    data: bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.data


class SimBucket:
    """A bucket in memory."""

    def __init__(self, world: World, on_change: Callable[[str, bytes | None], None] | None = None) -> None:
        self._world = world
        self._on_change = on_change
        self.objects: dict[str, tuple[ObjectInfo, bytes]] = {}

    async def stat(self, name: str) -> ObjectInfo | None:
        process = await self._world.before("look")
        process.looked[name] = self._world.tick
        found = self.objects.get(name)
        await self._world.after("look")
        return found[0] if found else None

    async def stability(self, info: ObjectInfo) -> Stability:
        return self._world.writing.get(info.name, Stability.STABLE)

    async def find(self, name: str) -> str:
        return name

    @asynccontextmanager
    async def open(self, name: str, generation: str | None = None) -> AsyncIterator[SimReader]:
        await self._world.before("read")
        found = self.objects.get(name)
        await self._world.after("read")
        if found is None:
            raise ObjectNotFound(name)
        if generation not in (None, found[0].generation):
            raise PreconditionFailed(name)
        yield SimReader(found[0].generation, found[1])

    async def put(self, name: str, data: Any, *, if_generation: str | None = None) -> ObjectInfo:
        await self._world.before("put")
        self._check(name, if_generation)
        info = ObjectInfo(name, f"s{self._world.number()}", len(data), self._world.time())
        self.objects[name] = (info, data)
        if self._on_change:
            self._on_change(name, data)
        await self._world.after("put")
        if self._world.faults.get("put") == "twice":
            # The answer was lost, and the client library tried again: it failed on what it had written itself.
            del self._world.faults["put"]
            self._world.gentle = False
            raise PreconditionFailed(name)
        return info

    async def delete(self, name: str, *, if_generation: str | None = None) -> bool:
        await self._world.before("put")
        self._check(name, if_generation)
        found = self.objects.pop(name, None)
        if self._on_change:
            self._on_change(name, None)
        await self._world.after("put")
        return found is not None

    def _check(self, name: str, if_generation: str | None) -> None:
        found = self.objects.get(name)
        if if_generation not in (None, found[0].generation if found else "0"):
            raise PreconditionFailed(name)

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        await self._world.before("read")
        found = [info for name, (info, _) in sorted(self.objects.items()) if name.startswith(prefix)]
        await self._world.after("read")
        for info in found:
            yield info


class SimStores:
    """Stores that come to be with the first upload."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made: set[str] = set()

    async def resource(self, store: str) -> str | None:
        await self._world.before("read")
        return f"fileSearchStores/{store}" if store in self._made else None

    async def ensure(self, store: str) -> str:
        await self._world.before("read")
        self._made.add(store)
        return f"fileSearchStores/{store}"

    async def resources(self) -> list[str]:
        await self._world.before("read")
        return [f"fileSearchStores/{store}" for store in sorted(self._made)]


class SimIndex:
    """Gemini: documents are PENDING until the world says otherwise."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.slow = self.quick = False
        """Documents are PENDING until they were asked for once; slow: until told to go on; quick: until asked for."""
        self.made: dict[str, SimDocument] = {}
        self.documents_now: dict[str, SimDocument] = {}

    async def upload(self, store: str, path: Path, *, display_name: str, metadata: Mapping[str, str]) -> Uploaded:
        await self._world.before("upload")
        number = self._world.number()
        document = SimDocument(
            name=f"{store}/documents/{number:06}",
            object=metadata[OBJECT],
            attempt=metadata[ATTEMPT],
            generation=path.name,
            content=self._world.content[path.name],
            metadata=dict(metadata),
        )
        if document.content == REJECTED:
            raise Permanent("INVALID_FILE", "Gemini refuses this file.")
        if self._world.faults.get("upload") == "late":
            del self._world.faults["upload"]
            self._world.gentle = False
            self._world.late.append(lambda: self._land(document))
            raise Transient("The upload took too long.")
        self._land(document)
        await self._world.after("upload")
        return Uploaded(document=document.name, operation=f"operations/{document.name}")

    def _land(self, document: SimDocument) -> None:
        record = self._world.records.get(document.object)
        document.stray = not (record and record.lease and record.lease.attempt == document.attempt)
        self.made[document.name] = self.documents_now[document.name] = document
        self._world.check(document.object)

    async def document(self, name: str) -> Document:
        await self._world.before("ask")
        found = self.documents_now.get(name)
        if found and self.quick:
            self.progress(found)
        seen = Document(name, found.state, found.metadata) if found else Document(name, DocumentState.ABSENT, {})
        if found and not self.slow:
            self.progress(found)
        await self._world.after("ask")
        return seen

    async def upload_error(self, operation: str) -> UploadError | None:
        await self._world.before("ask")
        made = self.made[operation.removeprefix("operations/")]
        failed = made.content == BROKEN and made.state is DocumentState.FAILED
        await self._world.after("ask")
        return UploadError("Gemini cannot read this file.", is_final=True) if failed else None

    async def documents(self, store: str) -> AsyncIterator[Document]:
        last = ""
        while True:
            await self._world.before("ask")
            names = sorted(name for name in self.documents_now if name.startswith(f"{store}/") and name > last)
            page = [Document(name, self.made[name].state, self.made[name].metadata) for name in names[:PAGE]]
            await self._world.after("ask")
            for document in page:
                yield document
            if len(names) <= PAGE:
                return
            last = page[-1].name

    async def delete_document(self, name: str) -> None:
        await self._world.before("delete")
        document = self.documents_now.pop(name, None)
        if document is not None:
            self._world.check_delete(document)
            self._world.check(document.object)
        await self._world.after("delete")

    # What Gemini does on its own

    def progress(self, document: SimDocument) -> None:
        if document.state is DocumentState.PENDING:
            document.state = DocumentState.FAILED if document.fails else DocumentState.ACTIVE
            self._world.check(document.object)

    def flake(self, document: SimDocument) -> None:
        if not document.fails:
            self._world.flaked.add(document.generation)
        document.state = DocumentState.FAILED
        self._world.gemini_failed(document)
        self._world.check(document.object)

    def recover(self, document: SimDocument) -> None:
        if document.state is DocumentState.FAILED and not document.fails:
            document.state = DocumentState.ACTIVE
            self._world.check(document.object)

    def lose(self, document: SimDocument) -> None:
        del self.documents_now[document.name]
        self._world.gemini_failed(document)
        self._world.check(document.object)
