"""The temporary copy of one generation of an object."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from shared.buckets import PreconditionFailed
from shared.buckets.directory import DirectoryBucket
from shared.content import LEFT_AFTER, clear_left, fetch
from shared.failures import Permanent


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


async def test_the_copy_has_an_ascii_name_of_its_type_and_ends_with_its_use(tmp_path: Path, temporary: Path) -> None:
    bucket = DirectoryBucket(tmp_path / "documents")
    await bucket.make()
    info = await bucket.put("hr/été.PDF", b"content")
    async with fetch(bucket, info, 100) as content:
        assert content.path.read_bytes() == b"content"
        assert content.path.name.isascii()
        assert content.path.suffix == ".pdf"
        assert content.digest == hashlib.sha256(b"content").hexdigest()
    assert list(temporary.iterdir()) == []


async def test_another_generation_and_one_that_is_too_large_are_not_copied(tmp_path: Path, temporary: Path) -> None:
    bucket = DirectoryBucket(tmp_path / "documents")
    await bucket.make()
    old = await bucket.put("x.md", b"old")
    new = await bucket.put("x.md", b"newer")
    with pytest.raises(PreconditionFailed):
        async with fetch(bucket, old, 100):
            pass
    with pytest.raises(Permanent, match="larger than 4 bytes"):
        async with fetch(bucket, new, 4):
            pass
    assert list(temporary.iterdir()) == []


def test_what_killed_processes_left_is_deleted(temporary: Path) -> None:
    left, fresh, foreign = temporary / "flamehaven-1.md", temporary / "flamehaven-2.md", temporary / "other.md"
    for path in (left, fresh, foreign):
        path.write_text("x")
    long_ago = time.time() - LEFT_AFTER - 60
    for path in (left, foreign):
        os.utime(path, (long_ago, long_ago))
    clear_left()
    assert sorted(temporary.iterdir()) == [fresh, foreign]
