"""The caller, and the port that identifies it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

NATIVE = "native"
"""Provider of users who have a password here."""
KEYCLOAK = "keycloak"
"""Provider of users whom the configured OpenID Connect server vouches for."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller, according to a verified token."""

    user_id: str
    session_id: str
    roles: frozenset[str] = field(default_factory=frozenset)
    token_id: str | None = None
    """The API token by which a script acts; None for a person's session."""
    provider: str = NATIVE
    """Who vouches for the user: NATIVE or KEYCLOAK."""
    expires: datetime | None = None
    """When the token expires, if it does."""


class Verifier(Protocol):
    """Function from a token to a principal; raises `Forbidden` if the token is not valid."""

    async def __call__(self, token: str) -> Principal:
        """Verify a token."""
