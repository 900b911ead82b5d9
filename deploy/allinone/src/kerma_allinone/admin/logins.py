"""Operators' actions on sessions and API tokens of users."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from kerma_allinone.admin.system import ACTOR
from kerma_allinone.admin.users import handlers, user_id_of
from kerma_auth.domain.user import SYSTEM
from kerma_common.clock import system_clock


@dataclass(frozen=True, slots=True)
class Sessions:
    """How often a user is logged in."""

    user_id: str
    username: str
    sessions: int
    last_used: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """A valid API token."""

    token_id: str
    label: str
    roles: list[str]
    created: datetime
    expires: datetime
    last_used: datetime | None


async def sessions() -> list[Sessions]:
    """Return the users who are logged in, in the order of their names."""
    async with handlers() as auth:
        found = await auth.administration.sessions.active(system_clock())
    return sorted((Sessions(*row) for row in found), key=lambda one: (one.username, one.user_id))


async def end(name: str) -> int:
    """End all sessions of a user; return how many there were."""
    async with handlers() as auth:
        user_id = await user_id_of(auth, name)
        return await auth.administration.end_sessions(user_id, SYSTEM, str(uuid4()))


async def tokens(name: str) -> list[Token]:
    """Return the valid tokens of a user, oldest first."""
    async with handlers() as auth:
        found = await auth.tokens.listed(await user_id_of(auth, name))
    return [
        Token(
            token.token_id,
            label.label,
            list(token.roles),
            token.created,
            token.expires,
            label.last_used,
        )
        for token, label in found
    ]


async def revoke(name: str, token_id: str) -> None:
    """Make a token of a user void. Raises NotFound."""
    async with handlers() as auth:
        user_id = await user_id_of(auth, name)
        await auth.tokens.revoke(user_id, token_id, str(uuid4()), ACTOR)
