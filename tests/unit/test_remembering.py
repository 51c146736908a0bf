"""What is remembered of words stays small, whatever words the documents hold."""

from __future__ import annotations

import ast

from file_search_emulator import answering
from file_search_emulator.answering import Passage, answer
from file_search_emulator.remembering import LONGEST, MOST, remembering
from file_search_emulator.terms import postings
from tests.expressions import PACKAGES
from tests.servers import ROOT


def test_short_words_are_worked_out_once_and_long_ones_are_not_kept() -> None:
    asked: list[str] = []

    @remembering
    def work(word: str) -> int:
        asked.append(word)
        return len(word)

    for _ in range(2):
        assert work("a" * LONGEST) == LONGEST
        assert work("a" * (LONGEST + 1)) == LONGEST + 1
    assert asked == ["a" * LONGEST, "a" * (LONGEST + 1), "a" * (LONGEST + 1)]


def test_only_the_latest_words_are_kept() -> None:
    asked: list[str] = []

    @remembering
    def work(word: str) -> None:
        asked.append(word)

    for number in range(MOST + 1):
        work(str(number))
    work("0")
    assert len(asked) == MOST + 2


def test_an_answer_keeps_nothing_of_long_words() -> None:
    word = "zeppelinhafenverwaltung" * 9
    answer(f"Where is the {word}?", [Passage(f"The {word} is in the north.", "", 1.0)], lambda word: 0.1)
    assert max(map(len, answering._known)) <= LONGEST


def test_a_long_word_has_its_terms_all_the_same() -> None:
    found, count = postings("", "\u6f22" * 1000)
    assert (len(found), count) == (2, 1999)


def test_no_other_cache_holds_what_strangers_choose() -> None:
    """Each cache of the project, by what it keeps; a new one is looked at before it is added here."""
    found = {
        f"{path.relative_to(ROOT)}:{node.name}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and any("cache" in ast.unparse(each) for each in node.decorator_list)
    }
    assert found == {
        "file_search_emulator/embedding.py:_load",  # the model
        "file_search_emulator/metadata_filter.py:_parser",  # the parser
        "file_search_emulator/parsing/limited.py:_say_missing",  # which of two parts the kernel lacks
        "file_search_emulator/terms.py:_stop_words",  # the list
        "flamehaven/pages.py:_content",  # the files of /docs
        "functions/ingest/worker.py:_say_not_ours",  # the beginnings of 100 names of buckets
        "shared/buckets/directory.py:_warn_once",  # 1,000 names of files
        "shared/holder.py:_machine",
        "shared/holder.py:_this_process",
        "shared/http.py:configure_once",
    }
