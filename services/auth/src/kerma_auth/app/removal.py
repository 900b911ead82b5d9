"""Removal of users, their sessions and their tokens by operators.

Out: UserRemovalStarted or UserRemoved, with RoleRevoked and SessionsRevoked; AccountDisabled,
AccountEnabled; ApiTokenRevoked and SessionEnded through others.

A command of the machine speaks to the jobs service itself, removes the jobs, and frees the name at once
(``remove``). Over HTTP, the jobs service follows (``start``), and the name is free once it says that no
jobs are left (``leaving``).
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kerma_auth.app.administration import Administration, refusal
from kerma_auth.app.ports import AccountVault
from kerma_auth.app.tokens import ApiTokens
from kerma_auth.domain.account import ACCOUNT, EnableAccount
from kerma_auth.domain.user import (
    LAST_ADMIN,
    NO_OTHER_ADMIN,
    USER,
    By,
    RemoveUser,
    StartRemoval,
    check_may_remove,
)
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import account_subject, user_subject
from kerma_common.domain import Rejected
from kerma_common.errors import DomainRejected, NotFound, Unavailable
from kerma_common.security.roles import ADMIN


class UsersByRole(Protocol):
    """Who has a role."""

    async def others_with(self, role: str, but: str) -> bool:
        """Return whether a user beside one has a role, and may act."""


@dataclass(frozen=True, slots=True)
class Removals:
    """Removes users; what was interrupted is repeated."""

    bus: CommandBus
    vault: AccountVault
    administration: Administration
    users: UsersByRole
    tokens: ApiTokens
    clock: Callable[[], datetime]

    async def start(self, user_id: str, by: By, actor: str, request_id: str) -> int:
        """Remove a user and everything that auth has of the user; return the sequence.

        The jobs service deletes the jobs. What was interrupted is completed by a repetition. Raises
        NotFound, Forbidden, DomainRejected, Unavailable.
        """
        user, seq = await self.bus.state(USER, user_subject(user_id))
        now = self.clock()
        if not user.leaving and not user.removed:
            others = await self.users.others_with(ADMIN, user_id)
            removal = secrets.token_hex(8)
            command = StartRemoval(user_id, removal, by, now, last_admin=not others)
            if not user.registered:
                raise NotFound("User does not exist")
            try:
                check_may_remove(user, command)
            except Rejected as no:
                raise refusal(DomainRejected(no.code, no.message)) from no
            with suppress(NotFound):  # another request was faster
                await self._shut_out(user_id, by, actor, request_id)
            context = CommandContext(actor, (request_id, removal), request_id, now)
            seq = (await self.bus.execute(USER, user_subject(user_id), command, context)).seq
        await self.vault.forget(user_id)
        await self.administration.sessions.forget(user_id)
        return seq

    async def _shut_out(self, user_id: str, by: By, actor: str, request_id: str) -> None:
        """Disable a user who is to be removed, and make all API tokens void."""
        seq = await self.administration.disable(user_id, by, f"{request_id}-disable")
        if not await self.administration.settled(seq):  # a new token may not be listed yet
            raise Unavailable("The read model of users is behind; try again")
        for token, _ in await self.tokens.listed(user_id):
            await self.tokens.revoke(user_id, token.token_id, request_id, actor)

    async def remove(
        self, user_id: str, by: By, actor: str, request_id: str, jobs: Callable[[], Awaitable[None]]
    ) -> int:
        """Remove a user and everything that auth has of the user; return the sequence.

        ``jobs`` removes the user's jobs while the account is disabled, so that no further one comes.
        Raises NotFound, DomainRejected for the last admin, Unavailable.
        """
        user, _ = await self.bus.state(USER, user_subject(user_id))
        if ADMIN in user.roles and not await self.users.others_with(ADMIN, user_id):
            raise DomainRejected(LAST_ADMIN, NO_OTHER_ADMIN)
        await self._shut_out(user_id, by, actor, request_id)
        await jobs()
        # As long as the user is there, an interrupted removal can be repeated, by the id.
        await self.vault.forget(user_id)
        await self.administration.sessions.forget(user_id)
        now = self.clock()
        context = CommandContext(actor, (request_id, "remove"), request_id, now)
        done = await self.bus.execute(
            USER, user_subject(user_id), RemoveUser(user_id, by, now), context
        )
        # whoever registers under this name later is somebody else
        enable = EnableAccount(user_id, frozenset(), by)
        await self.bus.execute(ACCOUNT, account_subject(user_id), enable, context.step("enable"))
        return done.seq
