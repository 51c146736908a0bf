"""Files that are still being copied: the old document answers until the new one is whole."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.documents import pdf
from tests.servers import Server, flamehaven, until

QUESTION = "When are salaries paid?"


def state(client: Server, name: str) -> dict[str, Any]:
    return dict(client.get(f"/api/documents/{name}").json())


def answer(client: Server) -> str:
    return str(client.get("/api/search", params={"q": QUESTION, "store": "hr"}).json().get("answer", ""))


def test_a_pdf_that_is_copied_over_slowly_keeps_its_old_document_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "documents" / "hr" / "pay.pdf"
    path.parent.mkdir(parents=True)
    path.write_bytes(pdf(["Salaries are paid on the 25th of each month."]))
    data = pdf(["Salaries are paid on the 28th of each month."])
    with flamehaven(tmp_path, CACHE_TTL_SEC="0") as client:
        until(lambda: "25th" in answer(client))
        with path.open("wb") as file:
            for start in range(0, len(data), len(data) // 3):
                file.write(data[start : start + len(data) // 3])
                file.flush()
                time.sleep(0.7)
                assert state(client, "hr/pay.pdf")["status"] == "pending"
                assert "25th" in answer(client)
                client.post("/api/documents/hr/pay.pdf/retry")
                report = client.post("/api/reconcile").json()
                assert report["outcomes"] == {"changing": 1}
                assert report["unsettled"] == ["hr/pay.pdf"]
        until(lambda: "28th" in answer(client))
        assert state(client, "hr/pay.pdf")["reason"] is None


def test_a_copy_that_opens_the_file_anew_for_each_part_takes_nothing_out(tmp_path: Path) -> None:
    path = tmp_path / "documents" / "hr" / "pay.pdf"
    path.parent.mkdir(parents=True)
    path.write_bytes(pdf(["Salaries are paid on the 25th of each month."]))
    data = pdf(["Salaries are paid on the 28th of each month."])
    with flamehaven(tmp_path, CACHE_TTL_SEC="0") as client:
        until(lambda: "25th" in answer(client))
        path.write_bytes(b"")
        for start in range(0, len(data), len(data) // 3):
            with path.open("ab") as file:
                file.write(data[start : start + len(data) // 3])
            time.sleep(0.7)
            assert "25th" in answer(client) or "28th" in answer(client)
            assert state(client, "hr/pay.pdf")["status"] in ("pending", "indexed")
        until(lambda: "28th" in answer(client))


def test_a_copy_that_is_under_way_when_the_server_is_killed_is_indexed_after_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "documents" / "hr" / "pay.md"
    path.parent.mkdir(parents=True)
    path.write_text("Salaries are paid on the 25th.")
    with path.open("r+") as file:
        with flamehaven(tmp_path) as client:
            until(lambda: state(client, "hr/pay.md").get("status") == "pending")
            client.kill()
        file.write("Salaries are paid on the 28th.")
    with flamehaven(tmp_path) as client:
        until(lambda: "28th" in answer(client))
