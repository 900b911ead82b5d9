"""The grammar of ``page_numbers``."""

from __future__ import annotations

import pytest

from kerma_results.pages.selection import LARGEST, parse_page_numbers


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("0", ((0, 0),)),
        ("0-1,3", ((0, 1), (3, 3))),
        ("3, 0 - 1", ((0, 1), (3, 3))),
        ("1,1,0-2", ((0, 2),)),
        ("5-2", ()),
        ("0-99999999999999999", ((0, LARGEST),)),
        ("99999999999999999", ()),
        ("4,2,3", ((2, 4),)),
    ],
)
def test_ranges(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    assert parse_page_numbers(text) == ranges


@pytest.mark.parametrize(
    "text", ["", ",", "a", "1-", "-1", "1-2-3", "1.5", "٣", "1" * 30, "0," * 2000]
)
def test_what_is_no_list_of_pages(text: str) -> None:
    with pytest.raises(ValueError, match=r"page numbers|parts"):
        parse_page_numbers(text)
