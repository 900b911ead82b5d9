"""What access tokens say, and what they said in earlier releases."""

from __future__ import annotations

from datetime import UTC, datetime

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kerma_common.security.principal import KEYCLOAK, NATIVE
from kerma_common.security.tokens import ALGORITHM, SigningKey, issue, verify

KEY = SigningKey("first", Ed25519PrivateKey.generate())
PUBLIC = KEY.private.public_key()


def test_a_token_tells_the_provider_of_its_user() -> None:
    for provider in (KEYCLOAK, NATIVE):
        token, _ = issue(KEY, "ada", "s1", (), datetime.now(UTC), provider)
        assert verify(token, KEY.kid, PUBLIC).provider == provider


def test_a_token_of_an_earlier_release_is_that_of_a_native_user() -> None:
    token, _ = issue(KEY, "ada", "s1", (), datetime.now(UTC), KEYCLOAK)
    claims = jwt.decode(token, options={"verify_signature": False})
    del claims["idp"]
    earlier = jwt.encode(claims, KEY.private, ALGORITHM, headers={"kid": KEY.kid})
    assert verify(earlier, KEY.kid, PUBLIC).provider == NATIVE
