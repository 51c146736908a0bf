"""The excerpt of a source shows the sentence that answers, in its context."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flamehaven.cli.excerpt import LONGEST, ROOM, excerpt

FILLER = "Trains are booked through the travel desk, as flights are. "
FACT = "A hotel may cost up to 140 euros a night."


def test_a_sentence_far_down_the_passage_is_shown_with_what_is_around_it() -> None:
    found = excerpt(FILLER * 20 + FACT + " " + FILLER * 20, "A hotel may cost up to 140 euros a night.")
    assert found.answers == FACT
    assert found.before.startswith("…")
    assert found.before.endswith("as flights are. ")
    assert found.after.startswith(" Trains are booked")
    assert found.after.endswith("…")


def test_an_answer_in_other_words_marks_the_sentence_with_most_of_them() -> None:
    found = excerpt(f"{FILLER}{FACT} The meal allowance is 45 euros a day.", "You may spend 140 euros on a hotel.")
    assert found.answers == FACT


def test_a_short_passage_is_shown_whole_and_a_row_of_a_table_is_a_sentence() -> None:
    assert excerpt(FACT, FACT) == (FACT, "", ""), "with nothing that it could be told from"
    table = "| city | hotel |\n| Berlin | 140 euros |\n| Paris | 180 euros |"
    assert excerpt(table, "Paris: 180 euros").answers == "| Paris | 180 euros |"


def test_where_no_word_is_shared_the_beginning_is_shown_and_nothing_is_marked() -> None:
    found = excerpt(FILLER * 20, "Ja")
    assert found.answers == ""
    assert (found.before + found.after).startswith("Trains are booked")
    assert excerpt("", "Ja") == ("", "", "")


@given(st.text(), st.text())
def test_no_more_is_shown_than_there_is_room_for(passage: str, answer: str) -> None:
    found = excerpt(passage, answer)
    assert len("".join(found)) <= max(ROOM, LONGEST) + 4, "and the marks of where it is cut"
    assert "".join("".join(found).split()).replace("…", "") in "".join(passage.split()).replace("…", "")
