"""Ids of stores and documents, as recorded answers of the API show them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_search_emulator.errors import ApiError
from file_search_emulator.names import check_id, new_id, store_id


@pytest.mark.parametrize(
    ("display_name", "begins"),
    [
        ("My File Search Store", "my-file-search-store-"),
        ("test_store", "teststore-"),
        ("leave-policy (v2).pdf", "leavepolicy-v2pdf-"),
        ("the quick brown fox jumps over the lazy dog", "the-quick-brown-fox-jumps-o-"),
        ("the quick brown fox jumped over", "the-quick-brown-fox-jumped--"),  # a cut can leave two dashes
    ],
)
def test_an_id_is_made_of_the_display_name(display_name: str, begins: str) -> None:
    assert re.fullmatch(re.escape(begins) + "[a-z0-9]{12}", new_id(display_name))


@pytest.mark.parametrize("display_name", ["", "有給休暇", "  ", "..."])
def test_a_name_without_plain_letters_gives_a_random_id(display_name: str) -> None:
    assert re.fullmatch("[a-z0-9]{12}-[a-z0-9]{12}", new_id(display_name))


@given(st.text())
def test_every_id_is_one_that_the_api_takes(display_name: str) -> None:
    assert check_id("Document", new_id(display_name))


@pytest.mark.parametrize("name", ["stores/a", "fileSearchStores/", "fileSearchStores/A", "fileSearchStores/a/b", "a"])
def test_what_is_no_name_of_a_store_is_refused(name: str) -> None:
    with pytest.raises(ApiError, match="format"):
        store_id(name)
