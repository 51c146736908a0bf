"""Whether a file may be taken while other programs write: a copy under way is not, and one that never rests is."""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.buckets import ObjectInfo, Stability
from shared.buckets.directory import DirectoryBucket
from shared.buckets.writers import LONGEST, QUIET, QUIET_OPEN, Changes, open_elsewhere

needs_leases = pytest.mark.skipif(not hasattr(fcntl, "F_SETLEASE"), reason="needs Linux")


class File:
    """A file as a `Changes` sees it, with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.changed = self.now
        self.number = 0
        self.changes = Changes(lambda: self.now)

    def change(self) -> None:
        self.number += 1
        self.changed = self.now

    def look(self, *, open_: bool | None) -> Stability:
        info = ObjectInfo("x", str(self.number), 1, datetime.now(UTC))
        return self.changes.judge(info, age=self.now - self.changed, open_=open_)


def test_a_file_that_was_closed_after_one_change_is_taken_at_once_but_not_given_up() -> None:
    file = File()
    assert file.look(open_=False) is Stability.RECENT
    file.now += QUIET
    assert file.look(open_=False) is Stability.STABLE


def test_a_file_of_which_nothing_tells_whether_it_is_closed_is_taken_when_it_was_the_same_twice() -> None:
    file = File()
    assert file.look(open_=None) is Stability.CHANGING
    file.now += QUIET / 2
    file.change()
    assert file.look(open_=None) is Stability.CHANGING
    file.now += QUIET
    assert file.look(open_=None) is Stability.STABLE


def test_a_file_that_is_open_is_waited_for_longer() -> None:
    file = File()
    assert file.look(open_=True) is Stability.CHANGING
    file.now += QUIET
    assert file.look(open_=True) is Stability.CHANGING
    assert file.look(open_=False) is Stability.STABLE
    other = File()
    other.look(open_=True)
    other.now += QUIET_OPEN
    assert other.look(open_=True) is Stability.STABLE


def test_an_old_file_is_taken_at_once() -> None:
    file = File()
    file.now += 3600
    assert file.look(open_=None) is Stability.STABLE
    assert file.look(open_=True) is Stability.STABLE, "a log that is open and idle"


def test_a_clock_that_is_ahead_at_the_file_server_keeps_nothing_waiting() -> None:
    file = File()
    file.changed += 7200
    assert file.look(open_=None) is Stability.CHANGING
    file.now += QUIET
    assert file.look(open_=None) is Stability.STABLE


@settings(deadline=None, max_examples=30)
@given(every=st.floats(0.1, QUIET - 0.1), open_=st.sampled_from([True, False, None]), minutes=st.integers(3, 6))
def test_a_file_that_grows_for_ever_is_taken_at_bounded_intervals(
    every: float, open_: bool | None, minutes: int
) -> None:
    file, taken, next_change = File(), [], 0.0
    start = file.now
    while file.now - start < minutes * 60:
        if file.now >= start + next_change:
            file.change()
            next_change += every
        if file.look(open_=open_) is not Stability.CHANGING and (not taken or taken[-1][1] != file.number):
            taken.append((file.now, file.number))
        file.now += 0.1
    moments = [moment for moment, _ in taken]
    assert len(moments) >= minutes - 1
    for before, after in pairwise(moments):
        assert after - before <= LONGEST + every + QUIET
    assert len(moments) <= 2 * minutes + 2


@needs_leases
def test_linux_tells_whether_a_file_is_open_for_writing(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("x")
    fd = os.open(path, os.O_RDONLY)
    try:
        assert open_elsewhere(fd) is False
        with path.open("ab"):
            assert open_elsewhere(fd) is True
        assert open_elsewhere(fd) is False
        path.write_text("the lease was given back, so that this does not wait")
    finally:
        os.close(fd)


def test_a_system_without_leases_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(fcntl, "F_SETLEASE", raising=False)
    path = tmp_path / "x"
    path.write_text("x")
    with path.open("rb") as file:
        assert open_elsewhere(file.fileno()) is None


async def test_what_the_bucket_wrote_itself_is_whole_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(fcntl, "F_SETLEASE", raising=False)
    bucket = DirectoryBucket(tmp_path)
    ours = await bucket.put("ours.md", b"x")
    assert await bucket.stability(ours) is Stability.STABLE
    (tmp_path / "theirs.md").write_text("x")
    theirs = await bucket.stat("theirs.md")
    assert theirs is not None
    assert await bucket.stability(theirs) is Stability.CHANGING
