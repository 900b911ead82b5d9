"""Access tokens: EdDSA-signed JWTs with user, session, roles and the user's provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from jwt.algorithms import OKPAlgorithm

from kerma_common.errors import Unauthenticated
from kerma_common.security.principal import NATIVE

ISSUER = "kerma"
AUDIENCE = "kerma"
ALGORITHM = "EdDSA"
ACCESS_LIFE = timedelta(minutes=10)
CLOCK_SKEW = timedelta(seconds=30)
"""Tolerated clock difference between machines: a token may come from the future."""
MOST_TOKEN = 4096
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,512}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a verified token."""

    user_id: str
    session_id: str
    roles: tuple[str, ...]
    key_id: str
    issued_at: datetime
    expires: datetime
    provider: str


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the id by which tokens name it."""

    kid: str
    private: Ed25519PrivateKey

    @property
    def public_jwk(self) -> Mapping[str, str]:
        """Return the public half, for verifiers."""
        jwk: dict[str, str] = OKPAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**jwk, "kid": self.kid, "alg": ALGORITHM, "use": "sig"}


def issue(
    key: SigningKey,
    user_id: str,
    session_id: str,
    roles: tuple[str, ...],
    now: datetime,
    provider: str = NATIVE,
) -> tuple[str, datetime]:
    """Issue a token; return it with its expiry."""
    expires = now.replace(microsecond=0) + ACCESS_LIFE
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": user_id,
        "sid": session_id,
        "roles": list(roles),
        "idp": provider,
        "iat": now.timestamp(),
        "exp": int(expires.timestamp()),
    }
    return jwt.encode(claims, key.private, ALGORITHM, headers={"kid": key.kid}), expires


def key_id_of(token: str) -> str:
    """Return the key id that a token names, unverified.

    Raises jwt.InvalidTokenError, and Unauthenticated for an impossible key id.
    """
    # Check before parsing: JSON of a long header could be nested without end.
    if len(token) > MOST_TOKEN or not _TOKEN.fullmatch(token):
        raise jwt.DecodeError("The token is malformed")
    kid = jwt.get_unverified_header(token).get("kid")
    if not isinstance(kid, str):
        raise jwt.InvalidTokenError("The token names no key")
    if not _KEY_ID.fullmatch(kid):
        raise Unauthenticated("The token's key id (kid) is malformed")
    return kid


def public_key(jwk: Mapping[str, Any]) -> Ed25519PublicKey:
    """Return the key that a JWK holds. Raises jwt.InvalidKeyError."""
    key = OKPAlgorithm.from_jwk(dict(jwk))
    if not isinstance(key, Ed25519PublicKey):
        raise jwt.InvalidKeyError("Not a public Ed25519 key")
    return key


def verify(token: str, kid: str, key: Ed25519PublicKey) -> Claims:
    """Return the claims of a valid token. Raises jwt.InvalidTokenError with the reason."""
    claims = jwt.decode(
        token,
        key,
        algorithms=[ALGORITHM],
        audience=AUDIENCE,
        issuer=ISSUER,
        options={"require": ["exp", "iat", "sub", "sid"], "verify_iat": False},
    )
    if claims["iat"] > (datetime.now(UTC) + CLOCK_SKEW).timestamp():
        raise jwt.ImmatureSignatureError("The token is not yet valid (iat)")
    return Claims(
        user_id=claims["sub"],
        session_id=claims["sid"],
        roles=tuple(claims.get("roles", ())),
        key_id=kid,
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        expires=datetime.fromtimestamp(claims["exp"], UTC),
        provider=claims.get("idp", NATIVE),  # earlier releases had no other users
    )
