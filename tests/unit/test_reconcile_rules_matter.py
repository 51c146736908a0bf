"""Each rule of reconcile, broken on purpose: the model test must notice, or it would not hold the rule either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from functions.ingest.reconcile import Listed, Outcome, Reconciler, _Held
from shared.buckets import Bucket, ObjectInfo
from shared.records import Saved, Status
from tests.schedule import SETTINGS, Schedule
from tests.simulator import Broken, World

Breaker = Callable[[pytest.MonkeyPatch], None]
BREAKERS: list[Any] = []

_take, _settle, _send, _wait, _commit = Reconciler._take, _Held.settle, _Held._send, _Held._wait, _Held._commit
_reconcile, _fetch = Reconciler.reconcile, World.fetch


def breaker(noticed: str) -> Callable[[Breaker], Breaker]:
    """A function that takes one rule away, and which of the simulator's rules is then found broken first."""

    def register(function: Breaker) -> Breaker:
        BREAKERS.append(pytest.param(function, noticed, id=function.__name__))
        return function

    return register


class Instead:
    """An object, but for what is said to be different."""

    def __init__(self, other: Any, **different: Any) -> None:
        self._other = other
        self.__dict__ |= different

    def __getattr__(self, name: str) -> Any:
        return getattr(self._other, name)


async def nothing(*_: Any, **__: Any) -> None:
    """Do nothing."""


@breaker("look under the lease")
def look_before_the_lease_and_not_under_it(patch: pytest.MonkeyPatch) -> None:
    async def take(self: Reconciler, name: str, listed: Listed | None) -> _Held | Outcome:
        seen = [await self.look(name)]
        taken = await _take(self, name, listed)
        if isinstance(taken, _Held):

            async def look(name: str) -> ObjectInfo | None:
                return seen.pop() if seen else await self.look(name)

            taken._owner = Instead(self, look=look)  # type: ignore[assignment]  # but for `look`, it is one
        return taken

    patch.setattr(Reconciler, "_take", take)


@breaker("that generation")
def read_whatever_generation_is_there(patch: pytest.MonkeyPatch) -> None:
    def fetch(self: World, bucket: Bucket, info: ObjectInfo, max_bytes: int) -> Any:
        return _fetch(self, bucket, self.object(info.name) or info, max_bytes)

    patch.setattr(World, "fetch", fetch)


@breaker("written down|agreement")
def do_not_look_for_what_a_dead_attempt_sent(patch: pytest.MonkeyPatch) -> None:
    async def inherit(self: _Held, listed: Listed) -> None:
        await self._write(uploads=tuple(upload for upload in self.record.uploads if upload.document))

    patch.setattr(_Held, "_inherit", inherit)


@breaker("written down")
def do_not_note_the_upload(patch: pytest.MonkeyPatch) -> None:
    async def note(self: _Held) -> None:
        self._sent = None

    patch.setattr(_Held, "_note", note)


@breaker("written down")
def forget_an_upload_without_an_answer(patch: pytest.MonkeyPatch) -> None:
    async def send(self: _Held, *args: Any) -> Any:
        try:
            return await _send(self, *args)
        except Exception:
            self._sent = None
            raise

    patch.setattr(_Held, "_send", send)


@breaker("only the holder writes|look under the lease")
def commit_without_compare_and_swap(patch: pytest.MonkeyPatch) -> None:
    async def commit(self: _Held, changes: dict[str, Any], info: ObjectInfo | None) -> bool:
        async def save(record: Any) -> None:
            self._saved = await self._owner.records.save(record, None)  # type: ignore[arg-type]  # unconditionally

        self._save = save  # type: ignore[method-assign]  # that is the point
        try:
            return await _commit(self, changes, info)
        finally:
            del self._save

    patch.setattr(_Held, "_commit", commit)


@breaker("tidy")
def leave_what_was_sent_when_the_lease_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_Held, "_disown", nothing)


@breaker("look again")
def do_not_look_again(patch: pytest.MonkeyPatch) -> None:
    async def still(self: _Held, info: ObjectInfo | None) -> bool:
        return True

    patch.setattr(_Held, "_still", still)


@breaker("busy is a promise")
def do_not_tell_the_holder_of_a_change(patch: pytest.MonkeyPatch) -> None:
    async def take(self: Reconciler, name: str, listed: Listed | None) -> _Held | Outcome:
        saved = await self.records.get(name)
        if saved and self._leased(saved.record):
            return Outcome.BUSY
        return await _take(self, name, listed)

    patch.setattr(Reconciler, "_take", take)


@breaker("always searchable")
def delete_the_old_document_before_the_new_one_answers(patch: pytest.MonkeyPatch) -> None:
    async def wait(self: _Held, upload: Any) -> bool:
        if old := self.record.document:
            await self._write(document=None, digest=None, retired=(*self.record.retired, old))
            await self._index.delete_document(old)
        return await _wait(self, upload)

    patch.setattr(_Held, "_wait", wait)


@breaker("nothing in use is deleted")
def delete_before_it_is_written_down(patch: pytest.MonkeyPatch) -> None:
    async def commit(self: _Held, changes: dict[str, Any], info: ObjectInfo | None) -> bool:
        for document in changes["retired"]:
            await self._index.delete_document(document)
        return await _commit(self, changes, info)

    patch.setattr(_Held, "_commit", commit)


@breaker("nothing in use is deleted")
def delete_orphans_without_the_lease(patch: pytest.MonkeyPatch) -> None:
    async def reconcile(self: Reconciler, name: str, *, listed: Listed | None = None) -> Outcome:
        saved = await self.records.get(name)
        for document in listed or ():
            if saved is None or not saved.record.mentions(document):
                await self.index.delete_document(document)
        return await _reconcile(self, name, listed=listed)

    patch.setattr(Reconciler, "reconcile", reconcile)


@breaker("agreement")
def do_not_see_whether_documents_exist(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_Held, "_verify", nothing)


@breaker("agreement|look again")
def believe_the_record(patch: pytest.MonkeyPatch) -> None:
    def agrees(self: Reconciler, saved: Saved | None, info: ObjectInfo | None, listed: Listed | None) -> bool:
        return saved is not None and saved.record.status is not Status.PENDING

    patch.setattr(Reconciler, "at_rest", agrees)


@breaker("only the holder writes")
def take_a_lease_that_is_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Reconciler, "_leased", lambda self, record: False)


@pytest.mark.slow
@pytest.mark.parametrize(("break_rule", "noticed"), BREAKERS)
def test_the_model_notices(break_rule: Breaker, noticed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    break_rule(monkeypatch)
    only_search = settings(SETTINGS, max_examples=5000, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(Broken, match=f"^({noticed})"):
        run_state_machine_as_test(Schedule, settings=only_search)
