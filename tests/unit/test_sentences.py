from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_search_emulator.sentences import sentences, stem, terms


def _texts(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@given(st.text(st.sampled_from("aZ1. \n|-:?!。日のz#•…()"), max_size=200) | st.text(max_size=100))
def test_spans_are_ordered_and_hold_all_that_is_not_space(text: str) -> None:
    end = 0
    for start, stop in sentences(text):
        assert end <= start < stop
        assert not text[end:start].strip()
        assert text[start:stop].strip() == text[start:stop]
        end = stop
    assert not text[end:].strip()


@pytest.mark.parametrize(
    "parts",
    [
        ["Dr. Smith came at 5 p.m. today.", "He left!", "Why?"],
        ["Am 3. Oktober ist frei, z. B. in Bonn.", "Es kostet 3.50 EUR."],
        ["有給休暇は年20日です。", "申請は3日前まで！", "「はい。」", "以上"],  # noqa: RUF001
        ["The limit is 10.", "Then it stops."],
    ],
)
def test_ends_at_closing_punctuation(parts: list[str]) -> None:
    joined = ("" if parts[0].endswith("。") else " ").join(parts)
    assert _texts(joined) == parts


def test_lines_that_stand_alone() -> None:
    lines = [
        "Leave",
        "- one thing",
        "- another thing\n  that goes on",
        "Name: Bob",
        "| a | b |",
        "| c | d |",
        "# Next",
        "x",
    ]
    assert _texts("\n".join(lines)) == lines


def test_a_wrapped_line_goes_on() -> None:
    text = "This line was wrapped because the page was not wide enough for\nThe Whole Of It."
    assert _texts(text) == [text]


@pytest.mark.parametrize(
    "family",
    [
        "approve approves approved approval",
        "reimburse reimbursement reimbursed",
        "retry retries retried",
        "cancel cancelled",
        "run running",
        "kündigen Kündigung",
        "Urlaubstag Urlaubstage",
        "congé congés",
    ],
)
def test_words_of_one_family_share_a_term(family: str) -> None:
    assert len({term for word in family.split() for term in terms(word)}) == 1


@pytest.mark.parametrize("pair", ["access accident", "price prize", "sick six", "E1234 E1235"])
def test_other_words_do_not(pair: str) -> None:
    assert len(set(terms(pair))) == 2


def test_terms_of_identifiers_and_unspaced_scripts() -> None:
    assert terms("retry_policy E1234 Wi-Fi") == ["retrypolicy", "retri", "polici", "e1234", "wifi", "wi", "fi"]
    assert terms("有給休暇") == ["有給", "給休", "休暇"]
    assert terms("ガム") == ["ガム"]


@given(st.text(max_size=30))
def test_any_text_has_terms(text: str) -> None:
    assert all(isinstance(term, str) and term for term in terms(text))
    assert isinstance(stem(text), str)
