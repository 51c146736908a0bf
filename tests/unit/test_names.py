"""What names mean."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.names import (
    common_prefix,
    described_by,
    digest_of,
    existing_problem,
    file_name_problem,
    is_document,
    name_problem,
    object_problem,
    spellings,
    store_of,
    store_problem,
)

NFC, NFD = "Gärtnerei", unicodedata.normalize("NFD", "Gärtnerei")


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
        "hr/x.md.metadata.json",
        "../x.md",
        "a/./b",
        "a\x00b.md",
        "hr/~$leave.docx",
        "notes.md~",
        "#notes.md#",
        "",
        "a\x00",
        "hr/#recycle/x.md",
        "$RECYCLE.BIN/S-1-5-21/x.md",
        "hr/@eaDir/x.md",
        "hr/.Trash-1000/files/x.md",
        "System Volume Information/x.md",
        "hr/lost+found/x.md",
        "#snapshot/monday/hr/x.md",
        "hr/desktop.ini",
        "hr/Desktop.INI",
        "hr/Thumbs.db",
        "ehthumbs.db",
        "hr/Icon\r",
        "hr/.DS_Store",
        "hr/big.pdf.part",
        "hr/big.pdf.partial",
        "hr/big.pdf.CRDOWNLOAD",
        "hr/big.pdf.download/big.pdf",
        "hr/big.tmp",
        "hr/big.pdf.!qB",
        "hr/big.pdf.aria2",
        "hr/big.pdf.incomplete",
        "hr/plan.md.swp",
        "hr/RECYCLER/S-1-5-21/x.md",
        "hr/@sharebin/x.md",
        "hr/@tmp/x.md",
        "hr/~WRL0001.tmp",
        "hr/.~lock.plan.odt#",
        "hr/plan.docx.sb-1a2b3c4d-Ab12Cd/plan.docx",
    ],
)
def test_what_is_not_a_document(name: str) -> None:
    assert not is_document(name)


@pytest.mark.parametrize(
    "name",
    [
        "q1..final.txt",
        "hr/été 2026 (v2).pdf",
        "a/b/c/d.md",
        "x",
        "日本語/資料.pdf",
        "50%+1.txt",
        "department/x.md",
        "tmp/x.md",
        "parts.md",
        "incomplete.md",
        "recycler.md",
        "#1.md",
    ],
)
def test_what_is_a_document(name: str) -> None:
    assert is_document(name)


@pytest.mark.parametrize("name", ["/x.md", "a//b.md", "a/b//c.md"])
def test_what_a_cloud_may_hold_under_an_empty_folder_is_a_document_that_cannot_be_indexed(name: str) -> None:
    assert is_document(name)
    assert "empty" in str(existing_problem(name))
    assert object_problem(name)
    assert existing_problem("a/b.md") is None


def test_no_document_can_be_uploaded_under_the_name_of_a_temporary_or_system_file() -> None:
    for name in ("hr/#recycle/x.md", "hr/Thumbs.db", "hr/big.pdf.part", "hr/Icon\r"):
        assert str(object_problem(name)).endswith("not indexed.")


def test_a_store_has_one_name_in_every_unicode_form() -> None:
    assert NFD != NFC
    assert store_of(f"{NFD}/x.md") == store_of(f"{NFC}/x.md") == NFC
    assert {f"{NFC}/{NFC}", f"{NFC}/{NFD}", f"{NFD}/{NFC}", f"{NFD}/{NFD}"} == set(spellings(f"{NFC}/{NFD}"))
    assert f"{NFD}/x".startswith(common_prefix(f"{NFC}/x"))


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
