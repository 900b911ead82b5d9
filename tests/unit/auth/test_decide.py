"""Rules of users, sessions and the keyring."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kerma_auth.domain.account import ACCOUNT, Account, DisableAccount, EnableAccount
from kerma_auth.domain.api_token import API_TOKEN, ApiToken, CreateApiToken, RevokeApiToken
from kerma_auth.domain.keyring import KEYRING, EnsureKey, Key, RotateKey
from kerma_auth.domain.session import SESSION, EndSession
from kerma_auth.domain.user import (
    SYSTEM,
    USER,
    By,
    ChangeCredential,
    FreeName,
    GrantRole,
    ImportUser,
    RegisterUser,
    ResetCredential,
    RevokeRole,
    RevokeSessions,
    StartRemoval,
    User,
)
from kerma_common.contracts.events import auth as events
from kerma_common.domain import Missing, Rejected

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
REGISTER = RegisterUser("u", "native", "c", "password")
REGISTERED = events.UserRegistered(user_id="u", source="native")
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


def test_a_user_of_another_system_is_imported_once() -> None:
    imported = ImportUser("u", "native", "c", "yaptide")
    registered = events.UserRegistered(user_id="u", source="native", origin="yaptide")
    assert USER.decide(given(), imported) == (registered, CREDENTIAL)
    assert USER.decide(given(registered, CREDENTIAL), imported) == ()
    with pytest.raises(Rejected) as refused:
        USER.decide(given(REGISTERED, CREDENTIAL), imported)
    assert refused.value.code == "USER_EXISTS"


def test_a_removed_user_leaves_nothing_but_the_name() -> None:
    granted = events.RoleGranted(user_id="u", role="staff")
    removed = (
        events.RoleRevoked(user_id="u", role="staff"),
        events.SessionsRevoked(user_id="u", not_before=NOW),
        events.UserRemoved(user_id="u"),  # at once, as an earlier release did
    )
    after = given(REGISTERED, CREDENTIAL, granted, *removed)
    assert USER.decide(after, REGISTER) == (REGISTERED, CREDENTIAL)
    with pytest.raises(Rejected) as refused:
        USER.decide(after, ImportUser("u", "native", "c", "yaptide"))
    assert refused.value.code == "USER_REMOVED"
    again = given(REGISTERED, CREDENTIAL, granted, *removed, REGISTERED, CREDENTIAL)
    assert (again.roles, again.revoked_at) == (frozenset(), NOW)


STARTED = events.UserRemovalStarted(user_id="u", removal="r1")


def test_the_name_of_a_user_who_leaves_is_taken_until_nothing_is_owned() -> None:
    granted = events.RoleGranted(user_id="u", role="staff")
    start = StartRemoval("u", "r1", SYSTEM, NOW)
    left = USER.decide(given(REGISTERED, CREDENTIAL, granted), start)
    assert left == (
        events.RoleRevoked(user_id="u", role="staff"),
        events.SessionsRevoked(user_id="u", not_before=NOW),
        STARTED,
    )
    leaving = given(REGISTERED, CREDENTIAL, granted, *left)
    assert (leaving.registered, leaving.roles, leaving.credential_id) == (False, frozenset(), None)
    assert USER.decide(leaving, StartRemoval("u", "r2", SYSTEM, NOW)) == ()
    for command, code in (
        (REGISTER, "USER_EXISTS"),
        (ImportUser("u", "native", "c", "yaptide"), "USER_REMOVED"),
        (ResetCredential("u", "c2", "password", SYSTEM, NOW), "UNKNOWN_USER"),
        (GrantRole("u", "admin", SYSTEM), "UNKNOWN_USER"),
    ):
        with pytest.raises(Rejected) as refused:
            USER.decide(leaving, command)
        assert refused.value.code == code
    assert USER.decide(leaving, FreeName("u", "r0")) == ()
    (freed,) = USER.decide(leaving, FreeName("u", "r1"))
    assert freed == events.UserRemoved(user_id="u")
    free = USER.fold(leaving, (freed,))
    assert USER.decide(free, StartRemoval("u", "r2", SYSTEM, NOW)) == ()
    assert USER.decide(free, REGISTER) == (REGISTERED, CREDENTIAL)


def test_a_name_that_somebody_has_is_not_freed_again() -> None:
    freed = events.UserRemoved(user_id="u")
    somebody = given(REGISTERED, CREDENTIAL, STARTED, freed, REGISTERED, CREDENTIAL)
    assert USER.decide(somebody, FreeName("u", "r1")) == ()
    assert USER.decide(somebody, FreeName("u", "")) == ()


def test_the_last_admin_stays() -> None:
    admin = given(REGISTERED, CREDENTIAL, events.RoleGranted(user_id="u", role="admin"))
    last = StartRemoval("u", "r", SYSTEM, NOW, last_admin=True)
    with pytest.raises(Rejected) as refused:
        USER.decide(admin, last)
    assert refused.value.code == "LAST_ADMIN"
    assert USER.decide(admin, replace(last, last_admin=False))
    assert USER.decide(given(REGISTERED, CREDENTIAL), last)


def test_only_who_may_administer_an_account_removes_it() -> None:
    for by in (By("o", frozenset({"user"})), By("u", frozenset({"admin"}))):
        with pytest.raises(Rejected):
            USER.decide(given(REGISTERED, CREDENTIAL), StartRemoval("u", "r", by, NOW))


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


OWNER = By("boss", frozenset({"admin"}))
OPERATOR = By("ops", frozenset({"operator"}))
NOBODY = By("eve", frozenset({"user", "worker"}))
REVOKED = events.SessionsRevoked(user_id="u", not_before=NOW)


def role(name: str) -> events.RoleGranted:
    return events.RoleGranted(user_id="u", role=name)


def no_role(name: str) -> events.RoleRevoked:
    return events.RoleRevoked(user_id="u", role=name)


def refusal(state: User, command: object) -> str:
    with pytest.raises(Rejected) as refused:
        USER.decide(state, command)
    return refused.value.code


def test_a_role_is_granted_and_revoked_once() -> None:
    registered = given(REGISTERED, CREDENTIAL)
    grant, revoke = GrantRole("u", "service", OWNER), RevokeRole("u", "service", OWNER)
    assert USER.decide(registered, grant) == (role("service"),)
    assert USER.decide(registered, revoke) == ()
    holder = given(REGISTERED, CREDENTIAL, role("service"))
    assert USER.decide(holder, grant) == ()
    assert USER.decide(holder, revoke) == (no_role("service"),)
    assert USER.fold(holder, (no_role("service"),)) == registered


@pytest.mark.parametrize("by", [OPERATOR, NOBODY])
@pytest.mark.parametrize("kind", [GrantRole, RevokeRole])
def test_only_admins_change_roles(by: By, kind: type[GrantRole] | type[RevokeRole]) -> None:
    assert refusal(given(REGISTERED), kind("u", "service", by)) == "NOT_ALLOWED"


@pytest.mark.parametrize("name", ["", "user", "Admin", "a b", "x" * 33, "1st"])
def test_a_role_is_a_word(name: str) -> None:
    assert refusal(given(REGISTERED), GrantRole("u", name, OWNER)) == "NO_SUCH_ROLE"


def test_an_admin_stays_one_until_another_takes_the_role() -> None:
    admin = given(REGISTERED, role("admin"))
    own = By("u", frozenset({"admin"}))
    assert refusal(admin, RevokeRole("u", "admin", own)) == "OWN_ACCOUNT"
    assert USER.decide(admin, RevokeRole("u", "admin", OWNER)) == (no_role("admin"),)


def test_a_password_replaces_the_one_that_was_checked_and_voids_all_tokens() -> None:
    user = given(REGISTERED, CREDENTIAL)
    new = events.CredentialSet(user_id="u", credential_id="d", kind="password")
    change = ChangeCredential("u", "d", "password", "c", NOW)
    assert USER.decide(user, change) == (new, REVOKED)
    assert refusal(USER.fold(user, (new,)), change) == "CREDENTIAL_CHANGED"
    assert USER.decide(user, ResetCredential("u", "d", "password", OPERATOR, NOW)) == (new, REVOKED)


@pytest.mark.parametrize("privileged", ["operator", "admin", "worker"])
def test_an_operator_cannot_become_someone_with_a_privileged_role(privileged: str) -> None:
    user = given(REGISTERED, CREDENTIAL, role(privileged))
    reset = ResetCredential("u", "d", "password", OPERATOR, NOW)
    assert refusal(user, reset) == "NOT_ALLOWED"
    assert USER.decide(user, replace(reset, by=OWNER))
    disable = DisableAccount("u", user.roles, OPERATOR)
    for command in (disable, EnableAccount("u", user.roles, OPERATOR)):
        with pytest.raises(Rejected, match="NOT_ALLOWED"):
            ACCOUNT.decide(Account(), command)
    assert ACCOUNT.decide(Account(), replace(disable, by=OWNER))


def test_others_change_no_account() -> None:
    reset = ResetCredential("u", "d", "password", NOBODY, NOW)
    assert refusal(given(REGISTERED, CREDENTIAL), reset) == "NOT_ALLOWED"
    with pytest.raises(Rejected, match="NOT_ALLOWED"):
        ACCOUNT.decide(Account(), DisableAccount("u", frozenset(), NOBODY))


def test_an_account_is_disabled_and_enabled_once_and_never_by_itself() -> None:
    disable, enable = (
        DisableAccount("u", frozenset(), OWNER),
        EnableAccount("u", frozenset(), OWNER),
    )
    disabled = events.AccountDisabled(user_id="u")
    enabled = events.AccountEnabled(user_id="u")
    off = ACCOUNT.fold(Account(), (disabled,))
    assert ACCOUNT.decide(Account(), disable) == (disabled,)
    assert ACCOUNT.decide(off, disable) == ()
    assert ACCOUNT.decide(off, enable) == (enabled,)
    assert ACCOUNT.decide(ACCOUNT.fold(off, (enabled,)), enable) == ()
    with pytest.raises(Rejected, match="OWN_ACCOUNT"):
        ACCOUNT.decide(Account(), DisableAccount("boss", frozenset({"admin"}), OWNER))


@pytest.mark.parametrize(
    "command",
    [
        GrantRole("u", "service", OWNER),
        RevokeRole("u", "service", OWNER),
        ResetCredential("u", "d", "password", OWNER, NOW),
        ChangeCredential("u", "d", "password", "c", NOW),
    ],
)
def test_a_user_who_does_not_exist_is_not_changed(command: object) -> None:
    with pytest.raises(Missing):
        USER.decide(given(), command)


@pytest.mark.parametrize(
    "command",
    [
        ResetCredential("u", "d", "password", OWNER, NOW),
        ChangeCredential("u", "d", "password", "c", NOW),
    ],
)
def test_a_user_of_another_provider_gets_no_password(command: object) -> None:
    registered = events.UserRegistered(user_id="u", source="keycloak")
    with pytest.raises(Rejected, match="NO_PASSWORD"):
        USER.decide(given(registered, CREDENTIAL), command)


def test_a_token_is_created_once_and_revoked_by_its_user_alone() -> None:
    create = CreateApiToken("t", "u", "hash", ("service",), NOW, "keycloak")
    created = events.ApiTokenCreated(
        token_id="t",
        user_id="u",
        secret_sha256="hash",
        roles=("service",),
        expires=NOW,
        source="keycloak",
    )
    revoked = events.ApiTokenRevoked(token_id="t", user_id="u")
    assert API_TOKEN.decide(ApiToken(), create) == (created,)
    token = API_TOKEN.fold(ApiToken(), (created,))
    with pytest.raises(Rejected, match="TOKEN_EXISTS"):
        API_TOKEN.decide(token, create)
    assert API_TOKEN.decide(token, RevokeApiToken("t", "u")) == (revoked,)
    assert API_TOKEN.decide(API_TOKEN.fold(token, (revoked,)), RevokeApiToken("t", "u")) == ()
    for state, user in ((token, "eve"), (ApiToken(), "u")):
        with pytest.raises(Missing):
            API_TOKEN.decide(state, RevokeApiToken("t", user))


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


LATER, END = NOW + timedelta(seconds=30), NOW + timedelta(minutes=11)


def rotation(replaces: str, kid: str = "n", until: datetime = END) -> RotateKey:
    return RotateKey(kid, "EdDSA", {"kty": "OKP"}, replaces, LATER, until)


def key(kid: str, since: datetime = LATER) -> events.SigningKeyIntroduced:
    return replace(INTRODUCED, kid=kid, not_before=since)


def test_a_new_key_signs_after_a_while_and_the_former_one_is_accepted_until_its_tokens_end() -> (
    None
):
    keyring = KEYRING.fold(KEYRING.initial, (INTRODUCED,))
    made = KEYRING.decide(keyring, rotation("k"))
    assert made == (key("n"), events.SigningKeyRetired(kid="k", not_after=END))
    rotated = KEYRING.fold(keyring, made)
    assert rotated.newest == Key("n", LATER)
    for moment, kid in ((NOW, "k"), (LATER - timedelta(microseconds=1), "k"), (LATER, "n")):
        signing = rotated.signing(moment)
        assert signing is not None
        assert signing.kid == kid


def test_of_two_rotations_at_once_one_is_refused() -> None:
    keyring = KEYRING.fold(KEYRING.initial, (INTRODUCED, key("n")))
    for replaces in ("k", "other"):
        with pytest.raises(Rejected, match="KEY_ROTATED"):
            KEYRING.decide(keyring, rotation(replaces, "m"))
    with pytest.raises(Rejected, match="KEY_ROTATED"):
        KEYRING.decide(KEYRING.initial, rotation("k"))


def test_a_rotation_at_once_also_cuts_short_what_former_ones_left() -> None:
    retired = events.SigningKeyRetired(kid="k", not_after=END)
    keyring = KEYRING.fold(KEYRING.initial, (INTRODUCED, key("n"), retired))
    made = KEYRING.decide(keyring, rotation("n", "m", until=NOW))
    cut = [events.SigningKeyRetired(kid=kid, not_after=NOW) for kid in ("k", "n")]
    assert made == (key("m"), *cut)


def test_before_its_time_a_single_key_signs_too() -> None:
    keyring = KEYRING.fold(KEYRING.initial, (INTRODUCED,))
    assert keyring.signing(NOW - timedelta(seconds=1)) == Key("k", NOW)
    assert KEYRING.initial.signing(NOW) is None
