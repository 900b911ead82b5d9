"""Events of the auth service. Names and e-mail addresses never enter an event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from kerma_common.contracts.registry import event


@event("auth", "user", public=True)
class UserRegistered:
    """A user exists and may hold credentials; came from the system ``origin`` if that is given."""

    user_id: str
    source: str
    origin: str = ""


@event("auth", "user", public=True)
class UserRemoved:
    """A user does not exist any more; what was issued to the user is void."""

    user_id: str


@event("auth", "user", public=True)
class UserRemovalStarted:
    """Nobody acts as a user any more, and what the user owns is to be deleted.

    ``removal`` tells it from other removals of users with this id.
    """

    user_id: str
    removal: str


@event("auth", "user")
class CredentialSet:
    """A user has a new credential of this kind; its secret lives in the vault."""

    user_id: str
    credential_id: str
    kind: str


@event("auth", "user", public=True)
class RoleGranted:
    """A user holds a role."""

    user_id: str
    role: str


@event("auth", "user", public=True)
class RoleRevoked:
    """A user no longer holds a role, whatever tokens from before say."""

    user_id: str
    role: str


@event("auth", "account", public=True)
class AccountDisabled:
    """A user may not act: every token and login of the user is refused."""

    user_id: str


@event("auth", "account", public=True)
class AccountEnabled:
    """A user whose account was disabled may act again."""

    user_id: str


@event("auth", "user", public=True)
class SessionsRevoked:
    """Tokens of a user that were issued before ``not_before`` are void."""

    user_id: str
    not_before: datetime


@event("auth", "session", public=True)
class SessionEnded:
    """Tokens of one session are void; the last of them would have expired at ``expires``."""

    user_id: str
    session_id: str
    expires: datetime


@event("auth", "api_token", public=True)
class ApiTokenCreated:
    """A user may act by a token whose secret, 32 random bytes, has this SHA-256, until ``expires``."""

    user_id: str
    token_id: str
    secret_sha256: str
    roles: tuple[str, ...]
    expires: datetime
    source: str = "native"


@event("auth", "api_token", public=True)
class ApiTokenRevoked:
    """A token is void."""

    user_id: str
    token_id: str


@event("auth", "keyring", public=True)
class SigningKeyIntroduced:
    """Tokens signed by this key are valid from ``not_before`` on."""

    kid: str
    algorithm: str
    public_jwk: Mapping[str, str]
    not_before: datetime


@event("auth", "keyring", public=True)
class SigningKeyRetired:
    """Tokens signed by this key are void after ``not_after``."""

    kid: str
    not_after: datetime
