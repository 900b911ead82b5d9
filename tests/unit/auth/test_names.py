"""Names that new users may have, and which of them are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerma_auth.domain.names import (
    LOOKS_ASCII,
    NO_SPACES,
    NO_SUCH_CHARACTERS,
    ONE_SCRIPT,
    BadName,
    name_key,
    new_name,
)


@pytest.mark.parametrize(
    "name",
    [
        "ada",
        "Ada Lovelace",
        "ada@example.org",
        "o'neil",
        "müller",
        "Żółć",
        "иван",
        "Δημήτρης",
        "山田たろう",
        "金哲수",
        "שלום",
        "x" * 128,
    ],
)
def test_a_name_of_one_script_is_accepted_as_it_is(name: str) -> None:
    assert new_name(name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "Must have 1 to 128 characters."),
        ("x" * 129, "Must have 1 to 128 characters."),
        (" ada", NO_SPACES),
        ("ada ", NO_SPACES),
        ("ada  lovelace", NO_SPACES),
        ("ada\u00a0lovelace", NO_SUCH_CHARACTERS),
        ("ada\u3000lovelace", NO_SUCH_CHARACTERS),
        ("ada\u200blovelace", NO_SUCH_CHARACTERS),
        ("ada\u202elovelace", NO_SUCH_CHARACTERS),
        ("ada\tlovelace", NO_SUCH_CHARACTERS),
        ("ada\x00", NO_SUCH_CHARACTERS),
        ("ﬁx", NO_SUCH_CHARACTERS),
        ("\U0001f600", NO_SUCH_CHARACTERS),
        ("abא", NO_SUCH_CHARACTERS),
        ("\ud800", NO_SUCH_CHARACTERS),
        ("аda", ONE_SCRIPT),
        ("adα", ONE_SCRIPT),
        ("山田иван", ONE_SCRIPT),
        ("аса", LOOKS_ASCII),
        ("сосо", LOOKS_ASCII),
        ("ɑdɑ", LOOKS_ASCII),
    ],
)
def test_a_name_that_could_be_taken_for_another_is_refused(name: str, reason: str) -> None:
    with pytest.raises(BadName) as refused:
        new_name(name)
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("one", "other"),
    [("Ada", "ada"), ("Ａda", "ada"), ("Straße", "STRASSE"), ("e\u0301mile", "Émile")],
)
def test_names_that_differ_in_case_width_or_composition_are_the_same(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


@given(st.text(max_size=20))
def test_every_text_has_a_stable_key_and_every_accepted_name_is_its_own_normal_form(
    text: str,
) -> None:
    assert name_key(name_key(text)) == name_key(text)
    try:
        name = new_name(text)
    except BadName:
        return
    assert new_name(name) == name
    assert name_key(name) == name_key(text)
