"""Passwords that are accepted, and what of them is hashed."""

from __future__ import annotations

import pytest

from kerma_auth.domain.passwords import PasswordRules, normal_password, spellings

RULES = PasswordRules()
LENGTH = ("Must have 8 to 128 characters.",)


@pytest.mark.parametrize("password", ["x" * 8, "x" * 128, "correct horse battery", "пароль-дня"])
def test_length_is_all_that_counts(password: str) -> None:
    assert RULES.faults(password, "ada") == ()


@pytest.mark.parametrize("password", ["", "x", "x" * 7, "x" * 129])
def test_a_password_has_a_length_within_bounds(password: str) -> None:
    assert RULES.faults(password, "ada") == LENGTH


def test_the_bounds_are_settings() -> None:
    rules = PasswordRules(4, 6)
    assert rules.faults("xxxx", "ada") == ()
    assert rules.faults("xxx", "ada") == rules.faults("x" * 7, "ada")
    assert rules.faults("xxx", "ada") == ("Must have 4 to 6 characters.",)


@pytest.mark.parametrize("password", ["Lovelace", "lovelace", "ＬＯＶＥＬＡＣＥ"])
def test_a_password_differs_from_the_name(password: str) -> None:
    assert RULES.faults(password, "lovelace") == ("Must differ from the user name.",)


def test_length_is_that_of_the_normal_form() -> None:
    assert RULES.faults("e\u0301" * 7, "ada") == LENGTH
    assert RULES.faults("ﬃ" * 3, "ada") == ()  # three characters each


def test_a_password_is_hashed_in_normal_form_and_an_old_hash_is_of_what_was_typed() -> None:
    assert normal_password("e\u0301") == "é"
    assert spellings("plain") == ("plain",)
    assert spellings("e\u0301") == ("é", "e\u0301")
