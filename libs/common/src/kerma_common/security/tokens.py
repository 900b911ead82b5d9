"""Access tokens: EdDSA-signed JWTs with user, session and roles."""

from __future__ import annotations

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

ISSUER = "kerma"
AUDIENCE = "kerma"
ALGORITHM = "EdDSA"
ACCESS_LIFE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says."""

    user_id: str
    session_id: str
    roles: tuple[str, ...]
    key_id: str
    issued_at: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the id that tokens name it by."""

    kid: str
    private: Ed25519PrivateKey

    @property
    def public_jwk(self) -> Mapping[str, str]:
        """The public half, for everyone who verifies."""
        jwk: dict[str, str] = OKPAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**jwk, "kid": self.kid, "alg": ALGORITHM, "use": "sig"}


def issue(
    key: SigningKey, user_id: str, session_id: str, roles: tuple[str, ...], now: datetime
) -> tuple[str, datetime]:
    """A token and the moment it expires."""
    expires = now.replace(microsecond=0) + ACCESS_LIFE
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": user_id,
        "sid": session_id,
        "roles": list(roles),
        "iat": now.timestamp(),
        "exp": int(expires.timestamp()),
    }
    return jwt.encode(claims, key.private, ALGORITHM, headers={"kid": key.kid}), expires


def key_id_of(token: str) -> str:
    """The key a token names; unverified. Raises jwt.InvalidTokenError."""
    kid = jwt.get_unverified_header(token).get("kid")
    if not isinstance(kid, str):
        raise jwt.InvalidTokenError("The token names no key")
    return kid


def verify(token: str, kid: str, public_jwk: Mapping[str, Any]) -> Claims:
    """Claims of a valid token. Raises jwt.InvalidTokenError with the reason."""
    key = OKPAlgorithm.from_jwk(dict(public_jwk))
    if not isinstance(key, Ed25519PublicKey):
        raise jwt.InvalidKeyError("Not a public Ed25519 key")
    claims = jwt.decode(
        token,
        key,
        algorithms=[ALGORITHM],
        audience=AUDIENCE,
        issuer=ISSUER,
        options={"require": ["exp", "iat", "sub", "sid"]},
    )
    return Claims(
        user_id=claims["sub"],
        session_id=claims["sid"],
        roles=tuple(claims.get("roles", ())),
        key_id=kid,
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        expires=datetime.fromtimestamp(claims["exp"], UTC),
    )
