"""What a provider's token must say, and which addresses may be configured."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kerma_auth.domain.vouching import ClaimRules, NotAccepted
from kerma_auth.settings import KeycloakSettings
from kerma_common.settings import SettingsError, load

RULES = ClaimRules(frozenset({"ui", "app"}), "realm_access.roles", "kerma user")
CLAIMS: dict[str, Any] = {
    "typ": "Bearer",
    "aud": "account",
    "azp": "ui",
    "preferred_username": "ada",
    "iat": 1_700_000_000,
    "realm_access": {"roles": ["other", "kerma user"]},
}


def test_the_user_is_the_one_whom_the_token_names() -> None:
    vouched = RULES.vouched(CLAIMS, "JWT")
    assert vouched.username == "ada"
    assert vouched.issued_at == datetime.fromtimestamp(1_700_000_000, UTC)


@pytest.mark.parametrize("iat", ["soon", [], 1e30, -1e30, float("nan")])
def test_a_time_that_is_none_is_refused(iat: object) -> None:
    with pytest.raises(NotAccepted, match="no time"):
        RULES.vouched({**CLAIMS, "iat": iat}, None)


@pytest.mark.parametrize(
    ("claim", "value", "found"),
    [
        ("services", "a", {"services": ["b", "a"]}),
        ("services", "a", {"services": "a"}),
        ("a.b", "c", {"a.b": ["c"], "a": {"b": ["other"]}}),
        ("a.b.c", "d", {"a": {"b": {"c": ["d"]}}}),
    ],
)
def test_access_is_a_text_in_a_claim_or_at_a_path(
    claim: str, value: str, found: dict[str, Any]
) -> None:
    rules = ClaimRules(frozenset({"ui"}), claim, value)
    assert rules.vouched({**CLAIMS, **found}, None).username == "ada"


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"a": None},
        {"a": {}},
        {"a": {"b": None}},
        {"a": {"b": ["cc", 7, None]}},
        {"a": {"b": "cc"}},
        {"a": {"b": {"c": True}}},
        {"a": ["b"]},
        {"a.b": []},
        {"a.b": [], "a": {"b": ["c"]}},
    ],
)
def test_without_access_the_user_stays_out(found: dict[str, Any]) -> None:
    rules = ClaimRules(frozenset({"ui"}), "a.b", "c")
    with pytest.raises(NotAccepted, match=r"^User ada has no access to our service$"):
        rules.vouched({**CLAIMS, **found}, None)


@pytest.mark.parametrize(
    ("typ", "header", "accepted"),
    [
        ("Bearer", "JWT", True),
        (None, "at+jwt", True),
        (None, "AT+JWT", True),
        (None, "JWT", False),
        ("ID", "JWT", False),
        ("Refresh", None, False),
        ("DPoP", "JWT", False),
        (None, 7, False),
    ],
)
def test_only_access_tokens_are_accepted(typ: str | None, header: object, accepted: bool) -> None:
    claims = {**CLAIMS, "typ": typ}
    if accepted:
        assert RULES.vouched(claims, header).username == "ada"
    else:
        with pytest.raises(NotAccepted, match="not an access token"):
            RULES.vouched(claims, header)


def test_whether_a_token_is_for_us_comes_before_whether_its_user_has_access() -> None:
    with pytest.raises(NotAccepted, match="another application"):
        RULES.vouched({**CLAIMS, "azp": "x", "realm_access": {}}, None)


@pytest.mark.parametrize(
    "issuer",
    [
        "https://sso.example.org/auth/realms/plg",
        "http://127.0.0.1:8080/realms/plg",
        "http://localhost/realms/plg",
        "http://[::1]/realms/plg",
    ],
)
def test_keys_come_from_below_the_issuer_unless_set(issuer: str) -> None:
    settings = load(KeycloakSettings, issuer=issuer, clients="ui, app")
    assert settings.clients == ("ui", "app")
    assert settings.keys_url == f"{issuer}/protocol/openid-connect/certs"
    other = load(KeycloakSettings, issuer=issuer, clients="ui", jwks_url="https://in/keys")
    assert other.keys_url == "https://in/keys"


@pytest.mark.parametrize(
    "url",
    [
        "http://sso.example.org/auth/realms/plg",
        "http://127.0.0.1.example.org/",
        "https://user:word@sso.example.org/",
        "https://sso.example.org/?realm=plg",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "sso.example.org",
        "",
    ],
)
def test_no_token_and_no_key_goes_over_an_open_line(url: str) -> None:
    for name in ("issuer", "jwks_url"):
        with pytest.raises(SettingsError, match=f"(?i)KERMA_AUTH_KEYCLOAK_{name}"):
            load(KeycloakSettings, **{"clients": "ui", name: url})


def test_a_provider_without_clients_would_accept_every_application() -> None:
    with pytest.raises(SettingsError, match=r"^KERMA_AUTH_KEYCLOAK_CLIENTS: must be set"):
        load(KeycloakSettings, issuer="https://sso.example.org/realms/plg")
