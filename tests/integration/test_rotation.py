"""The exchange of the Gemini key, through Google's own clients: whatever dies or comes twice, one key works."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.rotate.google import ApiKeys, GeminiApi, Secret
from functions.rotate.rotation import ATTEMPTS, PATIENCE, Done, Rules, rotate
from shared.failures import DependencyFailure, Misconfigured, Transient
from tests.google_keys import BY_HAND, SECRET, Answer, Google, serving
from tests.servers import ROOT, function

DAY = timedelta(days=1)
RULES = Rules("flamehaven", period=90 * DAY, grace=7 * DAY)
FIRST, SECOND = "flamehaven-gemini-2", "flamehaven-gemini-3"


class Deployment:
    """The real clients on the stand-in, at its time."""

    def __init__(self, google: Google, address: str) -> None:
        self.google = google
        self.parts = (ApiKeys("acme", "flamehaven", address), Secret(SECRET, address), GeminiApi(address))

    def rotate(self, *, at_once: bool = False) -> Done:
        return rotate(*self.parts, RULES, self.google.now, at_once=at_once)

    def after(self, time: timedelta) -> Done:
        self.google.now += time
        return self.rotate()


@pytest.fixture(scope="module")
def only() -> Iterator[Deployment]:
    """The same clients for every test: to make them takes longer than a rotation."""
    google = Google()
    with serving(google) as address:
        yield Deployment(google, address)


@pytest.fixture
def deployment(only: Deployment) -> Deployment:
    return anew(only)


def anew(deployment: Deployment) -> Deployment:
    """With nothing but the key that was made by hand."""
    vars(deployment.google).update(vars(Google()))
    return deployment


def test_a_key_is_exchanged_when_it_is_due_and_the_old_one_goes_after_the_grace_period(deployment: Deployment) -> None:
    google = deployment.google
    assert deployment.after(88 * DAY) == Done()
    assert deployment.after(DAY) == Done(made=FIRST, version=2)
    assert google.enabled() == [BY_HAND, google.alive()[FIRST]]
    assert deployment.after(6 * DAY) == Done()
    assert deployment.after(DAY) == Done(destroyed=[1]), "the key that somebody made by hand is theirs to delete"
    assert deployment.after(82 * DAY) == Done(made=SECOND, version=3)
    assert google.alive().keys() == {FIRST, SECOND}
    assert deployment.after(7 * DAY) == Done(deleted=[FIRST], destroyed=[2])
    assert google.enabled() == list(google.alive().values()) == [google.alive()[SECOND]]
    assert deployment.rotate() == Done()


def test_a_key_is_exchanged_at_once_where_that_is_asked_for(deployment: Deployment) -> None:
    assert deployment.rotate(at_once=True).made == FIRST
    assert deployment.rotate() == Done()


def test_a_new_key_is_waited_for_until_it_works(deployment: Deployment) -> None:
    deployment.google.slow_calls = 2
    for _ in range(2):
        with pytest.raises(Transient, match="does not work yet"):
            deployment.rotate(at_once=True)
        assert deployment.google.enabled() == [BY_HAND]
    assert deployment.rotate(at_once=True).made == FIRST
    assert deployment.google.alive().keys() == {FIRST}


def test_keys_that_never_work_are_deleted_and_not_made_for_ever(deployment: Deployment) -> None:
    deployment.google.slow_calls = -1
    deployment.google.now += 90 * DAY
    said = []
    for _ in range(3 * ATTEMPTS):
        with pytest.raises(DependencyFailure) as caught:
            deployment.after(PATIENCE)
        said.append(str(caught.value))
    assert "never worked, and was deleted" in said[1]
    assert said[-1].startswith(f"{ATTEMPTS} new keys did not work.")
    assert (deployment.google.alive(), deployment.google.enabled()) == ({}, [BY_HAND])
    assert len(deployment.google.keys) == ATTEMPTS


def test_a_key_of_another_gemini_project_is_not_used(deployment: Deployment) -> None:
    deployment.google.project_of[BY_HAND] = "other"
    with pytest.raises(Misconfigured, match="is of another Gemini project"):
        deployment.rotate(at_once=True)
    assert (deployment.google.alive(), deployment.google.enabled()) == ({}, [BY_HAND])


def test_nothing_is_deleted_while_the_key_in_use_is_refused(deployment: Deployment) -> None:
    deployment.rotate(at_once=True)
    deployment.google.slow_calls = -1
    with pytest.raises(Misconfigured, match="nothing older is deleted"):
        deployment.after(8 * DAY)
    assert BY_HAND in deployment.google.enabled()


def test_a_key_that_somebody_replaced_by_hand_goes_too(deployment: Deployment) -> None:
    google = deployment.google
    deployment.rotate(at_once=True)
    google.now += 20 * DAY
    google.add(BY_HAND)
    for version in google.versions[:-1]:
        version["state"] = "DESTROYED"
    assert deployment.after(6 * DAY) == Done()
    assert deployment.after(DAY) == Done(deleted=[FIRST])
    assert (google.alive(), google.enabled()) == ({}, [BY_HAND])


def test_keys_of_others_are_never_touched(deployment: Deployment) -> None:
    google = deployment.google
    other = {"name": "projects/acme/locations/global/keys/other", "createTime": google.now, "keyString": "o"}
    google.keys["other"] = {**other, "annotations": {"flamehaven": "staging"}}
    google.keys["none"] = {**other, "name": "projects/acme/locations/global/keys/none"}
    deployment.rotate(at_once=True)
    deployment.after(8 * DAY)
    assert google.alive().keys() == {"other", "none", FIRST}


@pytest.mark.parametrize(
    ("part", "status", "kind"),
    [
        ("GET /v2/", 503, Transient),
        ("POST /v2/", 429, Transient),
        ("POST /v2/", 403, Misconfigured),
        ("addVersion", 403, Misconfigured),
        (":access", 500, Transient),
        ("fileSearchStores", 503, Transient),
    ],
)
def test_failures_are_told_from_those_that_need_an_operator(
    deployment: Deployment, part: str, status: int, kind: type[DependencyFailure]
) -> None:
    deployment.google.failing[part] = status
    with pytest.raises(kind) as caught:
        deployment.rotate(at_once=True)
    assert BY_HAND not in str(caught.value)
    deployment.google.failing.clear()
    deployment.google.now += 90 * DAY
    assert deployment.rotate().made == FIRST


def test_two_at_once_agree_on_one_key(deployment: Deployment) -> None:
    deployment.google.now += 90 * DAY
    with ThreadPoolExecutor(2) as pool:
        done = [each.result() for each in [pool.submit(deployment.rotate) for _ in range(2)]]
    assert {each.made for each in done} <= {FIRST, None}
    assert deployment.google.alive().keys() == {FIRST}
    assert set(deployment.google.enabled()) == {BY_HAND, deployment.google.alive()[FIRST]}


CRASHES = {"crashes": st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=4), "slow": st.integers(0, 2)}


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**CRASHES)
def test_whatever_dies_a_repeat_ends_with_one_key_that_works(
    only: Deployment, crashes: list[tuple[int, bool]], slow: int
) -> None:
    rotations_end_well(anew(only), crashes, slow)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**CRASHES)
def test_however_often_it_dies(only: Deployment, crashes: list[tuple[int, bool]], slow: int) -> None:
    rotations_end_well(anew(only), crashes, slow)


def rotations_end_well(found: Deployment, crashes: list[tuple[int, bool]], slow: int) -> None:
    """Two rotations, each step of which dies at these calls and is then repeated."""
    google = found.google
    google.slow_calls = slow
    for age in (90 * DAY, 7 * DAY, 83 * DAY, 7 * DAY):
        google.now += age
        for at_call, carried_out in crashes:
            with crashing(google, at_call, carried_out=carried_out):
                attempt(found.rotate)
            assert google.enabled()[-1] in {BY_HAND, *google.alive().values()}, "the key in use is never deleted"
        while not attempt(found.rotate):
            pass
        found.rotate()
    assert list(google.alive().values()) == google.enabled()
    assert len(google.enabled()) == 1


def attempt(rotate: Callable[[], Done]) -> bool:
    """Whether it came to its end."""
    try:
        rotate()
    except DependencyFailure:
        return False
    return True


class crashing:  # noqa: N801 - it reads as a word
    """The process dies at a call: before it is carried out, or after."""

    def __init__(self, google: Google, at_call: int, *, carried_out: bool) -> None:
        self._google, self._left, self._carried_out = google, at_call, carried_out

    def __enter__(self) -> None:
        whole = self._google.answer

        def answer(*call: object) -> Answer:
            self._left -= 1
            if self._left == -1:
                if self._carried_out:
                    whole(*call)  # type: ignore[arg-type]  # as it was called
                return 499, {"error": {"code": 499, "status": "CANCELLED", "message": "the process has died"}}
            return whole(*call)  # type: ignore[arg-type]  # as it was called

        self._google.answer = answer  # type: ignore[method-assign]  # put back below

    def __exit__(self, *error: object) -> None:
        del self._google.answer


def test_the_function_does_it_and_says_so_without_the_key(tmp_path: Path) -> None:
    today = datetime.now(UTC)
    google = Google(now=today - 100 * DAY)
    google.now = today
    (tmp_path / "key").write_text(BY_HAND)
    with serving(google) as address:
        told = {
            "ENVIRONMENT": "production",
            "DATA_DIR": str(tmp_path),
            "GEMINI_API_KEY": str(tmp_path / "key"),
            "ROTATION_PROJECT": "acme",
            "ROTATION_SECRET": SECRET,
            "ROTATION_NAME": "flamehaven",
            "GEMINI_BASE_URL": address,
            "API_KEYS_ENDPOINT": address,
            "SECRET_MANAGER_ENDPOINT": address,
        }
        with function("rotate", "rotate", ROOT, tmp_path / "log", **told) as client:
            assert client.get("/").status_code == 405
            due = {"message": {"attributes": {"eventType": "SECRET_ROTATE"}, "data": "", "messageId": "1"}}
            assert client.post("/", json=due).json()["made"] == FIRST
            assert client.post("/").json() == {"made": None, "version": None, "deleted": [], "destroyed": []}
            google.failing["/v2/"] = 403
            refused = client.post("/?now=true")
            assert (refused.status_code, refused.json()["error"]) == (503, "SERVICE_UNAVAILABLE")
    log = (tmp_path / "log").read_text()
    assert f"The key {FIRST} is in use now, as version 2." in [json.loads(line)["message"] for line in log.splitlines()]
    for text in (BY_HAND, *google.alive().values()):
        assert text not in log
