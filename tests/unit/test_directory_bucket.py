"""A folder as a bucket: what other programs can do to it, and what conditional writes promise."""

from __future__ import annotations

import asyncio
import os
import unicodedata
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.buckets import ABSENT, InvalidObjectName, ObjectNotFound, PreconditionFailed
from shared.buckets.directory import DirectoryBucket
from shared.failures import Misconfigured


@pytest_asyncio.fixture
async def bucket(tmp_path: Path) -> DirectoryBucket:
    bucket = DirectoryBucket(tmp_path / "root")
    await bucket.make()
    return bucket


async def read(bucket: DirectoryBucket, name: str, generation: str | None = None) -> bytes:
    async with bucket.open(name, generation) as reader:
        return b"".join([chunk async for chunk in reader])


async def names(bucket: DirectoryBucket, prefix: str = "") -> list[str]:
    return [info.name async for info in bucket.list(prefix)]


async def test_what_is_put_is_read_listed_and_deleted(bucket: DirectoryBucket) -> None:
    info = await bucket.put("hr/policies/leave.md", b"26 weeks")
    assert await bucket.stat("hr/policies/leave.md") == info
    assert (info.size, await read(bucket, info.name, info.generation)) == (8, b"26 weeks")
    assert [each async for each in bucket.list("hr/")] == [info]
    assert await bucket.delete(info.name)
    assert await bucket.stat(info.name) is None
    assert not await bucket.delete(info.name)


async def test_listing_keeps_the_order_of_names_and_the_prefix(bucket: DirectoryBucket) -> None:
    for name in ("b/z", "a", "b.txt", "b/a", "c/d/e", ".hidden/x", "c/.x"):
        await bucket.put(name, b"x")
    assert await names(bucket) == ["a", "b.txt", "b/a", "b/z", "c/d/e"]
    assert await names(bucket, "b/") == ["b/a", "b/z"]
    assert await names(bucket, "c/d") == ["c/d/e"]
    assert await names(bucket, "nothing/") == []


@given(contents=st.lists(st.sampled_from([b"one", b"two", b"six"]), min_size=2, max_size=6))
@settings(max_examples=10, deadline=None)
def test_every_write_in_place_by_another_program_changes_the_generation(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    root = tmp_path_factory.mktemp("bucket")
    bucket = DirectoryBucket(root)

    async def generations() -> list[str]:
        seen = []
        for content in contents:
            with (root / "x.txt").open("wb") as file:
                file.write(content)
            info = await bucket.stat("x.txt")
            assert info
            seen.append(info.generation)
        return seen

    seen = asyncio.run(generations())
    assert len(set(seen)) == len(seen)


async def test_a_copy_that_keeps_size_and_times_is_another_generation(bucket: DirectoryBucket) -> None:
    await bucket.put("x.txt", b"one")
    before = await bucket.stat("x.txt")
    path = bucket.root / "x.txt"
    times = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = await bucket.stat("x.txt")
    assert before
    assert after
    assert (before.size, before.updated) == (after.size, after.updated)
    assert before.generation != after.generation


async def test_of_many_conditional_writes_exactly_one_wins(bucket: DirectoryBucket) -> None:
    async def put(content: bytes, generation: str) -> bool:
        try:
            await bucket.put("record", content, if_generation=generation)
        except PreconditionFailed:
            return False
        return True

    first = await asyncio.gather(*(put(b"%d" % n, ABSENT) for n in range(20)))
    assert sum(first) == 1
    async with bucket.open("record") as reader:
        generation = reader.generation
    second = await asyncio.gather(*(put(b"%d" % n, generation) for n in range(20)))
    assert sum(second) == 1
    assert not await put(b"late", generation)


async def test_conditional_delete_spares_what_changed(bucket: DirectoryBucket) -> None:
    old = await bucket.put("record", b"1")
    new = await bucket.put("record", b"2")
    with pytest.raises(PreconditionFailed):
        await bucket.delete("record", if_generation=old.generation)
    assert await bucket.delete("record", if_generation=new.generation)


async def test_reading_another_generation_than_asked_for_fails(bucket: DirectoryBucket) -> None:
    old = await bucket.put("x", b"1")
    await bucket.put("x", b"2")
    with pytest.raises(PreconditionFailed):
        await read(bucket, "x", old.generation)


async def test_a_file_that_changes_while_it_is_read_is_noticed(bucket: DirectoryBucket) -> None:
    await bucket.put("x", b"a" * (3 << 20))
    info = await bucket.stat("x")
    assert info

    async def read_while_it_grows() -> None:
        async with bucket.open("x", info.generation) as reader:
            async for _ in reader:
                with (bucket.root / "x").open("ab") as file:
                    file.write(b"more")

    with pytest.raises(PreconditionFailed):
        await read_while_it_grows()


async def test_nothing_outside_the_root_can_be_named_or_linked_to(bucket: DirectoryBucket, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner.txt").write_text("secret")
    bucket.root.mkdir(exist_ok=True)
    (bucket.root / "file.txt").symlink_to(tmp_path / "secret.txt")
    (bucket.root / "folder").symlink_to(tmp_path / "folder")
    for name in ("folder/inner.txt", "../secret.txt", "a/../../secret.txt", "/etc/passwd", ""):
        assert await bucket.stat(name) is None
        with pytest.raises(ObjectNotFound):
            await read(bucket, name)
        assert not await bucket.delete(name)
    for name in ("file.txt", "folder"):
        link = await bucket.stat(name)
        assert link is not None
        assert "link" in str(link.problem)
        with pytest.raises(ObjectNotFound):
            await read(bucket, name)
    for name in ("folder/new.txt", "../secret.txt", "/tmp/x", "a//b", "a\0b"):
        with pytest.raises(InvalidObjectName):
            await bucket.put(name, b"x")
    assert await names(bucket) == ["file.txt", "folder"]
    await bucket.put("file.txt", b"replaces the link, not what it points to")
    assert await bucket.delete("folder")
    assert (tmp_path / "folder" / "inner.txt").exists()
    assert (tmp_path / "secret.txt").read_text() == "secret"


async def test_what_is_no_regular_file_is_an_object_that_cannot_be_read(bucket: DirectoryBucket) -> None:
    os.mkfifo(bucket.root / "pipe.txt")
    (bucket.root / "folder.txt").mkdir()
    pipe = await bucket.stat("pipe.txt")
    assert pipe is not None
    assert "pipe" in str(pipe.problem)
    with pytest.raises(ObjectNotFound):
        await read(bucket, "pipe.txt")
    assert await bucket.stat("folder.txt") is None
    assert await names(bucket) == ["pipe.txt"]


async def test_a_name_finds_the_file_that_has_it_in_another_unicode_form(bucket: DirectoryBucket) -> None:
    nfc, nfd = "Gärtnerei/Öl.md", unicodedata.normalize("NFD", "Gärtnerei/Öl.md")
    assert await bucket.find(nfd) == nfc, "there is none: it would be made in NFC"
    path = bucket.root / nfd
    path.parent.mkdir()
    path.write_text("x")
    assert await bucket.find(nfc) == await bucket.find(nfd) == nfd
    assert await bucket.find("Gärtnerei/new ü.md") == f"{path.parent.name}/new ü.md"
    await bucket.put(nfc, b"another object, as its name is exactly this")
    assert (await bucket.find(nfc), await bucket.find(nfd)) == (nfc, nfd)
    assert await bucket.find("plain.md") == "plain.md"


async def test_a_metadata_file_may_be_named_in_another_unicode_form(bucket: DirectoryBucket) -> None:
    nfd = unicodedata.normalize("NFD", "Öl.md")
    await bucket.put(nfd, b"x")
    (bucket.root / "Öl.md.metadata.json").write_text('{"author": "Ann"}')
    info = await bucket.stat(nfd)
    assert info is not None
    assert info.metadata == {"author": "Ann"}
    assert [each.metadata async for each in bucket.list() if each.name == nfd] == [{"author": "Ann"}]


async def test_the_other_names_of_a_file_are_found(bucket: DirectoryBucket) -> None:
    await bucket.put("hr/one.md", b"x")
    await bucket.put("hr/alone.md", b"x")
    (bucket.root / "it").mkdir()
    (bucket.root / "it" / "two.md").hardlink_to(bucket.root / "hr" / "one.md")
    assert await bucket.links({"hr/one.md"}) == ["it/two.md"]
    assert await bucket.links({"hr/alone.md", "gone.md"}) == []


async def test_names_that_the_file_system_cannot_hold_are_refused(bucket: DirectoryBucket) -> None:
    await bucket.put("file", b"x")
    for name in ("a" * 300, "file/below-a-file"):
        with pytest.raises(InvalidObjectName):
            await bucket.put(name, b"x")
    (bucket.root / "folder").mkdir()
    with pytest.raises(InvalidObjectName):
        await bucket.put("folder", b"x")


async def test_a_failed_upload_leaves_nothing_behind(bucket: DirectoryBucket) -> None:
    async def broken():  # type: ignore[no-untyped-def]  # an async generator that fails
        yield b"half"
        raise RuntimeError("the sender went away")

    with pytest.raises(RuntimeError):
        await bucket.put("x.txt", broken())
    assert await bucket.stat("x.txt") is None
    assert list((bucket.root / ".tmp").iterdir()) == []


@pytest.mark.skipif(not Path("/sys").exists(), reason="needs Linux")
async def test_a_folder_that_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="refuses"):
        await DirectoryBucket(Path("/sys/kernel")).put("x", b"x")


async def test_a_folder_that_is_not_there_is_no_empty_bucket(tmp_path: Path) -> None:
    bucket = DirectoryBucket(tmp_path / "not mounted")
    for call in (bucket.stat("x"), bucket.put("x", b"x"), bucket.delete("x"), names(bucket)):
        with pytest.raises(Misconfigured, match="not there"):
            await call
    assert not bucket.root.exists()


async def test_an_object_s_metadata_is_what_the_file_beside_it_says(bucket: DirectoryBucket) -> None:
    plain = await bucket.put("hr/x.md", b"text")
    (bucket.root / "hr" / "x.md.metadata.json").write_text('{"author": "Ann", "year": 2026, "tags": ["a"], "no": null}')
    described = await bucket.stat("hr/x.md")
    assert described is not None
    assert described.metadata == {"author": "Ann", "year": 2026, "tags": ("a",)}
    assert len(described.metadata_notes) == 1
    assert (plain.generation, plain.version) == (described.generation, plain.version)
    assert described.version != plain.version
    assert [info async for info in bucket.list("hr/x.md") if info.name == "hr/x.md"] == [described]
    assert (await bucket.put("hr/x.md", b"text")).metadata == described.metadata
    (bucket.root / "hr" / "x.md.metadata.json").write_text('{"author": "Bob"}')
    changed = await bucket.stat("hr/x.md")
    assert changed is not None
    assert changed.version != described.version


async def test_a_metadata_file_that_is_a_link_or_a_pipe_is_none(bucket: DirectoryBucket, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"secret": "1"}')
    for name in ("x.md", "y.md"):
        await bucket.put(name, b"text")
    (bucket.root / "x.md.metadata.json").symlink_to(tmp_path / "secret.json")
    os.mkfifo(bucket.root / "y.md.metadata.json")
    for name in ("x.md", "y.md"):
        info = await bucket.stat(name)
        assert info is not None
        assert (dict(info.metadata), info.metadata_notes) == ({}, ())
