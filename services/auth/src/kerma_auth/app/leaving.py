"""Names of removed users: when somebody else may have one.

In: OwnerJobsDeleted (jobs). Out: AccountEnabled, UserRemoved.

A user's id is that of the name. Whoever registers under the name of a removed user has the same id,
and would own what is left of that user; so the name is taken until nothing is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

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
    jobs: OwnedJobs
    clock: Callable[[], datetime]

    async def release(self, user_id: str) -> bool:
        """Free the name of a removed user; return whether it is free now."""
        user, _ = await self.bus.state(USER, user_subject(user_id))
        if user.leaving and not await self.jobs.deleted(user_id, user.leaving):
            return False
        if not user.leaving and not user.removed:
            return not user.registered
        cause = (user_id, secrets.token_hex(8))
        context = CommandContext(ACTOR, cause, user_id, self.clock())
        # The last of these commits frees the name: an interrupted release is repeated.
        enable = EnableAccount(user_id, frozenset(), SYSTEM)
        await self.bus.execute(ACCOUNT, account_subject(user_id), enable, context.step("enable"))
        if user.leaving:
            free = FreeName(user_id, user.leaving)
            await self.bus.execute(USER, user_subject(user_id), free, context.step("free"))
        return True
