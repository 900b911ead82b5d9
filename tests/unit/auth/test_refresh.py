"""Refresh tokens: what they name, and what the use of each means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerma_auth.adapters.refresh_tokens import RefreshTokens
from kerma_auth.domain.session import GRACE, Grant, Use, use_of

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
TOKENS = RefreshTokens(bytes(range(32)))
SESSION = "5e" * 16
MOMENT = timedelta(microseconds=1)


def grant(generation: int = 3, rotated: datetime | None = NOW, **changes: datetime) -> Grant:
    expires = changes.get("expires", LATER)
    return Grant(SESSION, "u", "ada", expires, generation, rotated, changes.get("ended"))


def test_the_current_token_is_rotated_and_the_former_one_repeated_for_a_while() -> None:
    assert use_of(grant(), 3, NOW) is Use.ROTATE
    assert use_of(grant(), 2, NOW + GRACE) is Use.REPEAT
    assert use_of(grant(), 2, NOW + GRACE + MOMENT) is Use.REUSE
    assert use_of(grant(0, None), 0, NOW) is Use.ROTATE


@pytest.mark.parametrize("generation", [0, 1, 4, 99])
def test_any_other_token_is_reuse(generation: int) -> None:
    assert use_of(grant(), generation, NOW) is Use.REUSE


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_no_token_of_a_session_that_is_over_is_good_for_anything(generation: int) -> None:
    assert use_of(grant(ended=NOW), generation, NOW) is Use.ENDED
    assert use_of(grant(expires=NOW), generation, NOW) is Use.OVER


def test_a_token_names_session_and_generation_and_can_be_made_again() -> None:
    token = TOKENS.make(SESSION, 7)
    assert TOKENS.read(token) == (SESSION, 7)
    assert TOKENS.make(SESSION, 7) == token != TOKENS.make(SESSION, 8)
    assert RefreshTokens(bytes(32)).read(token) is None


@given(st.text(max_size=100))
def test_no_text_is_taken_for_a_token(text: str) -> None:
    assert TOKENS.read(text) is None


@pytest.mark.parametrize("generation", ["07", "+7", "7 ", "٧", "9999999999", "-1", ""])
def test_a_generation_has_one_spelling(generation: str) -> None:
    session, _, code = TOKENS.make(SESSION, 7).split(".")
    assert TOKENS.read(f"{session}.{generation}.{code}") is None


def test_a_changed_token_is_none() -> None:
    token = TOKENS.make(SESSION, 7)
    for place in range(len(token)):
        other = "0" if token[place] != "0" else "1"
        if (changed := token[:place] + other + token[place + 1 :]) != token:
            assert TOKENS.read(changed) is None
