"""Names of removed users: when somebody else may have one.

In: OwnerJobsDeleted (jobs). Out: AccountEnabled, UserRemoved.

A user's id is that of the name. Whoever registers under the name of a removed user has the same id,
and would own what is left of that user; so the name is taken until nothing is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kerma_auth.app.ports import AccountVault
from kerma_auth.domain.account import ACCOUNT, EnableAccount
from kerma_auth.domain.user import SYSTEM, USER, FreeName
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import account_subject, user_subject

ACTOR = "svc:auth"


class OwnedJobs(Protocol):
    """What the jobs service says about jobs of removed users."""

    async def deleted(self, user_id: str, removal: str) -> bool:
        """Return whether all jobs of a removed user are deleted."""


@dataclass(frozen=True, slots=True)
class Names:
    """Frees names when somebody asks for one: until then it does not matter."""

    bus: CommandBus
    vault: AccountVault
    jobs: OwnedJobs
    clock: Callable[[], datetime]

    async def release(self, user_id: str) -> bool:
        """Free the name of a removed user; return whether it is free now."""
        # Asked before the user: it is that of the former user if nobody has the name even after it.
        stored = await self.vault.credentials_of(user_id)
        account, at = await self.bus.state(ACCOUNT, account_subject(user_id))
        user, _ = await self.bus.state(USER, user_subject(user_id))
        if user.leaving and not await self.jobs.deleted(user_id, user.leaving):
            return False
        if not user.leaving and not user.removed:
            return not user.registered
        # The last commit frees the name: an interrupted release is repeated. Two who ask at once have one
        # cause, or the later one could enable somebody new who was disabled in between.
        now = self.clock()
        if account.disabled:
            context = CommandContext(ACTOR, (user_id, str(at), "enable"), user_id, now)
            enable = EnableAccount(user_id, frozenset(), SYSTEM)
            await self.bus.execute(ACCOUNT, account_subject(user_id), enable, context)
        if user.leaving:
            for credential_id in stored:  # stored by what was on its way during the removal
                await self.vault.drop_credential(credential_id)
            context = CommandContext(ACTOR, (user_id, user.leaving, "free"), user_id, now)
            free = FreeName(user_id, user.leaving)
            await self.bus.execute(USER, user_subject(user_id), free, context)
        return True
