"""API tokens: ``kerma_<id>_<secret>``, for scripts, checked against a hash that AUTH holds.

The secret is 32 random bytes, so its SHA-256 needs no salt and reveals nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from kerma_common.security.principal import NATIVE

PREFIX = "kerma_"
SECRET_BYTES = 32
_TOKEN = re.compile(r"kerma_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)


USED_SIGNAL = "sig.auth.tokens-used"
"""Hint to auth which tokens a process has accepted."""
MOST_REPORTED = 1000
TokenId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]


@dataclass(frozen=True, slots=True)
class TokensUsed:
    """Ids of tokens that were used since the last report."""

    token_ids: Annotated[tuple[TokenId, ...], Field(max_length=MOST_REPORTED)]


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What a process knows of a token. ``secret_sha256`` is hexadecimal."""

    user_id: str
    secret_sha256: str
    roles: frozenset[str]
    expires: datetime
    provider: str = NATIVE


def written(token_id: str, secret: bytes) -> str:
    """Return a token as its user writes it."""
    return f"{PREFIX}{token_id}_{_text(secret)}"


def secret_hash(secret: bytes) -> str:
    """Return what AUTH holds of a secret."""
    return hashlib.sha256(_text(secret).encode()).hexdigest()


def read(token: str) -> tuple[str, str] | None:
    """Return the id and the secret in a token, None if it is none."""
    found = _TOKEN.fullmatch(token)
    return (found[1], found[2]) if found else None


def matches(token: ApiToken, secret: str) -> bool:
    """Return whether a secret is that of a token."""
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return hmac.compare_digest(digest, token.secret_sha256)


def _text(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
