"""Rules of users, sessions and the keyring."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kerma_auth.domain.keyring import KEYRING, EnsureKey
from kerma_auth.domain.session import SESSION, EndSession
from kerma_auth.domain.user import USER, RegisterUser, RevokeSessions, User
from kerma_common.contracts.events import auth as events
from kerma_common.domain import Missing, Rejected

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
REGISTER = RegisterUser("u", "password", "c", "password")
REGISTERED = events.UserRegistered(user_id="u", source="password")
CREDENTIAL = events.CredentialSet(user_id="u", credential_id="c", kind="password")
KEY = EnsureKey("k", "EdDSA", {"kty": "OKP"}, NOW)
INTRODUCED = events.SigningKeyIntroduced(
    kid="k", algorithm="EdDSA", public_jwk={"kty": "OKP"}, not_before=NOW
)


def given(*history: object) -> User:
    return USER.fold(User(), history)


def test_a_user_is_registered_with_a_credential() -> None:
    assert USER.decide(given(), REGISTER) == (REGISTERED, CREDENTIAL)


def test_a_user_is_registered_once() -> None:
    with pytest.raises(Rejected) as refused:
        USER.decide(given(REGISTERED, CREDENTIAL), REGISTER)
    assert refused.value.code == "USER_EXISTS"


def test_only_sessions_of_a_user_that_exists_are_revoked() -> None:
    with pytest.raises(Missing) as refused:
        USER.decide(given(), RevokeSessions("u", NOW))
    assert refused.value.code == "UNKNOWN_USER"


def test_sessions_are_revoked_up_to_a_moment_that_only_moves_on() -> None:
    revoked = events.SessionsRevoked(user_id="u", not_before=NOW)
    assert USER.decide(given(REGISTERED), RevokeSessions("u", NOW)) == (revoked,)
    after = given(REGISTERED, revoked)
    assert USER.decide(after, RevokeSessions("u", NOW)) == ()
    assert USER.decide(after, RevokeSessions("u", NOW - timedelta(seconds=1))) == ()
    later = NOW + timedelta(seconds=1)
    (event,) = USER.decide(after, RevokeSessions("u", later))
    assert event == events.SessionsRevoked(user_id="u", not_before=later)


def test_a_role_changes_nothing_that_the_rules_look_at() -> None:
    granted = events.RoleGranted(user_id="u", role="worker")
    assert given(REGISTERED, granted) == given(REGISTERED)


def test_a_session_ends_once() -> None:
    end = EndSession("u", "s", NOW)
    ended = events.SessionEnded(user_id="u", session_id="s", expires=NOW)
    assert SESSION.decide(SESSION.initial, end) == (ended,)
    assert SESSION.decide(SESSION.fold(SESSION.initial, (ended,)), end) == ()


def test_a_key_is_introduced_unless_one_signs() -> None:
    assert KEYRING.decide(KEYRING.initial, KEY) == (INTRODUCED,)
    signing = KEYRING.fold(KEYRING.initial, (INTRODUCED,))
    assert KEYRING.decide(signing, KEY) == ()
    retired = events.SigningKeyRetired(kid="k", not_after=NOW)
    assert KEYRING.decide(KEYRING.fold(signing, (retired,)), KEY) == (INTRODUCED,)
