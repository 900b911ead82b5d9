"""Removal of users, their sessions and their tokens by operators.

Out: UserRemoved with RoleRevoked and SessionsRevoked, AccountDisabled, AccountEnabled; ApiTokenRevoked
and SessionEnded through others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from kerma_auth.app.administration import Administration
from kerma_auth.app.ports import AccountVault
from kerma_auth.app.tokens import ApiTokens
from kerma_auth.domain.account import ACCOUNT, EnableAccount
from kerma_auth.domain.user import USER, By, RemoveUser
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import account_subject, user_subject
from kerma_common.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Removals:
    """Removes users; what was interrupted is repeated."""

    bus: CommandBus
    vault: AccountVault
    administration: Administration
    tokens: ApiTokens
    clock: Callable[[], datetime]

    async def remove(
        self, user_id: str, by: By, actor: str, request_id: str, jobs: Callable[[], Awaitable[None]]
    ) -> int:
        """Remove a user and everything that auth has of the user; return the sequence.

        ``jobs`` removes the user's jobs while the account is disabled, so that no further one comes.
        Raises NotFound, Unavailable.
        """
        seq = await self.administration.disable(user_id, by, f"{request_id}-disable")
        await jobs()
        if not await self.administration.settled(seq):  # a new token may not be listed yet
            raise Unavailable("The read model of users is behind; try again")
        for token, _ in await self.tokens.listed(user_id):
            await self.tokens.revoke(user_id, token.token_id, request_id, actor)
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
