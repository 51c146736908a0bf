"""Two deployments on one bucket and one Gemini project, and one that changes its project: neither harms the other."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.deployment import Gemini, cloud, container, gemini, metadata
from tests.servers import Server, until

NAMES = [f"hr/{number}.md" for number in range(6)]


def sweep(server: Server) -> dict[str, int]:
    """What came of everything."""
    return dict(server.post("/api/reconcile", timeout=60).json()["outcomes"])


def owners(model: Gemini) -> Counter[str]:
    """How many documents each deployment has."""
    return Counter(metadata(document)["flamehaven_deployment"] for document in model.documents())


@pytest.mark.slow
def test_neither_deployment_touches_what_the_other_indexed(tmp_path: Path) -> None:
    with cloud("moto", tmp_path) as there, gemini(tmp_path) as model:
        there.aws.s3().create_bucket(Bucket="staging")  # type: ignore[attr-defined]  # moto's
        for name in NAMES:
            there.put(name, f"The code of {name} is 7{name[3]}7.")
        staging = {"STATE_URL": "s3://staging", "EVENTS_URL": "", "SWEEP_INTERVAL_SEC": "0"}
        with (
            container(tmp_path / "production", there, model) as production,
            container(tmp_path / "staging", there, model, **staging) as other,
        ):
            until(lambda: model.texts() == dict.fromkeys(NAMES, 1))
            assert sweep(other) == {"indexed": 6}
            assert sorted(owners(model).values()) == [6, 6]
            before = {document["name"] for document in model.documents()}
            assert sweep(production) == sweep(other) == {"unchanged": 6}
            assert {document["name"] for document in model.documents()} == before
            there.delete(NAMES[0])
            until(lambda: sorted(owners(model).values()) == [5, 6])
            assert sweep(other) == {"removed": 1, "unchanged": 5}
            assert sorted(owners(model).values()) == [5, 5]
            assert other.delete("/api/stores/hr").status_code == 409


@pytest.mark.slow
def test_another_project_is_filled_and_the_first_is_cleaned_up_on_return(tmp_path: Path) -> None:
    with cloud("moto", tmp_path) as there, gemini(tmp_path / "a") as first, gemini(tmp_path / "b") as second:
        for name in NAMES:
            there.put(name, f"The code of {name} is 7{name[3]}7.")
        data = tmp_path / "data"
        with container(data, there, first):
            until(lambda: first.texts() == dict.fromkeys(NAMES, 1))
        with container(data, there, second) as server:
            until(lambda: second.texts() == dict.fromkeys(NAMES, 1))
            until(lambda: "737" in server.get("/api/search", params={"q": "code of hr/3.md", "store": "hr"}).text)
            there.put(NAMES[3], "The code of hr/3.md is 808 now.")
            until(lambda: "808" in server.get("/api/search", params={"q": "code of hr/3.md", "store": "hr"}).text)
        assert first.texts() == dict.fromkeys(NAMES, 1)
        with container(data, there, first) as server:
            until(lambda: "808" in server.get("/api/search", params={"q": "code of hr/3.md", "store": "hr"}).text)
            until(lambda: sweep(server) == {"unchanged": 6})
            assert first.texts() == dict.fromkeys(NAMES, 1)
