"""Schedules that once left the index wrong; `test_reconcile_model.py` plays the ones that nobody thought of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.buckets import Stability
from shared.records import Status
from tests.simulator import BROKEN, EMPTY, REJECTED, Process, World

NAME = "x.txt"


@pytest.fixture
def world() -> World:
    return World()


def run(world: World, *, until: Callable[[], bool] | None = None) -> Process:
    """Deliver the next event, and stop at the first moment at which `until` holds, or when the worker is done."""
    process = world.start(world.events.pop(0))
    go_on(world, process, until=until)
    return process


def go_on(world: World, process: Process, *, until: Callable[[], bool] | None = None) -> None:
    while process in world.running:
        if until and until():
            return
        world.step(process)
    assert until is None, "the worker was done before"


def noted(world: World) -> bool:
    """Whether the record names an upload."""
    return NAME in world.records and any(upload.document for upload in world.records[NAME].uploads)


def test_an_object_that_went_before_it_could_be_read_is_recorded_as_deleted(world: World) -> None:
    world.put(NAME, "alpha")
    worker = run(world, until=lambda: NAME in world.records)
    world.faults["look"] = "before"
    go_on(world, worker)
    assert world.records[NAME].lease is None
    world.delete(NAME)
    world.finish()
    assert world.records[NAME].status is Status.DELETED


def test_content_that_came_back_while_other_content_was_sent_is_indexed(world: World) -> None:
    world.put(NAME, "alpha")
    worker = run(world, until=lambda: noted(world))
    go_on(world, worker)
    world.put(NAME, "beta")
    world.crash(run(world, until=lambda: noted(world)), noticed=True)
    world.put(NAME, "alpha")
    world.finish()
    assert world.records[NAME].status is Status.INDEXED


def test_a_version_that_came_back_while_another_was_sent_is_indexed(world: World) -> None:
    world.put(NAME, "alpha")
    worker = run(world, until=lambda: noted(world))
    go_on(world, worker)
    world.describe(NAME, {"author": "ann"})
    world.crash(run(world, until=lambda: noted(world)), noticed=True)
    world.describe(NAME, {})
    world.finish()
    assert world.records[NAME].status is Status.INDEXED


def test_a_failure_after_the_lease_was_given_back_is_that_failure(world: World) -> None:
    world.put(NAME, REJECTED)
    worker = run(world, until=lambda: NAME in world.records and world.records[NAME].status is Status.FAILED)
    world.faults["look"] = "before"
    go_on(world, worker)
    assert world.events == [NAME]
    world.finish()


def test_an_upload_that_was_retired_is_not_taken_up_again_when_the_answer_to_that_was_lost(world: World) -> None:
    world.put(NAME, "alpha")
    world.crash(run(world, until=lambda: noted(world)), noticed=True)
    first = world.records[NAME].uploads[0].document
    world.describe(NAME, {"author": "ann"})
    worker = run(world, until=lambda: len(world.records[NAME].uploads) == 2)
    go_on(world, worker, until=lambda: first in world.records[NAME].retired)
    world.faults["put"] = "after"
    go_on(world, worker)
    world.describe(NAME, {})
    world.finish()
    assert world.records[NAME].document != first


def test_an_upload_that_was_noted_after_all_is_left_to_who_took_over(world: World) -> None:
    world.put(NAME, "alpha")
    world.put(NAME, "alpha")
    slow = run(world, until=lambda: noted(world))
    world.faults["put"] = "twice"
    world.now += 1000
    run(world, until=lambda: world.records[NAME].attempts == 2)
    go_on(world, slow)
    assert world.records[NAME].uploads[0].document in world.index.documents_now
    world.finish()


def test_an_upload_that_gemini_lost_is_sent_again_by_one_sweep(world: World) -> None:
    world.put(NAME, "alpha")
    world.crash(run(world, until=lambda: noted(world)), noticed=False)
    world.index.lose(world.index.made[world.records[NAME].uploads[0].document or ""])
    world.events.clear()
    world.finish()
    assert world.records[NAME].status is Status.INDEXED


def test_what_is_renewed_is_sent_again_and_answers_all_the_while(world: World) -> None:
    world.put(NAME, "alpha")
    run(world)
    first = world.records[NAME].document
    go_on(world, world.start(NAME, renew=True))
    assert (world.records[NAME].status, world.records[NAME].document) == (Status.PENDING, first)
    worker = run(world, until=lambda: noted(world))
    assert first in world.index.documents_now
    go_on(world, worker)
    assert world.records[NAME].status is Status.INDEXED
    assert list(world.index.documents_now) == [world.records[NAME].document]
    assert world.records[NAME].document != first


def test_what_is_being_indexed_is_not_renewed(world: World) -> None:
    world.put(NAME, "alpha")
    worker = run(world, until=lambda: noted(world))
    before = world.records[NAME]
    go_on(world, world.start(NAME, renew=True))
    assert world.records[NAME] == before
    go_on(world, worker)
    assert world.records[NAME].status is Status.INDEXED


def indexed(world: World, content: str) -> None:
    world.put(NAME, content)
    run(world)
    assert world.records[NAME].status is Status.INDEXED


def test_a_file_that_is_being_written_keeps_its_old_document(world: World) -> None:
    indexed(world, "alpha")
    before = world.records[NAME]
    world.writing[NAME] = Stability.CHANGING
    world.put(NAME, EMPTY)
    run(world)
    assert world.records[NAME] == before
    world.put(NAME, "beta")
    world.finish()
    assert world.records[NAME].status is Status.INDEXED
    assert world.records[NAME].version != before.version


def test_a_part_of_a_file_that_fails_takes_nothing_out_while_more_may_follow(world: World) -> None:
    indexed(world, "alpha")
    before = world.records[NAME]
    for content in (EMPTY, REJECTED, BROKEN):
        world.writing[NAME] = Stability.RECENT
        world.put(NAME, content)
        run(world)
        record = world.records[NAME]
        assert (record.document, record.reason, record.lease) == (before.document, None, None)
    world.writing.clear()
    world.finish()
    assert world.records[NAME].status is Status.FAILED


def test_a_file_that_is_written_again_while_it_is_sent_is_left_until_it_is_whole(world: World) -> None:
    world.put(NAME, "alpha")
    worker = run(world, until=lambda: noted(world))
    world.writing[NAME] = Stability.CHANGING
    world.put(NAME, EMPTY)
    go_on(world, worker)
    assert world.records[NAME].lease is None
    world.put(NAME, "beta")
    world.finish()
    assert world.records[NAME].status is Status.INDEXED
