"""The projection ``identity``: keys and revocations, so that services verify tokens without auth.

In: SigningKeyIntroduced, SigningKeyRetired, SessionEnded, SessionsRevoked (auth).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt
from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.contracts import auth
from kerma_common.errors import Forbidden
from kerma_common.projection.ops import Op, Update, Upsert
from kerma_common.projection.router import At, Projection
from kerma_common.security.principal import Principal
from kerma_common.security.tokens import Claims, key_id_of, verify

METADATA = MetaData()
_TIME = DateTime(timezone=True)

JWKS = Table(
    "jwks",
    METADATA,
    Column("kid", Text, primary_key=True),
    Column("public_jwk", JSON, nullable=False),
    Column("not_before", _TIME, nullable=False),
    Column("not_after", _TIME),
)

REVOCATION = Table(
    "revocation",
    METADATA,
    Column("user_id", Text, primary_key=True),
    # '' revokes every session of the user that began before not_before
    Column("session_id", Text, primary_key=True),
    Column("not_before", _TIME),
)


def identity_projection(service: str) -> Projection:
    """Return the identity projection of a service."""
    projection = Projection(service, "identity", ("AUTH",), METADATA)

    @projection.on(auth.SigningKeyIntroduced)
    def introduced(event: auth.SigningKeyIntroduced, at: At) -> Iterator[Op]:  # noqa: ARG001
        values = {"public_jwk": dict(event.public_jwk), "not_before": event.not_before}
        yield Upsert(JWKS, {"kid": event.kid}, values)

    @projection.on(auth.SigningKeyRetired)
    def retired(event: auth.SigningKeyRetired, at: At) -> Iterator[Op]:  # noqa: ARG001
        yield Update(JWKS, {"kid": event.kid}, {"not_after": event.not_after})

    @projection.on(auth.SessionEnded)
    def ended(event: auth.SessionEnded, at: At) -> Iterator[Op]:  # noqa: ARG001
        yield Upsert(REVOCATION, {"user_id": event.user_id, "session_id": event.session_id})

    @projection.on(auth.SessionsRevoked)
    def revoked(event: auth.SessionsRevoked, at: At) -> Iterator[Op]:  # noqa: ARG001
        key = {"user_id": event.user_id, "session_id": ""}
        yield Upsert(REVOCATION, key, {"not_before": event.not_before})

    return projection


@dataclass(slots=True)
class TokenVerifier:
    """Verifier of access tokens against the service's identity rows."""

    db: AsyncEngine
    _keys: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    async def __call__(self, token: str) -> Principal:
        """Return the principal of a valid token. Raises Forbidden with the reason."""
        try:
            kid = key_id_of(token)
            if (key := await self._key(kid)) is None:
                raise jwt.InvalidTokenError("The token's key is not known")
            claims = verify(token, kid, key)
        except jwt.InvalidTokenError as error:
            raise Forbidden(str(error)) from error
        if not await self._alive(claims):
            raise Forbidden("The session has ended")
        return Principal(claims.user_id, claims.session_id, frozenset(claims.roles))

    async def _key(self, kid: str) -> Mapping[str, Any] | None:
        known = self._keys.get(kid)
        if known is not None:
            return known
        found = select(JWKS.c.public_jwk).where(JWKS.c.kid == kid)
        async with self.db.connect() as connection:
            row = (await connection.execute(found)).first()
        if row is None:
            return None
        self._keys[kid] = row.public_jwk
        return self._keys[kid]

    async def _alive(self, claims: Claims) -> bool:
        """Return whether neither session nor key was revoked; one statement, by primary keys."""
        asked = {
            "user_id": claims.user_id,
            "session_id": claims.session_id,
            "issued_at": claims.issued_at,
            "kid": claims.key_id,
            "now": datetime.now(UTC),
        }
        async with self.db.connect() as connection:
            over = (await connection.execute(_OVER, asked)).first()
        return over is None


_OVER = (
    select(REVOCATION.c.user_id)
    .where(
        REVOCATION.c.user_id == bindparam("user_id"),
        or_(
            REVOCATION.c.session_id == bindparam("session_id"),
            and_(REVOCATION.c.session_id == "", REVOCATION.c.not_before > bindparam("issued_at")),
        ),
    )
    .union_all(
        select(JWKS.c.kid).where(
            JWKS.c.kid == bindparam("kid"), JWKS.c.not_after < bindparam("now")
        )
    )
    .limit(1)
)
