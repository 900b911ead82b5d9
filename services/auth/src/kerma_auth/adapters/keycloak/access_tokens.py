"""Access tokens of the OpenID Connect provider, checked in the order in which they can be trusted."""

from __future__ import annotations

import re
from dataclasses import dataclass

import jwt

from kerma_auth.adapters.keycloak.provider_keys import ALGORITHMS, ProviderKeys
from kerma_auth.adapters.keycloak.web import NoAnswer
from kerma_auth.app.keycloak import NotAvailable
from kerma_auth.domain.vouching import ClaimRules, NotAccepted, Vouched
from kerma_common.security.tokens import CLOCK_SKEW

MOST_TOKEN = 16 * 1024
MOST_KEY_ID = 256
REQUIRED = ("exp", "iat", "iss", "sub", "preferred_username")
# The header is parsed before its signature is checked: JSON of a long one could be nested deeply.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,1024}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeycloakTokens:
    """Function from a token to the user whom it vouches for."""

    keys: ProviderKeys
    issuer: str
    rules: ClaimRules

    async def __call__(self, token: str) -> Vouched:
        """Return the user. Raises NotAccepted, or NotAvailable while the keys cannot be known."""
        try:
            kid, header_type = _header(token)
            key = await self.keys.key(kid)
            if key is None:
                raise NotAccepted("Invalid token: the provider has no such key")
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self.issuer,
                leeway=CLOCK_SKEW,
                # One of several names may be in ``aud`` or in ``azp``; the rules look at both.
                options={"require": list(REQUIRED), "verify_aud": False},
            )
        except NoAnswer as error:
            raise NotAvailable from error
        except jwt.ExpiredSignatureError:
            raise NotAccepted("Signature has expired") from None
        except (jwt.InvalidTokenError, RecursionError) as error:
            raise NotAccepted(f"Invalid token: {error}") from None
        return self.rules.vouched(claims, header_type)


def _header(token: str) -> tuple[str, object]:
    """Return key id and type of a token whose algorithm is accepted, all unverified.

    Raises jwt.InvalidTokenError.
    """
    if len(token) > MOST_TOKEN or not _TOKEN.fullmatch(token):
        raise jwt.DecodeError("it is malformed")
    header: dict[str, object] = jwt.get_unverified_header(token)
    kid = header.get("kid")
    if header.get("alg") not in ALGORITHMS:
        raise jwt.InvalidAlgorithmError("its algorithm is not accepted")
    if not isinstance(kid, str) or not 0 < len(kid) <= MOST_KEY_ID:
        raise jwt.DecodeError("it names no key")
    return kid, header.get("typ")
