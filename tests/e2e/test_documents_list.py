"""Listing documents over HTTP, by store and a page at a time."""

from __future__ import annotations

from pathlib import Path

from tests.servers import flamehaven, until

NAMES = ["a.md", "default/b.md", "hr/a.md", "hr/deep/b.md", "hr.md", "it/a.md"]


def test_pages_follow_each_other_and_stores_are_kept_apart(tmp_path: Path) -> None:
    for name in NAMES:
        path = tmp_path / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"This is {name}.")
    (tmp_path / "documents" / "hr" / "a.md.metadata.json").write_text("{}")
    with flamehaven(tmp_path) as client:

        def listed(**query: str) -> list[str]:
            names, token = [], ""
            while True:
                page = client.get("/api/documents", params=query | ({"page_token": token} if token else {})).json()
                names += [document["object"] for document in page["documents"]]
                token = page["next_page_token"]
                if not token:
                    return names

        assert listed() == listed(page_size="1") == sorted(NAMES)
        assert listed(store="hr", page_size="1") == ["hr/a.md", "hr/deep/b.md"]
        assert listed(store="default") == ["a.md", "default/b.md", "hr.md"]
        assert listed(store="nowhere") == []
        first = until(
            lambda: (document := client.get("/api/documents/hr/a.md").json())["status"] == "indexed" and document
        )
        assert (first["store"], first["title"], first["mime_type"]) == ("hr", "a.md", "text/markdown")
        assert (first["size"], first["reason"], first["attempts"]) == (16, None, 0)
        assert first["updated"] <= first["indexed"]
