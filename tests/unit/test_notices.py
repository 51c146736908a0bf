"""Notices arrive signed and whole, and wait for a receiver that is away."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.buckets.directory import DirectoryBucket
from shared.notices import KEPT, Notice, NoticedDocument, Notices
from shared.records import Lease, Reason, Record, Status
from shared.settings import Settings
from tests import clouds
from tests.answering import Answer, Request, answering
from tests.servers import free_port

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
RECORD = Record(
    object="hr/leave.md",
    deployment="here",
    backend="emulator",
    status=Status.INDEXED,
    version="7+abc",
    document="fileSearchStores/1/documents/2",
    lease=Lease(holder="me", attempt="1", expires=0),
    notes=("Metadata 'x y' was left out.",),
    size=8,
    mime_type="text/markdown",
    created=NOW,
    updated=NOW,
    indexed=NOW,
)


class Receiver:
    """An HTTP server that takes notices, or answers as it is told to."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: Callable[[dict[str, Any]], int] = lambda notice: 204
        self.url = ""

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        return Answer(self.answers(json.loads(request.body)))

    @property
    def ids(self) -> list[str]:
        """Of the notices that came."""
        return [json.loads(request.body)["id"] for request in self.requests]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    with answering(receiver.answer) as url:
        receiver.url = f"{url}/hook?token=1"
        yield receiver


@pytest_asyncio.fixture
async def state(tmp_path: Path) -> DirectoryBucket:
    bucket = DirectoryBucket(tmp_path / "state")
    await bucket.make()
    return bucket


@asynccontextmanager
async def notices_to(
    url: str, state: DirectoryBucket, monkeypatch: pytest.MonkeyPatch, *, secret: str = ""
) -> AsyncIterator[Notices]:
    for name, value in {"ENVIRONMENT": "development", "NOTIFY_URL": url, "NOTIFY_SECRET": secret}.items():
        monkeypatch.setenv(name, value)
    notices = Notices(state, Settings())
    yield notices
    await notices.aclose()


async def waiting(state: DirectoryBucket) -> list[str]:
    return [info.name async for info in state.list("notices/")]


async def keep(state: DirectoryBucket, *, age: timedelta) -> str:
    """Keep a notice of that age, and return its id."""
    about = NoticedDocument.model_validate(RECORD, from_attributes=True)
    notice = Notice(event="document.indexed", deployment="here", document=about, time=datetime.now(UTC) - age)
    await state.put(f"notices/{notice.id}.json", notice.model_dump_json().encode())
    return notice.id


async def test_a_notice_says_what_became_of_which_document(
    receiver: Receiver, state: DirectoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with notices_to(receiver.url, state, monkeypatch) as notices:
        await notices.tell(RECORD)
    [request] = receiver.requests
    assert (request.method, request.path) == ("POST", "/hook?token=1")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["X-Flamehaven-Event"] == "document.indexed"
    assert request.headers["X-Flamehaven-Signature"] is None
    body = json.loads(request.body)
    assert body.pop("id")
    assert datetime.fromisoformat(body.pop("time")) <= datetime.now(UTC)
    assert body == {
        "event": "document.indexed",
        "deployment": "here",
        "document": {
            "object": "hr/leave.md",
            "store": "hr",
            "status": "indexed",
            "reason": None,
            "notes": ["Metadata 'x y' was left out."],
            "version": "7+abc",
            "size": 8,
            "mime_type": "text/markdown",
            "indexed": "2026-05-04T03:02:01Z",
            "updated": "2026-05-04T03:02:01Z",
        },
    }
    assert await waiting(state) == []


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (Status.INDEXED, "document.indexed"),
        (Status.FAILED, "document.failed"),
        (Status.DELETED, "document.removed"),
        (Status.PENDING, None),
    ],
)
async def test_every_end_of_a_document_s_way_has_its_event(
    status: Status, event: str | None, receiver: Receiver, state: DirectoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = Reason(code="FILE_EMPTY", message="The file is empty.") if status is Status.FAILED else None
    async with notices_to(receiver.url, state, monkeypatch) as notices:
        await notices.tell(RECORD.model_copy(update={"status": status, "reason": reason}))
    assert [json.loads(request.body)["event"] for request in receiver.requests] == ([event] if event else [])
    if reason:
        assert json.loads(receiver.requests[0].body)["document"]["reason"] == reason.model_dump()


async def test_a_notice_is_signed_with_the_secret_of_the_moment(
    receiver: Receiver, state: DirectoryBucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text("from a file\n")
    for secret, value in (("a secret", b"a secret"), (str(file), b"from a file")):
        began = int(time.time())
        async with notices_to(receiver.url, state, monkeypatch, secret=secret) as notices:
            await notices.tell(RECORD)
        request = receiver.requests[-1]
        timestamp = request.headers["X-Flamehaven-Timestamp"]
        expected = hmac.new(value, timestamp.encode() + b"." + request.body, hashlib.sha256).hexdigest()
        assert request.headers["X-Flamehaven-Signature"] == f"sha256={expected}"
        assert began <= int(timestamp) <= time.time()


async def test_without_an_address_nobody_is_told_and_nothing_is_kept(
    state: DirectoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with notices_to("", state, monkeypatch) as notices:
        await notices.tell(RECORD)
        await notices.send_waiting()
    assert await waiting(state) == []


@pytest.mark.parametrize("status", [302, 400, 404, 500, 503])
async def test_a_notice_that_is_not_taken_comes_again_as_the_same(
    status: int, receiver: Receiver, state: DirectoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answers = lambda notice: status
    async with notices_to(receiver.url, state, monkeypatch) as notices:
        await notices.tell(RECORD)
        await notices.send_waiting()
        assert len(await waiting(state)) == 1
        receiver.answers = lambda notice: 200
        await notices.send_waiting()
        await notices.send_waiting()
    assert len(receiver.requests) == 3
    assert len(set(receiver.ids)) == 1
    assert len({request.body for request in receiver.requests}) == 1
    assert await waiting(state) == []


async def test_a_receiver_that_is_away_gets_every_notice_when_it_is_back(
    receiver: Receiver, state: DirectoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with notices_to(f"http://127.0.0.1:{free_port()}", state, monkeypatch) as notices:
        for n in range(20):
            await notices.tell(RECORD.model_copy(update={"object": f"hr/{n}.md"}))
    assert len(await waiting(state)) == 20
    async with notices_to(receiver.url, state, monkeypatch) as notices:
        await notices.send_waiting()
    assert {json.loads(request.body)["document"]["object"] for request in receiver.requests} == {
        f"hr/{n}.md" for n in range(20)
    }
    assert (len(receiver.requests), await waiting(state)) == (20, [])


async def test_a_notice_that_nobody_takes_is_given_up_after_a_day(
    receiver: Receiver, state: DirectoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answers = lambda notice: 500
    old = await keep(state, age=KEPT + timedelta(minutes=1))
    young = await keep(state, age=KEPT - timedelta(minutes=10))
    async with notices_to(receiver.url, state, monkeypatch) as notices:
        await notices.send_waiting()
    assert sorted(receiver.ids) == sorted([old, young])
    assert await waiting(state) == [f"notices/{young}.json"]


async def test_one_notice_that_is_refused_keeps_no_other(
    receiver: Receiver, state: DirectoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await keep(state, age=timedelta()) for _ in range(5)]
    receiver.answers = lambda notice: 400 if notice["id"] == ids[2] else 200
    async with notices_to(receiver.url, state, monkeypatch) as notices:
        await notices.send_waiting()
    assert await waiting(state) == [f"notices/{ids[2]}.json"]


async def test_what_is_no_notice_is_dropped_and_keeps_no_other(
    receiver: Receiver, state: DirectoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    await state.put("notices/0.json", b"{")
    await state.put("notices/1.json", b'{"event": "of another release"}')
    notice = await keep(state, age=timedelta())
    async with notices_to(receiver.url, state, monkeypatch) as notices:
        await notices.send_waiting()
    assert receiver.ids == [notice]
    assert await waiting(state) == []


async def test_a_secret_that_cannot_be_read_keeps_the_notice(
    receiver: Receiver, state: DirectoryBucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with notices_to(receiver.url, state, monkeypatch, secret=str(tmp_path / "missing")) as notices:
        await notices.tell(RECORD)
    assert receiver.requests == []
    assert len(await waiting(state)) == 1


# A topic of Pub/Sub


@pytest.fixture(scope="module")
def pubsub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[clouds.Pubsub]:
    with clouds.pubsub(tmp_path_factory.mktemp("pubsub")) as service:
        yield service


@pytest.fixture
def topic(pubsub: clouds.Pubsub, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a topic that need not exist, on an emulator."""
    for name, value in pubsub.environment().items():
        monkeypatch.setenv(name, value)
    return f"pubsub://{clouds.PROJECT}/notices"


async def test_notices_are_published_with_what_subscribers_filter_by(
    pubsub: clouds.Pubsub, topic: str, state: DirectoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = pubsub.create_subscription("notices", pubsub.create_topic("notices"))
    async with notices_to(topic, state, monkeypatch) as notices:
        await notices.tell(RECORD)
        await notices.tell(RECORD.model_copy(update={"object": "hr/été 🎈.md", "status": Status.DELETED}))
    messages = {message.attributes["event"]: message for message in pubsub.pull_all(subscription)}
    assert set(messages) == {"document.indexed", "document.removed"}
    attributes = dict(messages["document.removed"].attributes)
    assert attributes == {"event": "document.removed", "store": "hr", "object": "hr/été 🎈.md"}
    body = json.loads(messages["document.removed"].data)
    assert (body["event"], body["document"]["object"]) == ("document.removed", "hr/été 🎈.md")
    assert await waiting(state) == []


async def test_a_notice_for_a_topic_that_is_not_there_is_kept(
    topic: str, state: DirectoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with notices_to(f"{topic}-missing", state, monkeypatch) as notices:
        await notices.tell(RECORD)
    assert len(await waiting(state)) == 1
