"""The metadata filter: AIP-160's subset, checked against a plain evaluation of made-up filters."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_search_emulator.errors import ApiError
from file_search_emulator.metadata_filter import Value, compile_filter

BOOK: dict[str, Value] = {"author": "Robert Graves", "year": 1934.0, "tags": ("history", "fiction"), "isbn": "0156"}


@pytest.mark.parametrize(
    "text",
    [
        'author = "Robert Graves"',
        "author='Robert Graves'",
        "year=1934",
        "year >= 1934 AND year < 1e4",
        "tags = fiction",
        "tags = 'history'",
        "NOT tags = poetry",
        "tags != poetry",
        "isbn = 0156",
        'author > "Robert" AND author < "S"',
        "year != 7",
        "ANDROID = x OR year = 1934",
        '"author" = "Robert Graves"',
        "NOT missing = 1",
        "(((year = 1934)))",
        "year = 1934 AND tags = x OR tags = fiction",
        "year = 1934 tags = x OR tags = fiction",  # what follows each other is joined by AND
        "year = 1934 tags = fiction AND isbn = 0156",
        "-tags = poetry",
        "-(tags = poetry OR year = 1)",
        "tags:fiction",
        'author:"Robert Graves"',
        "year:1934",
        "author:*",
        "graves",  # anywhere
        "Robert fiction",
        "isbn = 0156 hist",
    ],
)
def test_a_filter_that_a_book_fulfils(text: str) -> None:
    assert compile_filter(text)(BOOK)


@pytest.mark.parametrize(
    "text",
    [
        "author = robert",
        'year = "1934"',
        "year < 1934",
        "tags = hist",
        "tags > a",
        "missing != 1",
        "missing:*",
        "tags:hist",
        "author:Robert",
        "-author:*",
        "year = 1934 year = 1935",
        "author=Robert Graves",  # the author is not "Robert"
        "poetry",
        "missing = x",
        "author < 7 AND year = x",
        "year = 1934 AND missing = 1",
        "NOT (year = 1934 OR tags = x)",
        "year = 1934 OR tags = x AND year = 1",  # true if AND bound tighter, as it does in most languages
    ],
)
def test_a_filter_that_a_book_does_not_fulfil(text: str) -> None:
    assert not compile_filter(text)(BOOK)


def test_quotes_and_backslashes_are_escaped_by_a_backslash() -> None:
    accepts = compile_filter(r'title = "a \"b\" \\ c"')
    assert accepts({"title": r'a "b" \ c'})
    assert not accepts({"title": r"a b \ c"})


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("year =", 6),
        ("a=1 (b=", 7),
        ("(year = 1", 9),
        ("year = 1)", 8),
        ("= 1", 0),
        ("year = 1 AND", 12),
        ("a = 'x", 4),
        ("a == 1", 3),
        ("a: ", 3),
        ("- a=1", 0),
    ],
)
def test_a_mistake_is_named_with_its_position(text: str, position: int) -> None:
    with pytest.raises(ApiError, match=rf"at position {position}\.") as raised:
        compile_filter(text)
    assert (raised.value.code, raised.value.status) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "text", ["(" * 5000 + "a=1" + ")" * 5000, "NOT (" * 500 + "a=1" + ")" * 500, "a=" + "b" * 30_000]
)
def test_a_filter_cannot_exhaust_the_stack(text: str) -> None:
    with pytest.raises(ApiError, match="nested too deeply"):
        compile_filter(text)


def test_parentheses_within_quotes_do_not_count() -> None:
    assert compile_filter(" OR ".join(f'a = "{"(" * index}"' for index in range(60)))({"a": "(" * 59})


KEYS = st.sampled_from(["a", "b", "c"])
TEXTS = st.text(st.sampled_from("xyzé\"\\'() =<"), max_size=4)
NUMBERS = st.integers(-3, 3)
METADATA = st.dictionaries(KEYS, TEXTS | NUMBERS.map(float) | st.lists(TEXTS, max_size=3).map(tuple))
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Case = tuple[str, Callable[[Mapping[str, Value]], bool]]


def comparison(key: str, sign: str, value: str | int) -> Case:
    def holds(metadata: Mapping[str, Value]) -> bool:
        found = metadata.get(key)
        if isinstance(found, tuple):
            return sign in ("=", "!=") and (str(value) in found) == (sign == "=")
        if isinstance(found, float):
            return isinstance(value, int) and COMPARE[sign](found, value)
        return found is not None and COMPARE[sign](found, str(value))

    quoted = str(value) if isinstance(value, int) else '"{}"'.format(value.replace("\\", r"\\").replace('"', r"\""))
    return f"{key} {sign} {quoted}", holds


def joined(parts: list[Case], word: str, combine: Callable[[Any], bool]) -> Case:
    text = f" {word} ".join(f"({part})" for part, _ in parts)
    return text, lambda metadata: combine(holds(metadata) for _, holds in parts)


CASES = st.recursive(
    st.builds(comparison, KEYS, st.sampled_from(sorted(COMPARE)), TEXTS | NUMBERS),
    lambda cases: (
        st.lists(cases, min_size=1, max_size=3).map(lambda parts: joined(parts, "AND", all))
        | st.lists(cases, min_size=1, max_size=3).map(lambda parts: joined(parts, "OR", any))
        | cases.map(lambda case: (f"NOT ({case[0]})", lambda metadata: not case[1](metadata)))
    ),
    max_leaves=6,
)


@given(CASES, METADATA)
def test_a_filter_means_what_it_says(case: Case, metadata: dict[str, Value]) -> None:
    text, holds = case
    assert compile_filter(text)(metadata) == holds(metadata)
