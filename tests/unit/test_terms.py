"""How texts and questions become what FTS5 indexes and looks for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_search_emulator.terms import indexed_text, match_any, match_word


@pytest.fixture(scope="module")
def finds() -> Callable[[str, str], bool]:
    connection = sqlite3.connect(":memory:")
    tokenize = "porter unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'"
    connection.execute(f'CREATE VIRTUAL TABLE texts USING fts5 (text, tokenize = "{tokenize}")')

    def matches(query: str, text: str) -> bool:
        connection.execute("DELETE FROM texts")
        connection.execute("INSERT INTO texts VALUES (?)", (indexed_text(text),))
        return connection.execute("SELECT 1 FROM texts WHERE texts MATCH ?", (query,)).fetchone() is not None

    yield matches
    connection.close()


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What is the retry_policy?", "set retry_policy to 3"),
        ("error E1234", "Code E1234: disk full"),
        ("E-12.4", "part E-12.4 is worn"),
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
def test_a_question_finds_a_text(finds: Callable[[str, str], bool], question: str, text: str) -> None:
    assert finds(match_any(question), text)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What is the price?", "what is the weather"),  # only stop words in common
        ("E1234", "E1235"),
        ("東京", "京東"),
        ("छुट्टी", "छत"),
    ],
)
def test_a_question_does_not_find_another_text(finds: Callable[[str, str], bool], question: str, text: str) -> None:
    assert not finds(match_any(question), text)


def test_a_word_counts_as_often_as_it_is_asked() -> None:
    assert match_any("paid leave, paid").count('"paid"') == 2


def test_nothing_to_look_for_gives_no_query() -> None:
    assert match_any(" ?! ") == ""


def test_a_text_without_such_scripts_stays_as_it_is() -> None:
    assert indexed_text("Plain text,  two spaces\nand a line.") == "Plain text,  two spaces\nand a line."


@given(st.text(max_size=200))
def test_every_question_is_a_query_that_fts5_takes(finds: Callable[[str, str], bool], question: str) -> None:
    if query := match_any(question):
        finds(query, "any text")
    finds(match_word(question), "any text")
