"""Records and keys are out of reach of those who may upload documents, however their places are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.runtime import open_bucket, open_runtime
from shared.settings import Settings


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of documents with hidden and visible folders, links among them, and records elsewhere."""
    for folder in ("docs/visible/state", "docs/.hidden", "docs/.x", "elsewhere/state", "records/keys"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "docs/.link").symlink_to(tmp_path / "docs/visible/state")
    (tmp_path / "docs/out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in").symlink_to(tmp_path / "docs/visible")
    (tmp_path / "also-docs").symlink_to(tmp_path / "docs")
    (tmp_path / "secret").symlink_to(tmp_path / "docs/admin.key")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(here: Path, **given: str) -> Settings:
    names = {"environment": "development", "data_dir": str(here / "data"), **given}
    return Settings(**{name: value.replace("HERE", str(here)) for name, value in names.items()})


REACHABLE = [
    {"documents_url": "HERE/docs", "state_url": "HERE/docs"},
    {"documents_url": "HERE/docs", "state_url": "HERE/docs/"},
    {"documents_url": "HERE/docs", "state_url": "HERE/docs/state"},
    {"documents_url": "HERE/docs", "state_url": "docs/state"},
    {"documents_url": "docs", "state_url": "HERE/docs/state"},
    {"documents_url": "HERE/docs", "state_url": "HERE/docs/./state"},
    {"documents_url": "HERE/docs", "state_url": "HERE//docs//state"},
    {"documents_url": "HERE/docs", "state_url": "HERE/docs/.x/../state"},
    {"documents_url": "HERE/docs", "state_url": "HERE/data/../docs/state"},
    {"documents_url": "HERE/docs", "state_url": "file://HERE/docs/state"},
    {"documents_url": "file://HERE/docs", "state_url": "HERE/docs/state"},
    {"documents_url": "HERE/docs", "state_url": "file://HERE/%64ocs/state"},
    {"documents_url": "HERE/docs", "state_url": "file://HERE/docs%2Fstate"},
    {"documents_url": "HERE/docs", "state_url": "file://localhostHERE/docs/state"},
    {"documents_url": "HERE/docs", "state_url": "HERE/docs/.link"},
    {"documents_url": "HERE/docs", "state_url": "HERE/docs/out"},
    {"documents_url": "HERE/docs", "state_url": "HERE/docs/out/state"},
    {"documents_url": "HERE/docs", "state_url": "HERE/in/state"},
    {"documents_url": "HERE/also-docs", "state_url": "HERE/docs/visible"},
    {"documents_url": "HERE/docs", "state_url": "HERE/also-docs/visible"},
    {"documents_url": "HERE/docs", "state_url": "HERE/docs/.tmp"},
    {"documents_url": "HERE/docs", "data_dir": "HERE/docs", "state_url": "HERE/records"},
    {"documents_url": "HERE/docs", "data_dir": "HERE/docs/data", "state_url": "HERE/records"},
    {"documents_url": "HERE/docs", "data_dir": "HERE/in/data", "state_url": "HERE/records"},
    {"documents_url": "HERE/data/emulator", "state_url": "HERE/records"},
    {"documents_url": "HERE/docs", "flamehaven_admin_key": "HERE/docs/admin.key"},
    {"documents_url": "HERE/docs", "flamehaven_admin_key": "HERE/secret"},
    {"documents_url": "HERE/docs", "notify_secret": "HERE/docs/out/secret"},
    {"documents_url": "gs://acme/docs", "state_url": "gs://acme/docs/state"},
    {"documents_url": "gs://acme/docs/", "state_url": "gs://acme/docs"},
    {"documents_url": "gs://acme//docs", "state_url": "gs://acme/docs/state/"},
    {"documents_url": "s3://acme", "state_url": "s3://acme/state"},
    {"documents_url": "s3://acme/docs", "state_url": "s3://acme/docs/./state"},
    {"documents_url": "s3://acme/docs", "state_url": "s3://acme/docs/.x/../state"},
    {"documents_url": "s3://acme/docs", "state_url": "s3://acme/docs//state"},
]
RECORDS_AROUND = [
    {"documents_url": "HERE/records/keys", "state_url": "HERE/records"},
    {"documents_url": "HERE/records/.docs", "state_url": "HERE/records"},
    {"documents_url": "gs://acme/all/docs", "state_url": "gs://acme/all"},
    {"documents_url": "gs://acme/docs", "state_url": "gs://acme"},
]
NO_PLACE = [
    {"state_url": "file://elsewhere/state"},
    {"state_url": "ftp://elsewhere/state"},
    {"state_url": "gs:///state"},
    {"state_url": "gs://acme/state?x"},
]
APART = [
    {},
    {"documents_url": "HERE/docs"},
    {"documents_url": "HERE/docs", "state_url": "HERE/docs/.hidden"},
    {"documents_url": "HERE/docs", "state_url": "HERE/docs/.hidden/deeper"},
    {"documents_url": "HERE/docs", "state_url": "file://HERE/docs/%2Ehidden"},
    {"documents_url": "HERE/docs", "data_dir": "HERE/docs/.data"},
    {"documents_url": "HERE/docs", "state_url": "HERE/docs-state"},
    {"documents_url": "HERE/docs", "state_url": "HERE/records"},
    {"documents_url": "HERE/data/documents", "state_url": "HERE/data/state"},
    {"documents_url": "gs://acme/docs", "state_url": "gs://acme/docs-state"},
    {"documents_url": "gs://acme/docs", "state_url": "gs://acme/docs/.state"},
    {"documents_url": "gs://acme", "state_url": "gs://acme/.flamehaven"},
    {"documents_url": "gs://acme/docs", "state_url": "s3://acme/docs"},
    {"documents_url": "gs://acme-docs", "state_url": "gs://acme-docs-state"},
]


@pytest.mark.parametrize("given", REACHABLE + RECORDS_AROUND + NO_PLACE, ids=str)
def test_a_place_within_reach_of_documents_is_refused(here: Path, given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"among the|takes "):
        settings(here, **given)


@pytest.mark.parametrize("given", APART, ids=str)
def test_a_hidden_place_and_one_beside_the_documents_are_taken(here: Path, given: dict[str, str]) -> None:
    settings(here, **given)


@pytest.mark.parametrize("address", ["HERE/docs/.x/../visible", "HERE//docs/./visible", "file://HERE/docs/%76isible"])
def test_what_is_opened_is_what_was_looked_at(here: Path, address: str) -> None:
    assert vars(open_bucket(address.replace("HERE", str(here))))["root"] == here / "docs/visible"


async def test_records_stay_where_they_were_when_a_link_to_them_is_replaced(here: Path) -> None:
    link = here / "link"
    link.symlink_to(here / "records")
    parts = await open_runtime(settings(here, documents_url="HERE/docs", state_url="HERE/link"))
    try:
        link.unlink()
        link.symlink_to(here / "docs/visible")
        await parts.state.put("keys/x.json", b"{}")
        assert (here / "records/keys/x.json").exists()
    finally:
        await parts.aclose()
