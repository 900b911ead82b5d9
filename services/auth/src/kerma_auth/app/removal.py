"""Removal of users, their sessions and their tokens by operators.

Out: UserRemovalStarted, with RoleRevoked and SessionsRevoked; AccountDisabled, AccountEnabled,
ApiTokenRevoked and SessionEnded through others.

The jobs service follows, and the name is free once it says that no jobs are left (``leaving``).
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from kerma_auth.app.administration import Administration, UsersByRole, refusal
from kerma_auth.app.ports import AccountVault
from kerma_auth.app.tokens import ApiTokens
from kerma_auth.domain.user import USER, By, StartRemoval, User, check_may_remove
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import user_subject
from kerma_common.domain import Rejected
from kerma_common.errors import DomainRejected, NotFound, Unavailable
from kerma_common.security.roles import ADMIN


@dataclass(frozen=True, slots=True)
class Removals:
    """Removes users; what was interrupted is repeated."""

    bus: CommandBus
    vault: AccountVault
    administration: Administration
    users: UsersByRole
    tokens: ApiTokens
    clock: Callable[[], datetime]

    async def start(
        self,
        user_id: str,
        by: By,
        actor: str,
        request_id: str,
        jobs: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """Remove a user and everything that auth has of the user; return the sequence.

        ``jobs`` removes the user's jobs while the account is disabled; the jobs service deletes those
        that are left, or come late. A repetition completes what was interrupted. Raises NotFound,
        Forbidden, DomainRejected, Unavailable.
        """
        user, seq = await self.bus.state(USER, user_subject(user_id))
        if user.leaving or user.removed:
            return seq
        now = self.clock()
        removal = secrets.token_hex(8)
        others = await self.users.others_with(ADMIN, user_id)
        command = StartRemoval(user_id, removal, by, now, last_admin=not others)
        _require_allowed(user, command)
        with suppress(NotFound):  # another request was faster
            await self._shut_out(user_id, by, actor, request_id)
        if jobs is not None:
            await jobs()
        # Before the commit that hides the user, who can be named until then, and be removed again.
        await self._forget(user_id)
        context = CommandContext(actor, (request_id, removal), request_id, now)
        seq = (await self.bus.execute(USER, user_subject(user_id), command, context)).seq
        await self._forget(user_id)  # what was on its way, such as a password reset
        return seq

    async def _shut_out(self, user_id: str, by: By, actor: str, request_id: str) -> None:
        """Disable a user who is to be removed, and make all API tokens void."""
        seq = await self.administration.disable(user_id, by, f"{request_id}-disable")
        if not await self.administration.settled(seq):  # a new token may not be listed yet
            raise Unavailable("The read model of users is behind; try again")
        for token, _ in await self.tokens.listed(user_id):
            await self.tokens.revoke(user_id, token.token_id, request_id, actor)

    async def _forget(self, user_id: str) -> None:
        await self.vault.forget(user_id)
        await self.administration.sessions.forget(user_id)


def _require_allowed(user: User, command: StartRemoval) -> None:
    """Raise NotFound, Forbidden or DomainRejected before anything is done."""
    if not user.registered:
        raise NotFound("User does not exist")
    try:
        check_may_remove(user, command)
    except Rejected as no:
        raise refusal(DomainRejected(no.code, no.message)) from no
