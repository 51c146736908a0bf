"""The buckets of Cloud Storage and S3 keep what the protocol promises, each over a real server of its kind."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import unicodedata
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from email.header import Header
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.buckets import (
    ABSENT,
    Bucket,
    InvalidObjectName,
    ObjectInfo,
    ObjectNotFound,
    PreconditionFailed,
    Unreadable,
    cloud,
    gcs,
    s3,
)
from shared.buckets.documents import documents_of
from shared.content import fetch
from shared.encoded_words import decoded
from shared.failures import DependencyFailure, Misconfigured, Permanent, Transient
from shared.names import MAX_NAME_BYTES, METADATA_SUFFIX
from shared.runtime import open_bucket
from tests import clouds
from tests.answering import Answer, Request, answering
from tests.servers import free_port, until

NAMES = [
    "a b.txt",
    "a+b.txt",
    "100%.txt",
    "a%20b.txt",
    "a%2Fb.txt",
    "what?a=b.txt",
    "#1.txt",
    "R&D; cost=1,2:3@$!*.txt",
    "(a)[b]{c}|d^e~f`.txt",
    "\"double\" 'single'.txt",
    "<tag>&amp;.txt",
    "back\\slash.txt",
    " space around .txt ",
    "tab\tand\rreturn.txt",
    "été.txt",
    "e\u0301te\u0301.txt",  # the same to the eye, and another name
    "日本語/資料.txt",
    "🎈👩‍👩‍👧.txt",
    "a.b/c.d/e",
]


@dataclass(frozen=True)
class Service:
    """A kind of bucket with a real server behind it, and what another program can do there."""

    kind: str
    server: clouds.Gcs | clouds.Aws

    @property
    def scheme(self) -> str:
        return "gs" if self.kind == "gs" else "s3"

    def create(self, bucket: str) -> None:
        if isinstance(self.server, clouds.Gcs):
            self.server.client.create_bucket(bucket)
        else:
            self.server.s3().create_bucket(Bucket=bucket)

    def write(self, bucket: str, key: str, data: bytes, metadata: Mapping[str, str]) -> None:
        """Write an object with metadata of the cloud's own."""
        if isinstance(self.server, clouds.Gcs):
            blob = self.server.client.bucket(bucket).blob(key)
            blob.metadata = dict(metadata)
            blob.upload_from_string(data)
        else:
            self.server.s3().put_object(Bucket=bucket, Key=key, Body=data, Metadata=dict(metadata))

    def write_encoded(self, bucket: str, key: str, data: bytes, encoding: str) -> None:
        """Write an object with a Content-Encoding."""
        if isinstance(self.server, clouds.Gcs):
            blob = self.server.client.bucket(bucket).blob(key)
            blob.content_encoding = encoding
            blob.upload_from_string(data)
        else:
            self.server.s3().put_object(Bucket=bucket, Key=key, Body=data, ContentEncoding=encoding)

    def describe(self, bucket: str, key: str, metadata: Mapping[str, str]) -> None:
        """Replace the metadata of an object, and nothing else."""
        if isinstance(self.server, clouds.Gcs):
            blob = self.server.client.bucket(bucket).blob(key)
            blob.metadata = dict(metadata)
            blob.patch()
        else:
            self.server.s3().copy_object(
                Bucket=bucket,
                Key=key,
                CopySource={"Bucket": bucket, "Key": key},
                Metadata=dict(metadata),
                MetadataDirective="REPLACE",
            )

    def clear(self, bucket: str) -> None:
        """Delete every object."""
        if isinstance(self.server, clouds.Gcs):
            for blob in self.server.client.list_blobs(bucket):
                blob.delete()
        else:
            for found in self.server.s3().list_objects_v2(Bucket=bucket).get("Contents", []):
                self.server.s3().delete_object(Bucket=bucket, Key=found["Key"])


@dataclass(frozen=True)
class Place:
    """A bucket of a service, or a prefix in one, as the product sees it."""

    service: Service
    bucket: Bucket
    name: str
    prefix: str

    def write(self, name: str, data: bytes, **metadata: str) -> None:
        self.service.write(self.name, self.prefix + name, data, metadata)

    def describe(self, name: str, **metadata: str) -> None:
        self.service.describe(self.name, self.prefix + name, metadata)


SERVICES = ["gs", "s3", pytest.param("localstack", marks=pytest.mark.slow)]


@contextmanager
def running(kind: str, folder: Path) -> Iterator[Service]:
    if kind == "gs":
        with clouds.fake_gcs(folder) as google:
            yield Service(kind, google)
    else:
        with (clouds.moto if kind == "s3" else clouds.localstack)(folder) as amazon:
            yield Service(kind, amazon)


@pytest.fixture(scope="module", autouse=True)
def in_a_hurry() -> Iterator[None]:
    """Writes need not wait for each other, and failures are not waited out."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(gcs, "WRITE_SPACING", 0.0)
        monkeypatch.setattr(gcs, "RETRY", gcs.RETRY.with_delay(0.01, 0.01).with_timeout(0.05))
        monkeypatch.setattr(s3, "CONFIG", s3.CONFIG.merge(Config(retries={"total_max_attempts": 1})))
        yield


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that `open_bucket` finds."""
    with (
        running(request.param, tmp_path_factory.mktemp("cloud")) as service,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        for name, value in service.server.environment().items():
            monkeypatch.setenv(name, value)
        yield service


@pytest.fixture(scope="module", params=["", "the documents/2026/"], ids=["whole", "prefix"])
def opened(request: pytest.FixtureRequest, service: Service) -> Iterator[Place]:
    name = f"documents-{'part' if request.param else 'whole'}"
    service.create(name)
    bucket = open_bucket(f"{service.scheme}://{name}/{request.param}")
    yield Place(service, bucket, name, request.param)
    asyncio.run(bucket.aclose())


@pytest.fixture
def place(opened: Place) -> Iterator[Place]:
    """A bucket that is empty, as a client for every test would take longer than the test."""
    yield opened
    opened.service.clear(opened.name)


async def read(bucket: Bucket, name: str, generation: str | None = None) -> bytes:
    async with bucket.open(name, generation) as reader:
        return b"".join([part async for part in reader])


async def listed(bucket: Bucket, prefix: str = "") -> list[ObjectInfo]:
    return [info async for info in bucket.list(prefix)]


async def put(bucket: Bucket, name: str, content: bytes, generation: str) -> bool:
    """Whether a conditional write was done."""
    try:
        await bucket.put(name, content, if_generation=generation)
    except PreconditionFailed:
        return False
    return True


# Names


async def test_whatever_the_name_an_object_is_put_found_read_listed_and_deleted(place: Place) -> None:
    longest = "é" * ((MAX_NAME_BYTES - len(place.prefix)) // 2)
    names = [*NAMES, longest]
    written = await asyncio.gather(*(place.bucket.put(name, f"about {name}".encode()) for name in names))
    for name, info in zip(names, written, strict=True):
        found = await place.bucket.stat(name)
        assert found is not None
        assert (found.name, found.generation, found.size) == (name, info.generation, len(f"about {name}".encode()))
        assert await read(place.bucket, name, info.generation) == f"about {name}".encode()
    assert [(info.name, info.size) for info in await listed(place.bucket)] == sorted(
        (name, len(f"about {name}".encode())) for name in names
    )
    for name in names:
        assert await place.bucket.delete(name)
        assert not await place.bucket.delete(name)
        assert await place.bucket.stat(name) is None
        with pytest.raises(ObjectNotFound):
            await read(place.bucket, name)
    assert await listed(place.bucket) == []


async def test_what_is_no_name_is_no_object(place: Place) -> None:
    for name in ("", "/a", "a/", "a//b", "../a", "a/./b", "a\0b", "\ud800", "x" * (MAX_NAME_BYTES + 1)):
        assert await place.bucket.stat(name) is None
        with pytest.raises(ObjectNotFound):
            await read(place.bucket, name)
        with pytest.raises(InvalidObjectName):
            await place.bucket.put(name, b"x")
        assert not await place.bucket.delete(name)


async def test_what_others_put_under_an_empty_folder_can_be_seen_and_deleted(place: Place) -> None:
    for name in ("hr//x.md", "/lead.md"):
        place.write(name, b"x")
        assert (await place.bucket.stat(name)) is not None
        assert [info.name for info in await listed(place.bucket)] == [name]
        assert await place.bucket.delete(name)


async def test_a_name_finds_the_object_that_has_it_in_another_unicode_form(place: Place) -> None:
    nfc, nfd = "Gärtnerei/Öl.md", unicodedata.normalize("NFD", "Gärtnerei/Öl.md")
    mixed = f"{nfd.split('/')[0]}/{nfc.split('/')[1]}"
    assert await place.bucket.find(nfd) == nfc
    place.write(mixed, b"x")
    assert await place.bucket.find(nfc) == await place.bucket.find(nfd) == mixed
    assert [info.name async for info in documents_of(place.bucket, store="Gärtnerei")] == [mixed]
    assert [info.name async for info in documents_of(place.bucket, prefix=nfd)] == [mixed]


async def test_a_name_that_is_too_long_only_with_the_prefix_is_refused(place: Place) -> None:
    name = "x" * MAX_NAME_BYTES
    if not place.prefix:
        assert await place.bucket.put(name, b"x")
        assert await place.bucket.stat(name)
        return
    with pytest.raises(InvalidObjectName, match="prefix"):
        await place.bucket.put(name, b"x")
    assert await place.bucket.stat(name) is None


async def test_an_event_s_key_is_located_below_the_prefix_of_this_bucket(place: Place) -> None:
    locate = place.bucket.locate
    assert locate(place.name, f"{place.prefix}hr/x.md") == "hr/x.md"
    assert locate("another", f"{place.prefix}hr/x.md") is None
    if place.prefix:
        assert locate(place.name, "hr/x.md") is None
        assert locate(place.name, place.prefix.rstrip("/") + "-old/x.md") is None


async def test_objects_outside_the_prefix_are_none_of_ours(place: Place) -> None:
    if not place.prefix:
        pytest.skip("a whole bucket has no outside")
    place.service.write(place.name, "outside.txt", b"x", {})
    place.service.write(place.name, place.prefix.rstrip("/") + "-old/x.txt", b"x", {})
    await place.bucket.put("inside.txt", b"x")
    assert [info.name for info in await listed(place.bucket)] == ["inside.txt"]
    assert await place.bucket.stat("outside.txt") is None
    assert not await place.bucket.delete("outside.txt")


# Generations


async def test_only_the_generation_asked_for_is_read(place: Place) -> None:
    old = await place.bucket.put("x", b"1")
    new = await place.bucket.put("x", b"2")
    assert new.generation != old.generation
    with pytest.raises((ObjectNotFound, PreconditionFailed)):
        await read(place.bucket, "x", old.generation)
    assert await read(place.bucket, "x", new.generation) == b"2"
    async with place.bucket.open("x") as reader:
        assert b"".join([part async for part in reader]) == b"2"
        assert reader.generation == new.generation
    await place.bucket.delete("x")
    with pytest.raises((ObjectNotFound, PreconditionFailed)):
        await read(place.bucket, "x", new.generation)


async def test_of_many_conditional_writes_exactly_one_wins(place: Place) -> None:
    first = await asyncio.gather(*(put(place.bucket, "record", b"created by %d" % n, ABSENT) for n in range(30)))
    assert sum(first) == 1
    assert await read(place.bucket, "record") == b"created by %d" % first.index(True)
    info = await place.bucket.stat("record")
    assert info is not None
    second = await asyncio.gather(
        *(put(place.bucket, "record", b"replaced by %d" % n, info.generation) for n in range(30))
    )
    assert sum(second) == 1
    assert await read(place.bucket, "record") == b"replaced by %d" % second.index(True)
    assert not await put(place.bucket, "record", b"late", info.generation)
    assert not await put(place.bucket, "record", b"late", ABSENT)


async def test_a_conditional_write_over_what_was_deleted_fails(place: Place) -> None:
    info = await place.bucket.put("record", b"1")
    await place.bucket.delete("record")
    assert not await put(place.bucket, "record", b"2", info.generation)
    assert await place.bucket.stat("record") is None
    assert await put(place.bucket, "record", b"3", ABSENT)


async def test_a_conditional_write_whose_answer_was_lost_succeeds_when_tried_again(place: Place) -> None:
    created = await place.bucket.put("record", b"1", if_generation=ABSENT)
    again = await place.bucket.put("record", b"1", if_generation=ABSENT)
    assert again.generation == created.generation
    replaced = await place.bucket.put("record", b"2", if_generation=created.generation)
    again = await place.bucket.put("record", b"2", if_generation=created.generation)
    assert (again.generation, again.size) == (replaced.generation, 1)
    assert not await put(place.bucket, "record", b"1", created.generation)


async def test_a_conditional_delete_spares_what_changed(place: Place) -> None:
    old = await place.bucket.put("record", b"1")
    new = await place.bucket.put("record", b"2")
    if place.service.scheme == "gs":
        pytest.skip("NOT CHECKED: fake-gcs-server ignores the precondition of a delete")
    with pytest.raises(PreconditionFailed):
        await place.bucket.delete("record", if_generation=old.generation)
    assert await read(place.bucket, "record") == b"2"
    assert await place.bucket.delete("record", if_generation=new.generation)
    assert not await place.bucket.delete("record", if_generation=new.generation)


async def test_of_many_conditional_deletes_none_fails(place: Place) -> None:
    info = await place.bucket.put("record", b"1")
    deleted = await asyncio.gather(*(place.bucket.delete("record", if_generation=info.generation) for _ in range(10)))
    assert any(deleted)
    assert await place.bucket.stat("record") is None


# Listings


async def test_a_listing_of_more_than_one_page_has_every_object_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_pages_of(place, 3, monkeypatch)
    names = [f"{folder}/{n}.md" for folder in ("a", "b") for n in range(7)]
    written = {info.name: info for info in [await place.bucket.put(name, name.encode()) for name in names]}
    found = await listed(place.bucket)
    assert [info.name for info in found] == sorted(names)
    assert all(info.generation == written[info.name].generation for info in found)
    assert [info.name for info in await listed(place.bucket, "b/")] == [f"b/{n}.md" for n in range(7)]
    assert [info.name for info in await listed(place.bucket, "b/3")] == ["b/3.md"]
    assert await listed(place.bucket, "c") == []


async def test_whether_metadata_is_known_is_looked_for_beyond_the_next_name(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_pages_of(place, 2, monkeypatch)
    described = {"a", "a-1", "folder/b"}
    names = {"a", "a-1", "a-2", "a.md", "folder/b", "folder/b.", "folder/c", "z"}
    for name in names | {each + METADATA_SUFFIX for each in described}:
        await place.bucket.put(name, b"{}")
    known = {info.name: info.metadata_known for info in await listed(place.bucket)}
    assert known == {
        name: place.service.scheme == "gs" and name not in described
        for name in names | {each + METADATA_SUFFIX for each in described}
    }


def in_pages_of(place: Place, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server give no more than `size` objects at once."""
    if place.service.kind == "localstack" and place.prefix:
        pytest.skip("NOT CHECKED: LocalStack goes on with a wrong page where a name holds a space")
    assert isinstance(place.bucket, cloud.CloudBucket)
    page = place.bucket._page
    monkeypatch.setattr(place.bucket, "_page", lambda prefix, token, most=size: page(prefix, token, min(most, size)))


async def test_a_server_that_gives_the_same_page_again_is_no_endless_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    page = {"items": [{"name": "a", "generation": "1", "size": "1", "updated": "2026-05-04T03:02:01Z"}]}
    with answering(lambda _: Answer(200, json.dumps({**page, "nextPageToken": "more"}).encode())) as url:
        leading_to(url, monkeypatch)
        bucket = open_bucket("gs://documents")
        async with asyncio.timeout(20):
            with pytest.raises(Transient, match="go on"):
                await listed(bucket)
        await bucket.aclose()


SEGMENTS = st.text("ab-./", min_size=1, max_size=3).filter(lambda name: not set(name.split("/")) & {"", ".", ".."})
OBJECTS = st.sets(st.tuples(SEGMENTS, st.integers(0, 2)).map(lambda each: each[0] + METADATA_SUFFIX * each[1]))


@given(names=OBJECTS, prefix=st.text("ab-.", max_size=2), size=st.integers(1, 4))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_listing_is_what_a_simple_model_says(place: Place, names: set[str], prefix: str, size: int) -> None:
    async def check() -> list[tuple[str, bool]]:
        await asyncio.gather(*(place.bucket.put(name, b"{}") for name in names))
        with pytest.MonkeyPatch.context() as monkeypatch:
            in_pages_of(place, size, monkeypatch)
            found = [(info.name, info.metadata_known) for info in await listed(place.bucket, prefix)]
        await asyncio.gather(*(place.bucket.delete(name) for name in names))
        return found

    assert asyncio.run(check()) == [
        (name, place.service.scheme == "gs" and name + METADATA_SUFFIX not in names)
        for name in sorted(names)
        if name.startswith(prefix)
    ]


# Metadata


async def test_metadata_is_what_the_cloud_keeps_and_what_the_metadata_file_says_which_wins(place: Place) -> None:
    place.write("hr/x.md", b"text", author="Ann", team="blue")
    plain = await place.bucket.stat("hr/x.md")
    assert plain is not None
    assert dict(plain.metadata) == {"author": "Ann", "team": "blue"}
    place.write(f"hr/x.md{METADATA_SUFFIX}", b'{"author": "Bob", "year": 2026, "tags": ["a"], "no": null}')
    described = await place.bucket.stat("hr/x.md")
    assert described is not None
    assert dict(described.metadata) == {"author": "Bob", "team": "blue", "year": 2026, "tags": ("a",)}
    assert len(described.metadata_notes) == 1
    assert described.generation == plain.generation
    assert described.version != plain.version
    [info] = [info for info in await listed(place.bucket) if info.name == "hr/x.md"]
    assert (info.generation, info.metadata_known) == (described.generation, False)
    assert info.is_version(described.version)


async def test_a_change_of_nothing_but_metadata_is_another_version(place: Place) -> None:
    place.write("x.md", b"text", author="Ann")
    before = await place.bucket.stat("x.md")
    place.describe("x.md", author="Bob")
    after = await place.bucket.stat("x.md")
    assert before is not None
    assert after is not None
    assert dict(after.metadata) == {"author": "Bob"}
    assert after.generation == before.generation
    assert after.version != before.version


async def test_what_a_listing_says_of_metadata_is_what_stat_says(place: Place) -> None:
    place.write("x.md", b"text", author="Ann")
    found = await place.bucket.stat("x.md")
    [info] = await listed(place.bucket)
    if place.service.scheme == "gs":
        assert info == found
    else:
        assert (info.metadata_known, dict(info.metadata)) == (False, {})


async def test_metadata_that_is_not_ascii_is_read(place: Place) -> None:
    given = "Zoë Müller, 東京"
    sent = given if place.service.scheme == "gs" else Header(given, "utf-8").encode()
    place.write("x.md", b"text", author=sent)
    info = await place.bucket.stat("x.md")
    assert info is not None
    assert dict(info.metadata) == {"author": given}


async def test_metadata_that_tools_keep_for_themselves_is_left_out(place: Place) -> None:
    if place.service.scheme != "gs":
        pytest.skip("these tools are of Cloud Storage")
    tools = {"goog-reserved-file-mtime": "1700000000", "firebaseStorageDownloadTokens": "a-secret"}
    place.service.write(place.name, f"{place.prefix}x.md", b"text", {"author": "Ann", **tools})
    info = await place.bucket.stat("x.md")
    assert info is not None
    assert dict(info.metadata) == {"author": "Ann"}
    assert [dict(each.metadata) for each in await listed(place.bucket)] == [{"author": "Ann"}]


@pytest.mark.parametrize(
    ("content", "note"),
    [(b"{", "not valid JSON"), (json.dumps({"a": "x" * (1 << 20)}).encode(), "more than 65536 bytes")],
    ids=["broken", "large"],
)
async def test_a_metadata_file_that_is_none_is_noted(place: Place, content: bytes, note: str) -> None:
    await place.bucket.put("x.md", b"text")
    await place.bucket.put(f"x.md{METADATA_SUFFIX}", content)
    info = await place.bucket.stat("x.md")
    assert info is not None
    assert dict(info.metadata) == {}
    [said] = info.metadata_notes
    assert note in said


@given(
    text=st.one_of(st.text(), st.text("=?utf-8QqBb_ +/é\\", max_size=30)), charset=st.text("abcdefu-_78", max_size=9)
)
@settings(max_examples=200, deadline=None)
def test_metadata_of_s3_that_only_looks_encoded_is_text_all_the_same(text: str, charset: str) -> None:
    for value in (text, f"=?{charset}?q?{text}?=", f"=?{charset}?b?{text}?="):
        decoded(value).encode(errors="strict" if value.isascii() else "surrogatepass")


@pytest.mark.parametrize("value", ["=?utf-7?q?+2AA-?=", "=?unicode_escape?q?=5Cud800?=", "=?utf-8?b?a?=", "=?no?q?a?="])
def test_metadata_of_s3_that_decodes_to_no_text_stays_as_it_is(value: str) -> None:
    assert decoded(value) == value


# Content


LARGE = bytes(range(256)) * (5 << 12)
"""5 MB."""


async def in_parts(content: bytes, size: int = 300_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def test_a_large_object_is_written_and_read_in_parts(place: Place) -> None:
    info = await place.bucket.put("large", in_parts(LARGE))
    assert info.size == len(LARGE)
    async with place.bucket.open("large", info.generation) as reader:
        parts = [part async for part in reader]
    assert b"".join(parts) == LARGE
    assert max(map(len, parts)) <= 2 * cloud.PART
    assert await read(place.bucket, "large") == LARGE


async def test_an_empty_object_is_an_object(place: Place) -> None:
    for data in (b"", in_parts(b"")):
        info = await place.bucket.put("empty", data)
        found = await place.bucket.stat("empty")
        assert found is not None
        assert (info.size, found.size, found.generation) == (0, 0, info.generation)
        assert await read(place.bucket, "empty", info.generation) == b""


async def test_a_streamed_write_that_fails_or_comes_too_late_writes_nothing(place: Place) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("the sender went away")

    with pytest.raises(RuntimeError):
        await place.bucket.put("x", broken())
    assert await place.bucket.stat("x") is None
    old = await place.bucket.put("x", in_parts(b"1"), if_generation=ABSENT)
    for generation in (ABSENT, "1" if place.service.scheme == "gs" else "0" * 32):
        with pytest.raises(PreconditionFailed):
            await place.bucket.put("x", in_parts(b"2"), if_generation=generation)
    assert await read(place.bucket, "x", old.generation) == b"1"


async def test_readers_that_are_left_give_their_threads_back(place: Place) -> None:
    await place.bucket.put("large", LARGE)
    async with asyncio.timeout(60):
        for _ in range(cloud.THREADS + 5):
            async with place.bucket.open("large") as reader:
                async for part in reader:
                    assert part
                    break
        assert await place.bucket.stat("large")


async def test_a_download_waits_for_its_reader() -> None:
    size, written = 20 * cloud.PART, []

    def download(sink: cloud.Sink) -> str:
        for _ in range(size // (1 << 16)):
            sink.write(b"x" * (1 << 16))
            written.append(1 << 16)
        return "generation"

    with ThreadPoolExecutor(1) as threads:
        reader = cloud.CloudReader(download, None, threads)
        parts = aiter(reader)
        first = await anext(parts)
        ahead = (1 + cloud.WAITING_PARTS) * cloud.PART
        await asyncio.to_thread(until, lambda: sum(written) >= ahead)
        await asyncio.sleep(0.05)  # what would go on does so in this time
        assert sum(written) <= ahead + cloud.PART
        rest = [part async for part in parts]
    assert len(first) + sum(map(len, rest)) == size
    assert reader.generation == "generation"


# Encodings

TEXT = b"The parking permit costs 25 euros a month. " * 100_000


@pytest.mark.parametrize("encoding", ["gzip", "GZIP"])
async def test_what_is_stored_compressed_is_read_as_it_was_meant(place: Place, encoding: str) -> None:
    place.service.write_encoded(place.name, f"{place.prefix}notes.md", gzip.compress(TEXT), encoding)
    about = gzip.compress(b'{"author": "Ann"}')
    place.service.write_encoded(place.name, f"{place.prefix}notes.md{METADATA_SUFFIX}", about, encoding)
    info = await place.bucket.stat("notes.md")
    assert info is not None
    assert info.metadata == {"author": "Ann"}
    assert await read(place.bucket, "notes.md", info.generation) == TEXT
    place.service.write_encoded(place.name, f"{place.prefix}plain.md", b"as it is", "identity")
    assert await read(place.bucket, "plain.md") == b"as it is"


async def test_of_a_bomb_no_more_is_unpacked_than_is_read(place: Place) -> None:
    place.service.write_encoded(place.name, f"{place.prefix}bomb.md", gzip.compress(bytes(300 << 20)), "gzip")
    info = await place.bucket.stat("bomb.md")
    assert info is not None
    with pytest.raises(Permanent, match="1,000,000"):
        async with fetch(place.bucket, info, 1_000_000):
            pass


@pytest.mark.parametrize(
    ("content", "encoding", "says"),
    [
        (b"text", "br", "Content-Encoding 'br'"),
        (zlib.compress(TEXT), "deflate", "Content-Encoding 'deflate'"),
        (gzip.compress(gzip.compress(TEXT)), "gzip, gzip", "Content-Encoding 'gzip, gzip'"),
        (b"No gzip at all.", "gzip", "Content-Encoding is gzip, and its content is not"),
    ],
    ids=["br", "deflate", "twice", "not gzip"],
)
async def test_an_encoding_that_cannot_be_undone_is_said(
    place: Place, content: bytes, encoding: str, says: str
) -> None:
    place.service.write_encoded(place.name, f"{place.prefix}notes.md", content, encoding)
    with pytest.raises(Unreadable, match=says):
        await read(place.bucket, "notes.md")


# Failures


CALLS: dict[str, Callable[[Bucket], Any]] = {
    "stat": lambda bucket: bucket.stat("x"),
    "read": lambda bucket: read(bucket, "x"),
    "read a generation": lambda bucket: read(bucket, "x", "1"),
    "put": lambda bucket: bucket.put("x", b"x"),
    "put parts": lambda bucket: bucket.put("x", in_parts(b"x")),
    "create": lambda bucket: bucket.put("x", b"x", if_generation=ABSENT),
    "replace": lambda bucket: bucket.put("x", b"x", if_generation="1"),
    "delete": lambda bucket: bucket.delete("x"),
    "delete a generation": lambda bucket: bucket.delete("x", if_generation="1"),
    "list": lambda bucket: listed(bucket),
}


async def failures(bucket: Bucket) -> dict[str, type[Exception] | None]:
    """What each call of the bucket raises."""
    found: dict[str, type[Exception] | None] = {}
    for name, call in CALLS.items():
        try:
            await call(bucket)
        except Exception as error:
            found[name] = type(error)
        else:
            found[name] = None
    return found


def each_raises(error: type[DependencyFailure]) -> dict[str, type[DependencyFailure]]:
    return dict.fromkeys(CALLS, error)


async def test_a_bucket_that_does_not_exist_is_no_empty_bucket(service: Service) -> None:
    bucket = open_bucket(f"{service.scheme}://not-there/prefix")
    assert await failures(bucket) == each_raises(Misconfigured)
    await bucket.aclose()


def leading_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**clouds.Aws(url).environment(), "STORAGE_EMULATOR_HOST": url}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("scheme", ["gs", "s3"])
async def test_a_server_that_is_away_is_tried_again(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leading_to(f"http://127.0.0.1:{free_port()}", monkeypatch)
    bucket = open_bucket(f"{scheme}://documents")
    assert await failures(bucket) == each_raises(Transient)
    await bucket.aclose()


def refusal_of(scheme: str, code: str) -> bytes:
    if scheme == "s3":
        return f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
    return json.dumps({"error": {"message": "No.", "errors": [{"reason": code}]}}).encode()


LEFT_OPEN = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
"""For tests in which Google's client tries again: it leaves the connections of all tries but the last open."""


REFUSALS = [
    (400, "ExpiredToken", Misconfigured),
    (401, "authError", Misconfigured),
    (403, "AccessDenied", Misconfigured),
    (429, "rateLimitExceeded", Transient),
    (500, "InternalError", Transient),
    (503, "SlowDown", Transient),
]


@LEFT_OPEN
@pytest.mark.parametrize("scheme", ["gs", "s3"])
async def test_what_a_server_s_refusal_means(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Answer] = []
    with answering(lambda _: answers[-1]) as url:
        leading_to(url, monkeypatch)
        bucket = open_bucket(f"{scheme}://documents")
        for status, code, error in REFUSALS:
            answers.append(Answer(status, refusal_of(scheme, code)))
            assert (code, await failures(bucket)) == (code, each_raises(error))
        await bucket.aclose()
    gc.collect()


@LEFT_OPEN
@pytest.mark.parametrize(
    ("stored", "breaks_at", "error"),
    [("identity", 3 << 20, None), ("gzip", 1000, None), ("gzip", 3 << 20, Transient)],
    ids=["goes on where it broke off", "starts anew", "was read too far to start anew"],
)
async def test_a_download_from_cloud_storage_that_breaks_off_is_made_whole_or_tried_again_later(
    stored: str, breaks_at: int, error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges: list[str | None] = []

    def answer(request: Request) -> Answer:
        asked = request.headers["Range"]
        ranges.append(asked)
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked and stored != "gzip" else 0
        headers = {"X-Goog-Generation": "7", "X-Goog-Stored-Content-Encoding": stored}
        if len(ranges) == 1:
            broken = {**headers, "Content-Length": str(len(LARGE)), "Connection": "close"}
            return Answer(200, LARGE[:breaks_at], broken)
        return Answer(206 if start else 200, LARGE[start:], headers)

    with answering(answer) as url:
        leading_to(url, monkeypatch)
        if error is None:
            monkeypatch.setattr(gcs, "RETRY", gcs.RETRY.with_timeout(20))  # a busy machine takes its time
        bucket = open_bucket("gs://documents")
        if error:
            with pytest.raises(error):
                await read(bucket, "x")
        else:
            assert await read(bucket, "x", "7") == LARGE
        await bucket.aclose()
    assert error or len(ranges) == 2  # what cannot be made whole may be given up at once
    gc.collect()


async def test_content_of_s3_that_was_damaged_on_its_way_is_read_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"ETag": '"0"', "x-amz-checksum-crc32": "AAAAAA=="}
    with answering(lambda _: Answer(200, b"damaged", headers)) as url:
        leading_to(url, monkeypatch)
        bucket = open_bucket("s3://documents")
        with pytest.raises(Transient):
            await read(bucket, "x")
        await bucket.aclose()


async def test_a_delete_of_a_generation_names_it_to_cloud_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[Request] = []

    def changed(request: Request) -> Answer:
        requests.append(request)
        return Answer(412, refusal_of("gs", "conditionNotMet"))

    with answering(changed) as url:
        leading_to(url, monkeypatch)
        bucket = open_bucket("gs://documents")
        with pytest.raises(PreconditionFailed):
            await bucket.delete("x", if_generation="1700000000000001")
        await bucket.aclose()
    [request] = requests
    assert request.method == "DELETE"
    assert "ifGenerationMatch=1700000000000001" in request.path


async def test_an_archived_object_of_s3_is_one_that_cannot_be_read_and_no_reason_to_stop(place: Place) -> None:
    if not isinstance(place.service.server, clouds.Aws):
        pytest.skip("Cloud Storage reads archived objects as any other")
    key = f"{place.prefix}cold.md"
    place.service.server.s3().put_object(Bucket=place.name, Key=key, Body=b"x", StorageClass="GLACIER")
    assert await place.bucket.stat("cold.md")
    with pytest.raises(Unreadable, match="archive"):
        await read(place.bucket, "cold.md")


@pytest.mark.parametrize("scheme", ["gs", "s3"])
async def test_no_credentials_are_the_operator_s_to_give(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Misconfigured):
        await open_bucket(f"{scheme}://documents").stat("x")


# Cloud Storage takes one write of an object in a second


@pytest.mark.parametrize("service", ["gs"], indirect=True)
async def test_writes_of_one_object_keep_a_second_between_them(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    service.create("spacing")
    bucket = open_bucket("gs://spacing")
    monkeypatch.setattr(gcs, "WRITE_SPACING", 1000.0)
    monkeypatch.setattr(gcs.asyncio, "sleep", sleep)
    for name in ("record", "another", "record"):
        await bucket.put(name, b"1")
    with pytest.raises(PreconditionFailed):
        await bucket.put("record", b"2", if_generation=ABSENT)
    await bucket.aclose()
    assert [seconds > 900 for seconds in waited] == [False, False, True, True]


async def test_an_object_that_only_its_writer_s_key_opens_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = (
        "<ListBucketResult><Contents><Key>x.md</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        '<ETag>"e1"</ETag><Size>9</Size></Contents></ListBucketResult>'
    )

    def amazon(request: Request) -> Answer:
        if "list-type" in request.path:
            return Answer(200, listed.encode())
        code = "NoSuchKey" if "metadata.json" in request.path else "InvalidRequest"
        return Answer(404 if code == "NoSuchKey" else 400, refusal_of("s3", code))

    def google(request: Request) -> Answer:
        return Answer(400, b"The target object is encrypted by a customer-supplied encryption key.")

    for scheme, answer in (("s3", amazon), ("gs", google)):
        with answering(answer) as url:
            leading_to(url, monkeypatch)
            bucket = open_bucket(f"{scheme}://documents")
            if scheme == "s3":
                info = await bucket.stat("x.md")
                assert info is not None
                assert (info.generation, info.size) == ("e1", 9)
            with pytest.raises(Unreadable, match="key of who encrypted it"):
                await read(bucket, "x.md")
            await bucket.aclose()
    gc.collect()
