"""The API token aggregate: a token of a user for scripts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from kerma_common.contracts.events import auth as events
from kerma_common.domain import Aggregate, Missing, Rejected


@dataclass(frozen=True, slots=True)
class CreateApiToken:
    """Create a token; ``secret_sha256`` is the hash of its secret."""

    token_id: str
    user_id: str
    secret_sha256: str
    roles: tuple[str, ...]
    expires: datetime
    source: str


@dataclass(frozen=True, slots=True)
class RevokeApiToken:
    """Make a token of the user void."""

    token_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class ApiToken:
    """State of one token."""

    user_id: str | None = None
    revoked: bool = False
    secret_sha256: str = ""
    expires: datetime | None = None


ApiTokenCommand = CreateApiToken | RevokeApiToken
ApiTokenEvent = events.ApiTokenCreated | events.ApiTokenRevoked


def decide(token: ApiToken, command: ApiTokenCommand) -> tuple[object, ...]:
    """Return the events of a command. Raises Rejected."""
    match command:
        case CreateApiToken():
            if token.user_id is not None:
                raise Rejected("TOKEN_EXISTS", "This token exists already")
            return (
                events.ApiTokenCreated(
                    token_id=command.token_id,
                    user_id=command.user_id,
                    secret_sha256=command.secret_sha256,
                    roles=command.roles,
                    expires=command.expires,
                    source=command.source,
                ),
            )
        case RevokeApiToken():
            if token.user_id != command.user_id:  # also if there is no such token
                raise Missing("UNKNOWN_TOKEN", "You have no such token")
            revoked = events.ApiTokenRevoked(token_id=command.token_id, user_id=command.user_id)
            return () if token.revoked else (revoked,)
        case _:
            assert_never(command)


def evolve(token: ApiToken, event: ApiTokenEvent) -> ApiToken:
    """Return the state after an event."""
    match event:
        case events.ApiTokenCreated():
            secret, expires = event.secret_sha256, event.expires
            return ApiToken(event.user_id, secret_sha256=secret, expires=expires)
        case events.ApiTokenRevoked():
            return replace(token, revoked=True)
        case _:
            assert_never(event)


API_TOKEN: Aggregate[ApiToken] = Aggregate("auth", "api_token", ApiToken(), decide, evolve)
