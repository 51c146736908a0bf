"""The search function by itself, where SEARCH_ACCESS=key makes it ask for keys: who may ask, and see what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from shared.keys import REMEMBERED
from tests.deployment import gemini
from tests.servers import ROOT, flamehaven, function, until

ADMIN = {"Authorization": "Bearer the-key-of-the-admin"}


class Place:
    """The function on a folder that a server has filled, with keys of two people."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        model = stack.enter_context(gemini(folder))
        self.settings = {
            "GEMINI_BASE_URL": model.address,
            "GEMINI_API_KEY": "k",
            "FLAMEHAVEN_ADMIN_KEY": "the-key-of-the-admin",
        }
        self.data = folder / "data"
        with flamehaven(self.data, **self.settings) as server:
            server.headers |= ADMIN
            for name, text in (("hr/leave.md", "Leave is 26 weeks."), ("it/laptop.md", "A laptop lasts 4 years.")):
                put = server.put(f"/api/documents/{name}", content=text, headers={"Prefer": "wait=20"})
                assert put.json()["status"] == "indexed"
            self.ann = server.post(
                "/api/admin/keys", json={"name": "Ann", "scopes": ["search"], "stores": ["hr"]}
            ).json()
            self.bob = server.post("/api/admin/keys", json={"name": "Bob", "scopes": ["upload"]}).json()
        own = {"DATA_DIR": str(self.data), "ENVIRONMENT": "production", "SEARCH_ACCESS": "key", **self.settings}
        del own["FLAMEHAVEN_ADMIN_KEY"]
        self.log = folder / "search.log"
        self.client = stack.enter_context(function("search", "search", ROOT, self.log, **own))

    def ask(self, key: str | None, **question: str) -> httpx2.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return self.client.get("/", params={"q": "How many weeks is leave?", **question}, headers=headers)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack, tmp_path_factory.mktemp("place"))


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def test_who_has_a_key_for_searching_asks_the_stores_that_it_is_for(place: Place) -> None:
    found = place.ask(place.ann["key"], store="hr")
    assert (found.status_code, "26 weeks" in found.json()["answer"]) == (200, True)
    found = place.client.post("/", json={"query": "x", "store": "hr"}, headers={"X-API-Key": place.ann["key"]})
    assert found.status_code == 200
    assert refusal(place.ask(place.ann["key"], store="it")) == (403, "PERMISSION_DENIED")
    everywhere = place.ask(place.ann["key"]).json()
    assert (everywhere["stores"], "26 weeks" in everywhere["answer"]) == (["hr"], True)
    streamed = place.ask(place.ann["key"], q="How many years does a laptop last?", stream="true")
    assert streamed.status_code == 200
    assert '"stores":["hr"]' in streamed.text
    assert "laptop.md" not in streamed.text


@pytest.mark.parametrize("key", [None, "wrong", "sk_live_" + "0" * 48])
def test_nobody_else_is_told_anything(place: Place, key: str | None) -> None:
    assert refusal(place.ask(key, store="hr")) == (401, "INVALID_API_KEY")
    assert refusal(place.ask(key, store="nowhere")) == (401, "INVALID_API_KEY")
    assert refusal(place.ask(key, unknown="1")) == (401, "INVALID_API_KEY")
    assert place.ask(key).headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_for_something_else_does_not_search(place: Place) -> None:
    assert refusal(place.ask(place.bob["key"], store="hr")) == (403, "PERMISSION_DENIED")


def test_the_log_names_the_key_of_an_answered_and_of_a_refused_request(place: Place) -> None:
    for key, named in ((place.ann, f"key {place.ann['id']} (Ann)"), (place.bob, f"key {place.bob['id']} (Bob)")):
        answer = place.ask(key["key"], store="hr")
        lines = [json.loads(line) for line in place.log.read_text().splitlines() if line.startswith("{")]
        (access,) = [line for line in lines if line["request_id"] == answer.headers["x-request-id"] and "path" in line]
        assert (access["status"], access["caller"]) == (answer.status_code, named)
        assert key["key"] not in place.log.read_text()


@pytest.mark.slow
def test_a_revoked_key_ends(place: Place) -> None:
    with flamehaven(place.data, **place.settings) as server:
        server.delete(f"/api/admin/keys/{place.ann['id']}", headers=ADMIN)
    until(lambda: place.ask(place.ann["key"], store="hr").status_code == 401, seconds=REMEMBERED + 10)
