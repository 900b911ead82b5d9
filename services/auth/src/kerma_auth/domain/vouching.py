"""What a provider's access token must say before its user is let in.

The signature is valid already, and so are issuer, times and the presence of the standard claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kerma_auth.domain.names import MAX_NAME

FOREIGN = "Invalid token: it was issued for another application"
NOT_ACCESS = "Invalid token: it is not an access token"
NO_NAME = "Invalid token: its preferred_username cannot be the name of a user"


class NotAccepted(Exception):  # noqa: N818 - says what happened
    """The token does not let its user in; the text says why."""


@dataclass(frozen=True, slots=True)
class Vouched:
    """A user whom the provider vouches for, since a token of ``issued_at``."""

    username: str
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Rules of a deployment.

    ``clients``: one of them is in ``aud``, or is ``azp``. ``access_claim``: a claim, or a path of
    claims separated by dots, which contains ``access_value``.
    """

    clients: frozenset[str]
    access_claim: str
    access_value: str

    def vouched(self, claims: Mapping[str, Any], header_type: object) -> Vouched:
        """Return the user whom the claims of a valid token name. Raises NotAccepted.

        Whether the user may use the service is checked last.
        """
        # Tokens of identity have a valid signature and the same claims. Keycloak writes the kind
        # of a token into its claims, others follow RFC 9068.
        if claims.get("typ") != "Bearer" and str(header_type).lower() != "at+jwt":
            raise NotAccepted(NOT_ACCESS)
        audience = claims.get("aud")
        named = {audience} if isinstance(audience, str) else set(_texts(audience))
        if self.clients.isdisjoint(named | set(_texts([claims.get("azp")]))):
            raise NotAccepted(FOREIGN)
        name = claims.get("preferred_username")
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise NotAccepted(NO_NAME)
        if name != name.strip():
            raise NotAccepted(NO_NAME)
        if not self._has_access(claims):
            raise NotAccepted(f"User {name} has no access to our service")
        return Vouched(name, _moment(claims["iat"]))

    def _has_access(self, claims: Mapping[str, Any]) -> bool:
        found: object = claims.get(self.access_claim)
        if found is None:
            found = claims
            for part in self.access_claim.split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
        if isinstance(found, str):
            return found == self.access_value
        return self.access_value in _texts(found)


def _moment(seconds: Any) -> datetime:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        raise NotAccepted("Invalid token: its iat is no time") from None


def _texts(value: object) -> list[str]:
    """Return the texts in a list, none for what is no list."""
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
