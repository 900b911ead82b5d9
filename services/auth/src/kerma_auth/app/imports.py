"""Takes over users of another system, with the hashes of their passwords.

Out: UserRegistered with CredentialSet.

Their ids derive from their names as they are written there, so they log in as before, and names that
are equal here remain different users.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from kerma_auth.app.accounts import check_credentials
from kerma_auth.app.ports import AccountVault
from kerma_auth.domain.names import name_key
from kerma_auth.domain.user import USER, ImportUser, User
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import user_subject
from kerma_common.errors import Forbidden, InvalidRequest

NO_PASSWORD = ""  # what no password hashes to
TAKEN = "a user of this Kerma has this name, or an equal one"
REMOVED = "this user was removed here"
CANNOT_LOG_IN = "nobody can log in with this name here"


@dataclass(frozen=True, slots=True)
class Taken:
    """A user who is here: the id, whether new, and ids of other users with equal names."""

    user_id: str
    new: bool
    equals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountImports:
    """Stores users; those who are there already stay as they are."""

    bus: CommandBus
    vault: AccountVault
    clock: Callable[[], datetime]

    async def find(self, source: str, name: str, origin: str) -> Taken:
        """Return whether a user can be taken over, or was.

        Raises Forbidden for a name that another user has, and for one that nobody can log in with.
        """
        try:
            check_credentials(name, "-")
        except InvalidRequest:
            raise Forbidden(CANNOT_LOG_IN) from None
        user_id = self.vault.user_id(source, name)
        user = await self._user(user_id)
        if user.removed or user.leaving:
            raise Forbidden(REMOVED)
        if user.registered:
            if user.origin != origin:
                raise Forbidden(TAKEN)
            return Taken(user_id, new=False)
        equals = []
        for other in await self.vault.named(name_key(name)):
            found = await self._user(other)
            if not found.registered or found.source != source:
                continue
            if found.origin != origin:
                raise Forbidden(TAKEN)
            equals.append(other)
        return Taken(user_id, new=True, equals=tuple(equals))

    async def take(
        self, source: str, name: str, secret_hash: str | None, origin: str, actor: str
    ) -> Taken:
        """Store a user; see ``find``. Without a hash, an operator has to reset the password."""
        found = await self.find(source, name, origin)
        if not found.new:
            return found
        # the same at every try, so that an interrupted one leaves nothing else behind
        credential_id = hashlib.sha256(f"{origin}\x1f{found.user_id}".encode()).hexdigest()[:32]
        if await self.vault.credential(credential_id) is None:
            secret = secret_hash or NO_PASSWORD
            await self.vault.add_credential(credential_id, found.user_id, name, secret)
        command = ImportUser(found.user_id, source, credential_id, origin)
        context = CommandContext(actor, ("import", origin), f"import-{origin}", self.clock())
        await self.bus.execute(USER, user_subject(found.user_id), command, context, fresh=True)
        return found

    async def _user(self, user_id: str) -> User:
        user, _ = await self.bus.state(USER, user_subject(user_id))
        return user
