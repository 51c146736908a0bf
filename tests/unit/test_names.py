"""What names mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.names import described_by, digest_of, file_name_problem, is_document, name_problem, store_of, store_problem


@pytest.mark.parametrize(
    ("name", "store"),
    [("hr/policies/leave.pdf", "hr"), ("hr/x.md", "hr"), ("x.md", "default"), ("default/x.md", "default")],
)
def test_the_first_folder_is_the_store(name: str, store: str) -> None:
    assert store_of(name) == store


@pytest.mark.parametrize(
    "name",
    [
        "hr/.hidden/x.md",
        ".x.md",
        "hr/",
        "/x.md",
        "a//b.md",
        "hr/x.md.metadata.json",
        "../x.md",
        "a/./b",
        "a\x00b.md",
        "hr/~$leave.docx",
        "notes.md~",
        "#notes.md#",
        "",
        "a\x00",
    ],
)
def test_what_is_not_a_document(name: str) -> None:
    assert not is_document(name)


@pytest.mark.parametrize(
    "name", ["q1..final.txt", "hr/été 2026 (v2).pdf", "a/b/c/d.md", "x", "日本語/資料.pdf", "50%+1.txt"]
)
def test_what_is_a_document(name: str) -> None:
    assert is_document(name)


def test_a_metadata_file_speaks_of_its_document() -> None:
    assert described_by("hr/leave.pdf.metadata.json") == "hr/leave.pdf"
    assert described_by("hr/leave.pdf") == "hr/leave.pdf"


@pytest.mark.parametrize("store", ["", "..", "a/b", "a\\b", ".hidden", "x" * 256, "a\tb", "../../evil"])
def test_what_cannot_be_a_store(store: str) -> None:
    assert store_problem(store)


def test_a_file_name_is_one_segment_that_is_a_document() -> None:
    assert file_name_problem("q1..final.txt") is None
    for name in ("../x.md", "a/b.md", "C:\\x.md", ".x", "x.metadata.json", "y" * 300 + ".md"):
        assert file_name_problem(name)


@given(st.text())
def test_any_text_is_judged_and_what_passes_has_a_digest(name: str) -> None:
    if name_problem(name) is None:
        assert len(digest_of(name)) == 64
        assert len(name.encode()) <= 1024
