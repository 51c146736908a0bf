"""What people say about a document, within what Gemini takes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shared.buckets import ObjectInfo
from shared.buckets.metadata_file import parse_metadata
from shared.gemini.metadata import MAX_KEYS, RESERVED, document_metadata, searchable_metadata

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=30)
VALUES = SCALARS | st.lists(SCALARS, max_size=4) | st.dictionaries(st.text(), SCALARS, max_size=3)
KEYS = st.text(max_size=20) | st.sampled_from([*RESERVED, "folder", "type", "author", "year"])


def info(content: bytes) -> ObjectInfo:
    metadata, notes = parse_metadata(content)
    return ObjectInfo("hr/x.md", "g1", 1, datetime(2026, 1, 1, tzinfo=UTC), metadata, notes)


@given(said=st.dictionaries(KEYS, VALUES, max_size=40))
def test_everything_that_is_said_is_used_or_named_in_a_note(said: dict[str, object]) -> None:
    described = info(json.dumps(said).encode())
    used, notes = searchable_metadata(described)
    sent = document_metadata(described, attempt="a", deployment="d")
    assert len(sent) <= MAX_KEYS
    assert {sent[key] for key in RESERVED} == {"hr/x.md", "a", "d"}
    for value in used.values():
        assert isinstance(value, str | int | float | tuple)
        assert not isinstance(value, bool)
    for key in said:
        assert key in used or any(repr(key) in note for note in notes)
    assert not [key for key in used if key not in said and key not in ("folder", "type")]


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_sentence(content: bytes) -> None:
    metadata, notes = parse_metadata(content)
    assert metadata or notes or json.loads(content.decode("utf-8-sig")) == {}


def test_what_people_say_of_folder_and_type_counts_more_than_what_we_do() -> None:
    assert searchable_metadata(info(b"{}"))[0] == {"folder": "hr", "type": "md"}
    assert searchable_metadata(info(b'{"type": "policy"}'))[0] == {"folder": "hr", "type": "policy"}
