"""How texts and questions become the terms by which one is found for the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_search_emulator.terms import asked_for, keys_of, postings


def held(text: str, title: str = "") -> dict[int, int]:
    """The terms of a chunk, each with its count."""
    found, _ = postings(title, text)
    return {int(term): int(count) for term, count in found}


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What is the retry_policy?", "set retry_policy to 3"),
        ("the retry policy", "retryPolicy: 3"),
        ("retry_policy", "class RetryPolicy"),
        ("error E1234", "Code E1234: disk full"),
        ("E-12.4", "part E-12.4 is worn"),
        ("E-1234", "E1234"),
        ("vacations", "paid vacation"),
        ("cafe", "le café"),
        ("Ｐ３", "class P3"),  # noqa: RUF001 (full-width letters)
        ("有給休暇は何日ですか", "年次有給休暇は二十日とする。"),
        ("犬", "子犬がいる"),
        ("猫", "三匹の猫"),
        ("公司的假期", "本公司员工每年享有假期"),
        ("วันหยุด", "พนักงานมีวันหยุดสิบวัน"),
        ("휴가", "연차휴가는 15일입니다"),
        ("छुट्टी", "सालाना छुट्टी बीस दिन"),
        ("is it", "it is"),  # nothing but stop words
        ("C++", "written in C++"),
    ],
)
def test_a_question_finds_a_text(question: str, text: str) -> None:
    assert held(text).keys() & set(asked_for(question))


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What is the price?", "what is the weather"),  # only stop words in common
        ("E1234", "E1235"),
        ("東京", "京東"),
        ("छुट्टी", "छत"),
    ],
)
def test_a_question_does_not_find_another_text(question: str, text: str) -> None:
    assert not held(text).keys() & set(asked_for(question))


def test_an_identifier_is_looked_for_whole_and_in_its_parts() -> None:
    assert asked_for("retry_policy") == [*keys_of("retryPolicy")]
    assert len(asked_for("retry_policy")) == 3


def test_a_word_counts_as_often_as_it_is_asked() -> None:
    assert asked_for("paid leave, paid").count(keys_of("paid")[0]) == 2


def test_a_word_in_the_title_counts_twice() -> None:
    found = held("leave and more leave", "Leave")
    assert found[keys_of("leave")[0]] == 4
    assert postings("Leave", "leave and more leave")[1] == 5


def test_a_count_has_a_greatest_value() -> None:
    assert held("leave " * 1000)[keys_of("leave")[0]] == 255


def test_nothing_to_look_for_gives_no_terms() -> None:
    assert asked_for(" ?! ") == []
    assert len(postings("", "?!")[0]) == 0


@given(st.text(max_size=200))
def test_a_text_is_found_by_itself(text: str) -> None:
    assert set(asked_for(text)) <= held(text).keys()
