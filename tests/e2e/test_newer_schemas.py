"""After a return to an older version: what the newer one wrote is refused in words, and stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

from tests.servers import Server, flamehaven, until

LEAVE = "Parental leave is 26 weeks at full pay."
WAIT = {"Prefer": "wait=20"}
REFUSED = "was written by a newer version of this program (schema 2; this version reads up to 1)"


def written_by_a_newer_version(data: Path, kind: str, text: str) -> Path:
    """The object of the state bucket that holds `text`, as if a version with schema 2 had written it."""
    (path,) = [path for path in (data / "state" / kind).iterdir() if text in path.read_text()]
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 2, "new": [1]}))
    return path


def make_key(server: Server, name: str, **more: object) -> dict[str, str]:
    made: dict[str, str] = server.post("/api/admin/keys", json={"name": name, **more}).raise_for_status().json()
    return made


def test_a_record_is_neither_read_nor_replaced_and_the_others_work(tmp_path: Path) -> None:
    with flamehaven(tmp_path) as server:
        for name in ("leave", "other"):
            server.put(f"/api/documents/hr/{name}.md", content=LEAVE, headers=WAIT).raise_for_status()
    record = written_by_a_newer_version(tmp_path, "records", "hr/leave.md")
    before = record.read_bytes()
    with flamehaven(tmp_path) as server:
        refused = server.get("/api/documents/hr/leave.md")
        assert (refused.status_code, refused.json()["error"]) == (503, "SERVICE_UNAVAILABLE")
        assert REFUSED in refused.json()["message"]
        assert server.post("/api/documents/hr/leave.md/retry").status_code == 503
        assert server.get("/api/documents/hr/other.md").json()["status"] == "indexed"
        assert server.get("/api/search", params={"q": "How long is parental leave?", "store": "hr"}).json()["grounded"]
        (tmp_path / "documents/hr/leave.md").write_text("Parental leave is 30 weeks.")
        (tmp_path / "documents/hr/other.md").write_text("Dogs are welcome.")
        swept = server.post("/api/reconcile").raise_for_status().json()
        assert swept["outcomes"]["newer schema"] == 1
        until(lambda: server.get("/api/documents/hr/other.md").json()["size"] == 17)
        assert server.delete("/api/documents/hr/leave.md").status_code == 202
        until(lambda: (tmp_path / "server.log").read_text().count(REFUSED) >= 3)
        assert server.get("/health").json()["status"] == "healthy"
    assert record.read_bytes() == before


def test_a_key_is_neither_accepted_nor_called_wrong(tmp_path: Path) -> None:
    with flamehaven(tmp_path) as server:
        admin = make_key(server, "Admin", scopes=["admin"])
        server.headers["Authorization"] = f"Bearer {admin['key']}"
        ann = make_key(server, "Ann", scopes=["search"])
    record = written_by_a_newer_version(tmp_path, "keys", "Ann")
    before = record.read_bytes()
    with flamehaven(tmp_path) as server:
        refused = server.get("/api/stores", headers={"Authorization": f"Bearer {ann['key']}"})
        assert refused.status_code == 503
        assert REFUSED in refused.json()["message"]
        admins = {"Authorization": f"Bearer {admin['key']}"}
        assert server.delete(f"/api/admin/keys/{ann['id']}", headers=admins).status_code == 503
        assert server.get("/api/stores", headers=admins).status_code == 200
    assert record.read_bytes() == before


def test_a_store_is_neither_used_nor_made_again(tmp_path: Path) -> None:
    with flamehaven(tmp_path) as server:
        server.put("/api/documents/hr/leave.md", content=LEAVE, headers=WAIT).raise_for_status()
    record = written_by_a_newer_version(tmp_path, "stores", "hr")
    before = record.read_bytes()
    with flamehaven(tmp_path) as server:
        refused = server.get("/api/search", params={"q": "How long is parental leave?", "store": "hr"})
        assert refused.status_code == 503
        assert REFUSED in refused.json()["message"]
        server.put("/api/documents/hr/new.md", content=LEAVE).raise_for_status()
        until(
            lambda: f"hr/new.md: {record.relative_to(tmp_path / 'state')} in" in (tmp_path / "server.log").read_text()
        )
    assert record.read_bytes() == before
    with flamehaven(tmp_path) as server:
        record.write_bytes(before.replace(b'"schema": 2', b'"schema": 1'))
        assert server.get("/api/search", params={"q": "How long is parental leave?", "store": "hr"}).json()["grounded"]
