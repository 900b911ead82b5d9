"""Verification of access tokens and API tokens against what this process knows of AUTH."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import jwt

from kerma_common.errors import Forbidden, VoidToken
from kerma_common.security.api_tokens import PREFIX, matches, read
from kerma_common.security.principal import Principal
from kerma_common.security.tokens import Claims, key_id_of, verify

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from kerma_common.security.identity import Identity

NO_API_TOKEN = "The API token is not valid"  # noqa: S105 - a message
REMEMBERED = 4096
"""Verified tokens that are remembered, about 1 kB each."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token whose signature is valid under ``key``; it may have expired or been revoked since."""

    claims: Claims
    principal: Principal
    key: Ed25519PublicKey


@dataclass(slots=True)
class TokenVerifier:
    """Verifier that checks a token's signature once, and expiry and revocation on every call."""

    identity: Identity
    _verified: dict[bytes, _Verified] = field(default_factory=dict, init=False)

    async def __call__(self, token: str) -> Principal:
        """Return the principal of a valid token.

        Raises VoidToken with the reason, Forbidden for a disabled account, and Unavailable while
        revocations cannot be known.
        """
        await self.identity.require_current()
        if token.startswith(PREFIX):
            return self._now(self._of_api_token(token))
        # The hash stands for the token, so that no usable token stays in memory.
        name = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found = self._verified.get(name)
        if found is None or self.identity.key(found.claims.key_id) is not found.key:
            found = self._verify(token)
            self._remember(name, found)
        if found.claims.expires <= datetime.now(UTC):
            del self._verified[name]
            raise VoidToken("Signature has expired")
        if self.identity.is_over(found.claims):
            raise VoidToken("The session has ended")
        return self._now(found.principal)

    def _of_api_token(self, token: str) -> Principal:
        if (parts := read(token)) is None:
            raise VoidToken(NO_API_TOKEN)
        token_id, secret = parts
        known = self.identity.api_token(token_id)
        if known is None or not matches(known, secret):
            raise VoidToken(NO_API_TOKEN)
        if known.expires <= datetime.now(UTC):
            raise VoidToken("The API token has expired")
        self.identity.used(token_id)
        session = f"token-{token_id}"
        return Principal(
            known.user_id, session, known.roles, token_id, known.provider, known.expires
        )

    def _now(self, principal: Principal) -> Principal:
        """Return the principal with the roles of now. Raises Forbidden if it may not act."""
        user_id, claimed = principal.user_id, principal.roles
        if self.identity.is_disabled(user_id):
            raise Forbidden("This account is disabled")
        roles = self.identity.roles(user_id, claimed) if claimed else claimed
        return principal if roles == claimed else replace(principal, roles=roles)

    def _verify(self, token: str) -> _Verified:
        try:
            kid = key_id_of(token)
            if (key := self.identity.key(kid)) is None:
                raise jwt.InvalidTokenError("The token's key is not known")
            claims = verify(token, kid, key)
        except jwt.InvalidTokenError as error:
            raise VoidToken(str(error)) from error
        principal = Principal(
            claims.user_id,
            claims.session_id,
            frozenset(claims.roles),
            provider=claims.provider,
            expires=claims.expires,
        )
        return _Verified(claims, principal, key)

    def _remember(self, name: bytes, verified: _Verified) -> None:
        if name not in self._verified and len(self._verified) >= REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[name] = verified
