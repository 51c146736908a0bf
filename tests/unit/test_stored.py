"""Objects of the state bucket say in which schema they are written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.access import Scope
from shared.buckets import ABSENT
from shared.buckets.directory import DirectoryBucket
from shared.failures import NewerSchema
from shared.keys import Keys
from shared.notices import Notice, NoticedDocument, Notices
from shared.records import Record, Records, Status
from shared.settings import Settings
from tests.servers import free_port

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
RECORD = Record(object="hr/leave.md", deployment="d", backend="b", status=Status.INDEXED, created=NOW, updated=NOW)


async def test_records_and_keys_carry_a_schema_number(tmp_path: Path) -> None:
    state = DirectoryBucket(tmp_path)
    await Records(state).save(RECORD, ABSENT)
    await Keys(state).create("Ann", (Scope.SEARCH,))
    written = [path for path in tmp_path.rglob("*.json") if path.parent.name in ("records", "keys")]
    assert [json.loads(path.read_bytes())["schema"] for path in written] == [1, 1]


@pytest.mark.parametrize("schema", [None, 1])
async def test_a_record_without_a_number_is_of_the_first_schema(tmp_path: Path, schema: int | None) -> None:
    state = DirectoryBucket(tmp_path)
    saved = await Records(state).save(RECORD, ABSENT)
    (path,) = (tmp_path / "records").iterdir()
    fields = json.loads(path.read_bytes())
    path.write_text(json.dumps({**fields, "schema": 1} if schema else {k: fields[k] for k in fields if k != "schema"}))
    found = await Records(state).get("hr/leave.md")
    assert found is not None
    assert found.record == saved.record


async def test_a_newer_record_is_refused_and_an_unreadable_one_replaced(tmp_path: Path) -> None:
    records = Records(DirectoryBucket(tmp_path))
    await records.save(RECORD, ABSENT)
    await records.save(RECORD.model_copy(update={"object": "hr/other.md"}), ABSENT)
    (newer,) = [path for path in (tmp_path / "records").iterdir() if "leave" in path.read_text()]
    newer.write_text(json.dumps({"schema": 2, "entirely": "different"}))
    with pytest.raises(NewerSchema, match=r"records/.* newer version .* Run the newer version again\."):
        await records.get("hr/leave.md")
    assert [saved.record.object async for saved in records.list()] == ["hr/other.md"]
    assert newer.exists()
    newer.write_text("{")
    assert await records.get("hr/leave.md") is None
    assert not newer.exists()


async def test_a_notice_of_a_newer_version_waits_for_it(tmp_path: Path) -> None:
    settings = Settings(environment="development", notify_url=f"http://127.0.0.1:{free_port()}/")
    notices = Notices(DirectoryBucket(tmp_path), settings)
    document = NoticedDocument.model_validate(RECORD, from_attributes=True)
    old = Notice(event="document.indexed", deployment="d", document=document, time=NOW - timedelta(days=9))
    (tmp_path / "notices").mkdir()
    path = tmp_path / f"notices/{old.id}.json"
    path.write_text(json.dumps({**json.loads(old.encode()), "schema": 2}))
    await notices.send_waiting()
    assert path.exists()
    path.write_bytes(old.encode())
    await notices.send_waiting()
    assert not path.exists(), "one of this version, nine days old, is given up"
