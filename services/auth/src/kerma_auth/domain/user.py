"""The user aggregate: credentials, roles, and who may change them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from kerma_common.contracts.events import auth as events
from kerma_common.domain import Aggregate, Missing, Rejected
from kerma_common.security.principal import NATIVE
from kerma_common.security.roles import ADMIN, OPERATOR, PRIVILEGED, USER_ROLE

NOT_ALLOWED = "NOT_ALLOWED"
OWN_ACCOUNT = "OWN_ACCOUNT"
LAST_ADMIN = "LAST_ADMIN"
NO_OTHER_ADMIN = "Nobody else is an admin; make somebody one first"
NO_PASSWORD = "NO_PASSWORD"  # noqa: S105 - a code
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class By:
    """Who changes an account: a user with roles, or the operator of the machine (no ``user_id``)."""

    user_id: str
    roles: frozenset[str]


SYSTEM = By("", frozenset({ADMIN}))
"""Whoever runs commands with the settings of the services."""


@dataclass(frozen=True, slots=True)
class RegisterUser:
    """Create a user with a first credential, whose secret is in the vault already."""

    user_id: str
    source: str
    credential_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class ImportUser:
    """Create a user of the system ``origin``, whose secret is in the vault already."""

    user_id: str
    source: str
    credential_id: str
    origin: str


@dataclass(frozen=True, slots=True)
class ChangeCredential:
    """Replace the credential that the user has just proved to have."""

    user_id: str
    credential_id: str
    kind: str
    replaces: str
    now: datetime


@dataclass(frozen=True, slots=True)
class ResetCredential:
    """Replace the credential of a user who has lost it."""

    user_id: str
    credential_id: str
    kind: str
    by: By
    now: datetime


@dataclass(frozen=True, slots=True)
class GrantRole:
    """Give a role to a user."""

    user_id: str
    role: str
    by: By


@dataclass(frozen=True, slots=True)
class RevokeRole:
    """Take a role from a user."""

    user_id: str
    role: str
    by: By


@dataclass(frozen=True, slots=True)
class RevokeSessions:
    """End every current session of the user."""

    user_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class StartRemoval:
    """Remove a user who may own jobs; ``last_admin``: whether nobody else is one."""

    user_id: str
    removal: str
    by: By
    now: datetime
    last_admin: bool = False


@dataclass(frozen=True, slots=True)
class FreeName:
    """Let somebody else have the name of a user who was removed by ``removal`` and owns nothing."""

    user_id: str
    removal: str


@dataclass(frozen=True, slots=True)
class User:
    """State of one user. Tokens issued before ``revoked_at`` are void.

    ``origin`` is the system that the user came from, "" for this one. Somebody else may register
    under the name of a ``removed`` user, and nobody while the user is ``leaving``, by the removal
    of that name: the id is that of the name, and owns jobs that are still being deleted.
    """

    registered: bool = False
    source: str = NATIVE
    origin: str = ""
    credential_id: str | None = None
    roles: frozenset[str] = frozenset()
    revoked_at: datetime | None = None
    removed: bool = False
    leaving: str = ""


UserCommand = (
    RegisterUser
    | ImportUser
    | ChangeCredential
    | ResetCredential
    | GrantRole
    | RevokeRole
    | RevokeSessions
    | StartRemoval
    | FreeName
)
UserEvent = (
    events.UserRegistered
    | events.CredentialSet
    | events.RoleGranted
    | events.RoleRevoked
    | events.SessionsRevoked
    | events.UserRemoved
    | events.UserRemovalStarted
)


def check_may_administer(by: By, roles: frozenset[str]) -> None:
    """Raise Rejected unless ``by`` may act on the account of a user with ``roles``.

    An operator who could act on an operator or admin could become one.
    """
    if ADMIN in by.roles or (OPERATOR in by.roles and not PRIVILEGED & roles):
        return
    raise Rejected(NOT_ALLOWED, "Only an admin may change this account")


def check_has_password(user: User) -> None:
    """Raise Rejected for a user whose password another provider keeps."""
    if user.source != NATIVE:
        raise Rejected(NO_PASSWORD, f"The password of this account is kept by {user.source}")


def decide(user: User, command: UserCommand) -> tuple[object, ...]:
    """Return the events of a command. Raises Rejected."""
    if isinstance(command, RegisterUser | ImportUser):
        return _register(user, command)
    if isinstance(command, StartRemoval):
        return _remove(user, command)
    if isinstance(command, FreeName):
        freed = events.UserRemoved(user_id=command.user_id)
        return (freed,) if user.leaving == command.removal != "" else ()
    _must_exist(user)
    match command:
        case ChangeCredential():
            check_has_password(user)
            if user.credential_id != command.replaces:
                raise Rejected("CREDENTIAL_CHANGED", "The password was changed meanwhile")
            return _new_credential(command)
        case ResetCredential():
            check_may_administer(command.by, user.roles)
            check_has_password(user)
            return _new_credential(command)
        case GrantRole() | RevokeRole():
            return _roles(user, command)
        case RevokeSessions():
            if user.revoked_at is not None and user.revoked_at >= command.now:
                return ()
            return (events.SessionsRevoked(user_id=command.user_id, not_before=command.now),)
        case _:
            assert_never(command)


def _register(user: User, command: RegisterUser | ImportUser) -> tuple[object, ...]:
    origin = command.origin if isinstance(command, ImportUser) else ""
    if isinstance(command, RegisterUser):
        kind = command.kind
    else:
        kind = "password" if command.source == NATIVE else command.source
        if user.removed or user.leaving:
            raise Rejected("USER_REMOVED", "This user was removed here")
    if user.registered or user.leaving:
        if origin and origin == user.origin:
            return ()
        raise Rejected("USER_EXISTS", "User with this name already exists")
    return (
        events.UserRegistered(user_id=command.user_id, source=command.source, origin=origin),
        events.CredentialSet(
            user_id=command.user_id, credential_id=command.credential_id, kind=kind
        ),
    )


def _must_exist(user: User) -> None:
    if not user.registered:
        raise Missing("UNKNOWN_USER", "User does not exist")


def check_may_remove(user: User, command: StartRemoval) -> None:
    """Raise Rejected unless a user may be removed so."""
    _must_exist(user)
    check_may_administer(command.by, user.roles)
    if command.by.user_id == command.user_id:
        raise Rejected(OWN_ACCOUNT, "Nobody may remove the own account")
    if command.last_admin and ADMIN in user.roles:
        raise Rejected(LAST_ADMIN, NO_OTHER_ADMIN)


def _remove(user: User, command: StartRemoval) -> tuple[object, ...]:
    user_id = command.user_id
    if user.leaving or user.removed:
        return ()
    check_may_remove(user, command)
    return (
        *(events.RoleRevoked(user_id=user_id, role=role) for role in sorted(user.roles)),
        events.SessionsRevoked(user_id=user_id, not_before=command.now),
        events.UserRemovalStarted(user_id=user_id, removal=command.removal),
    )


def _new_credential(command: ChangeCredential | ResetCredential) -> tuple[object, ...]:
    user_id = command.user_id
    return (
        events.CredentialSet(
            user_id=user_id, credential_id=command.credential_id, kind=command.kind
        ),
        events.SessionsRevoked(user_id=user_id, not_before=command.now),
    )


def _roles(user: User, command: GrantRole | RevokeRole) -> tuple[object, ...]:
    if ADMIN not in command.by.roles:
        raise Rejected(NOT_ALLOWED, "Only an admin may change roles")
    if not _ROLE.fullmatch(command.role) or command.role == USER_ROLE:
        raise Rejected("NO_SUCH_ROLE", "A role is a word of a-z, 0-9, - and _, and not 'user'")
    held = command.role in user.roles
    if isinstance(command, GrantRole):
        granted = events.RoleGranted(user_id=command.user_id, role=command.role)
        return () if held else (granted,)
    if command.role == ADMIN and command.by.user_id == command.user_id:
        raise Rejected(OWN_ACCOUNT, "Another admin must take this role from you")
    revoked = events.RoleRevoked(user_id=command.user_id, role=command.role)
    return (revoked,) if held else ()


def evolve(user: User, event: UserEvent) -> User:
    """Return the state after an event."""
    match event:
        case events.UserRegistered():
            return User(
                registered=True,
                source=event.source,
                origin=event.origin,
                revoked_at=user.revoked_at,
            )
        case events.UserRemoved():
            return User(revoked_at=user.revoked_at, removed=True)
        case events.UserRemovalStarted():
            return User(revoked_at=user.revoked_at, leaving=event.removal)
        case events.CredentialSet():
            return replace(user, credential_id=event.credential_id)
        case events.SessionsRevoked():
            return replace(user, revoked_at=event.not_before)
        case events.RoleGranted():
            return replace(user, roles=user.roles | {event.role})
        case events.RoleRevoked():
            return replace(user, roles=user.roles - {event.role})
        case _:
            assert_never(event)


USER: Aggregate[User] = Aggregate("auth", "user", User(), decide, evolve)
