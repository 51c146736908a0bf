from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_search_emulator.chunking import Chunk, split
from file_search_emulator.parsing import Section

_LIMITS = st.integers(1, 60)
_SHAPES = st.lists(st.sampled_from([" ", ". ", "\n", "\n\n", "? ", ": "]), min_size=1, max_size=300)


def _numbered(separators: list[str]) -> str:
    """A text in which no two words are the same, so that a chunk's place in it is known."""
    return "".join(f"w{index}{separator}" for index, separator in enumerate(separators))


@given(st.lists(_SHAPES, max_size=4), _LIMITS, st.integers(0, 70))
def test_a_chunk_is_a_slice_of_one_section_and_keeps_its_page(
    shapes: list[list[str]], limit: int, overlap: int
) -> None:
    texts = [_numbered(shape) for shape in shapes]
    for chunk in split([Section(text, page, f"h{page}") for page, text in enumerate(texts)], limit, overlap):
        assert chunk.page is not None
        assert chunk.text in texts[chunk.page]
        assert chunk.heading == f"h{chunk.page}"
        assert chunk.text == chunk.text.strip() != ""


@given(_SHAPES, _LIMITS, st.integers(0, 70))
def test_chunks_cover_the_text_within_their_limits(separators: list[str], limit: int, overlap: int) -> None:
    text = _numbered(separators)
    end = 0
    for chunk in split([Section(text)], limit, overlap):
        start = text.index(chunk.text)
        assert not text[end:start].strip(), "no gap"
        assert len(text[start:end].split()) <= min(overlap, limit // 4)
        assert len(chunk.text.split()) <= limit
        assert start + len(chunk.text) > end, "each adds something"
        end = start + len(chunk.text)
    assert not text[end:].strip()


def test_breaks_between_sentences() -> None:
    text = " ".join(f"This is sentence {number} of the text." for number in range(100))
    chunks = list(split([Section(text)], max_tokens=50, overlap=10))
    assert all(chunk.text.startswith("This is") and chunk.text.endswith("text.") for chunk in chunks)
    assert chunks[0].text.split(". ")[-1] == chunks[1].text.split(". ")[0] + "."


def test_no_overlap_is_none() -> None:
    text = " ".join(str(number) for number in range(1000))
    assert " ".join(chunk.text for chunk in split([Section(text)], overlap=0)) == text


@pytest.mark.parametrize("unit", ["有給休暇は年二十日です", "ไทยแลนด์"])
def test_text_without_spaces_is_cut_too(unit: str) -> None:
    text = unit * 400
    chunks = list(split([Section(text)], max_tokens=200, overlap=0))
    assert "".join(chunk.text for chunk in chunks) == text
    assert max(len(chunk.text) for chunk in chunks) <= 400


def test_a_line_without_any_space_is_cut() -> None:
    chunks = list(split([Section("x" * 100_000)], overlap=0))
    assert [len(chunk.text) for chunk in chunks] == [8000] * 12 + [4000]


def test_short_sections_stay_whole() -> None:
    assert list(split([Section(" a b ", 1), Section("\n", 2), Section("c", 3, "C")])) == [
        Chunk("a b", 1, None),
        Chunk("c", 3, "C"),
    ]


@pytest.mark.parametrize(("limit", "overlap"), [(0, 0), (10, -1)])
def test_nonsense_is_refused(limit: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        split([Section("a")], limit, overlap)
