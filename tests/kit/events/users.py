"""A small aggregate for tests of the command bus: users that may hold roles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from kerma_common.commands.context import CommandContext
from kerma_common.contracts.events.auth import RoleGranted, UserRegistered
from kerma_common.domain import Aggregate, Rejected

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class State:
    exists: bool = False
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Register:
    user_id: str


@dataclass(frozen=True, slots=True)
class Grant:
    role: str
    limit: int = 100


def decide(state: State, command: object) -> tuple[object, ...]:
    """Decide: users exist once; roles are held once, and only up to a limit."""
    match command:
        case Register(user_id):
            return () if state.exists else (UserRegistered(user_id=user_id, source="native"),)
        case Grant(role, limit):
            if not state.exists:
                raise Rejected("UNKNOWN_USER", "there is no such user")
            if role in state.roles:
                return ()
            if len(state.roles) >= limit:
                raise Rejected("TOO_MANY", "the user has roles enough")
            return (RoleGranted(user_id="u1", role=role),)
    raise AssertionError(command)


def evolve(state: State, event: object) -> State:
    """Apply an event."""
    match event:
        case UserRegistered():
            return replace(state, exists=True)
        case RoleGranted(role=role):
            return replace(state, roles=state.roles | {role})
    return state


USERS = Aggregate("auth", "user", State(), decide, evolve)


def context(*cause: str, **changes: object) -> CommandContext:
    """Return a context whose commit id derives from ``cause``."""
    made = CommandContext(actor="user:u1", cause=cause, correlation="story", now=NOW)
    return replace(made, **changes)  # type: ignore[arg-type]
