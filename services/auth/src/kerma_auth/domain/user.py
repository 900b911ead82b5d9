"""The user aggregate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from kerma_common.contracts.events import auth as events
from kerma_common.domain import Aggregate, Missing, Rejected


@dataclass(frozen=True, slots=True)
class RegisterUser:
    """Create a user with a first credential, whose secret is in the vault already."""

    user_id: str
    source: str
    credential_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class RevokeSessions:
    """End every current session of the user."""

    user_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class User:
    """State of one user. Sessions opened before ``revoked_at`` have ended."""

    registered: bool = False
    revoked_at: datetime | None = None


UserCommand = RegisterUser | RevokeSessions
UserEvent = (
    events.UserRegistered | events.CredentialSet | events.RoleGranted | events.SessionsRevoked
)


def decide(user: User, command: UserCommand) -> tuple[object, ...]:
    """Return the events of a command. Raises Rejected."""
    match command:
        case RegisterUser():
            if user.registered:
                raise Rejected("USER_EXISTS", "User with this name already exists")
            return (
                events.UserRegistered(user_id=command.user_id, source=command.source),
                events.CredentialSet(
                    user_id=command.user_id,
                    credential_id=command.credential_id,
                    kind=command.kind,
                ),
            )
        case RevokeSessions():
            if not user.registered:
                raise Missing("UNKNOWN_USER", "User does not exist")
            if user.revoked_at is not None and user.revoked_at >= command.now:
                return ()
            return (events.SessionsRevoked(user_id=command.user_id, not_before=command.now),)
        case _:
            assert_never(command)


def evolve(user: User, event: UserEvent) -> User:
    """Return the state after an event."""
    match event:
        case events.UserRegistered():
            return replace(user, registered=True)
        case events.SessionsRevoked():
            return replace(user, revoked_at=event.not_before)
        case events.CredentialSet() | events.RoleGranted():
            return user
        case _:
            assert_never(event)


USER: Aggregate[User] = Aggregate("auth", "user", User(), decide, evolve)
