"""Changes of accounts: passwords, roles, and disabling.

Out: CredentialSet, SessionsRevoked, SessionEnded, RoleGranted, RoleRevoked, AccountDisabled,
AccountEnabled; ApiTokenRevoked through ``ApiTokens``.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from kerma_auth.app.accounts import wrong_data
from kerma_auth.app.keycloak import SshCredentials
from kerma_auth.app.ports import AccountVault, Caller, Passwords, Sessions
from kerma_auth.app.sessions import PasswordLogin, SessionHandlers
from kerma_auth.app.tokens import ApiTokens
from kerma_auth.domain.account import ACCOUNT, Account, DisableAccount, EnableAccount
from kerma_auth.domain.passwords import PasswordRules, normal_password
from kerma_auth.domain.user import (
    LAST_ADMIN,
    NO_OTHER_ADMIN,
    NOT_ALLOWED,
    USER,
    By,
    ChangeCredential,
    GrantRole,
    ResetCredential,
    RevokeRole,
    RevokeSessions,
    User,
    UserCommand,
    check_has_password,
)
from kerma_common.commands.bus import CommandBus, Executed
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import account_subject, user_subject
from kerma_common.domain import Rejected
from kerma_common.errors import (
    DomainRejected,
    Forbidden,
    InvalidRequest,
    KermaError,
    NotFound,
    OutcomeUnknown,
    Unauthenticated,
    Unavailable,
)
from kerma_common.security.roles import ADMIN

KIND = "password"
RECENT = timedelta(minutes=1)
"""Sessions used so shortly before a revocation, by any replica's clock, are also ended one by one: a
token of theirs could have been issued while the revocation was being stored."""
GENERATED_BYTES = 15
"""Random bytes of a password that an operator hands out: 20 characters."""


class UsersByRole(Protocol):
    """Who has a role."""

    async def others_with(self, role: str, but: str) -> bool:
        """Return whether a user beside one has a role, and may act."""


@dataclass(frozen=True, slots=True)
class Administration:
    """Changes accounts that exist."""

    bus: CommandBus
    vault: AccountVault
    passwords: Passwords
    sessions: Sessions
    login: PasswordLogin
    handlers: SessionHandlers
    rules: PasswordRules
    clock: Callable[[], datetime]
    tokens: ApiTokens
    settled: Callable[[int], Awaitable[bool]]
    ssh: SshCredentials
    users: UsersByRole

    async def change_password(
        self, session_id: str, old: object, new: object, address: str, request_id: str
    ) -> int:
        """Replace the password of a session's user, end all other sessions; return the sequence.

        Raises InvalidRequest for a wrong old password and for a new one that breaks a rule,
        TooManyRequests after too many wrong ones.
        """
        grant = await self.sessions.grant(session_id)
        if grant is None or grant.ended is not None:
            raise Forbidden("The session has ended")
        self._require_password(await self._user(grant.user_id))
        try:
            account, name = await self.login.check(grant.username, old, address)
        except (Unauthenticated, InvalidRequest) as wrong:
            raise wrong_data({"old_password": ("Is not the password of this account.",)}) from wrong
        assert account.credential_id is not None
        secret_hash = await self._hash(new, name, Caller(address, name), "new_password")
        user_id, credential_id, now = grant.user_id, secrets.token_hex(16), self.clock()
        command = ChangeCredential(user_id, credential_id, KIND, account.credential_id, now)
        context = CommandContext(f"user:{user_id}", (credential_id,), request_id, now)
        # Nobody repeats a change whose answer was lost: the old password is wrong by then. So what must
        # not outlive it ends first, and what was opened meanwhile after it.
        earlier = await self.sessions.end_all(user_id, now, session_id)
        seq = await self._store(command, context, name, secret_hash)
        await self._end_sessions(user_id, now, context, session_id, earlier)
        await self._forget(account.credential_id, seq)
        return seq

    async def reset_password(
        self, user_id: str, new: object, by: By, address: str, request_id: str
    ) -> tuple[str, int]:
        """Give a user a new password, a random one if ``new`` is None; end all sessions.

        Return the password and the sequence. Raises NotFound, Forbidden, InvalidRequest.
        """
        name = await self.vault.username(user_id)
        if name is None:
            raise NotFound("User does not exist")
        user = await self._user(user_id)
        self._require_password(user)
        password = self.random_password() if new is None else new
        secret_hash = await self._hash(password, name, Caller(address, name), "password")
        credential_id, now = secrets.token_hex(16), self.clock()
        command = ResetCredential(user_id, credential_id, KIND, by, now)
        context = _context(by, request_id, KIND, now)
        seq = await self._store(command, context, name, secret_hash)
        await self._end_sessions(user_id, now, context)
        if user.credential_id is not None:
            await self._forget(user.credential_id, seq)
        return str(password), seq

    @staticmethod
    def random_password() -> str:
        """Return a password for a user to be told."""
        return secrets.token_urlsafe(GENERATED_BYTES)

    async def grant(self, user_id: str, role: str, by: By, request_id: str) -> int:
        """Give a role to a user; it counts from the user's next refresh or login on."""
        return await self._change(GrantRole(user_id, role, by), by, request_id)

    async def revoke(self, user_id: str, role: str, by: By, request_id: str) -> int:
        """Take a role from a user, also in tokens that are in use; revoke API tokens with it."""
        seq = await self._change(RevokeRole(user_id, role, by), by, request_id)
        await self.settled(seq)
        await self.tokens.revoke_with(user_id, role, request_id, _actor(by))
        return seq

    async def disable(
        self, user_id: str, by: By, request_id: str, *, even_last: bool = False
    ) -> int:
        """Refuse every token and login of a user, end all sessions, delete the SSH certificate.

        Raises NotFound, Forbidden; and, unless ``even_last``, DomainRejected if no admin would be left.
        """
        user = await self._user(user_id)
        now = self.clock()
        command = DisableAccount(user_id, user.roles, by)
        switched = await self._switch(command, by, request_id, now)
        if ADMIN in user.roles and not even_last:
            await self._keep_an_admin(user_id, by, request_id, switched)
        # Otherwise they would go on if the account is enabled soon.
        sessions = _context(by, request_id, "sessions", now)
        revoked = RevokeSessions(user_id, now)
        done = await self.bus.execute(USER, user_subject(user_id), revoked, sessions)
        await self._end_sessions(user_id, now, sessions)
        await self.ssh.forget(user_id)
        return max(switched.seq, done.seq)

    async def end_sessions(self, user_id: str, by: By, request_id: str) -> int:
        """End all sessions of a user; return how many there were. Raises NotFound."""
        await self._user(user_id)
        now = self.clock()
        context = _context(by, request_id, "sessions", now)
        await self.bus.execute(USER, user_subject(user_id), RevokeSessions(user_id, now), context)
        return await self._end_sessions(user_id, now, context)

    async def enable(self, user_id: str, by: By, request_id: str) -> int:
        """Let a user log in again."""
        user = await self._user(user_id)
        command = EnableAccount(user_id, user.roles, by)
        return (await self._switch(command, by, request_id, self.clock())).seq

    async def _keep_an_admin(
        self, user_id: str, by: By, request_id: str, switched: Executed[Account]
    ) -> None:
        """Let a user act again who was the last admin. Raises DomainRejected, Unavailable.

        It is asked afterwards: two who disable or remove each other at once see each other's effect.
        """
        settled = await self.settled(switched.seq)
        if settled and await self.users.others_with(ADMIN, user_id):
            return
        if switched.events:
            await self.enable(user_id, by, request_id)
        if not settled:
            raise Unavailable("The read model of users is behind; try again")
        raise DomainRejected(LAST_ADMIN, NO_OTHER_ADMIN)

    async def _user(self, user_id: str) -> User:
        user, _ = await self.bus.state(USER, user_subject(user_id))
        if not user.registered:
            raise NotFound("User does not exist")
        return user

    @staticmethod
    def _require_password(user: User) -> None:
        """Raise DomainRejected before anything is hashed for a user without a password here."""
        try:
            check_has_password(user)
        except Rejected as rejected:
            raise DomainRejected(rejected.code, rejected.message) from rejected

    async def _switch(
        self, command: DisableAccount | EnableAccount, by: By, request_id: str, now: datetime
    ) -> Executed[Account]:
        context = _context(by, request_id, type(command).__name__, now)
        subject = account_subject(command.user_id)
        try:
            return await self.bus.execute(ACCOUNT, subject, command, context)
        except DomainRejected as rejected:
            raise refusal(rejected) from rejected

    async def _change(self, command: GrantRole | RevokeRole, by: By, request_id: str) -> int:
        context = _context(by, request_id, command.role, self.clock())
        return await self._execute(command, context)

    async def _execute(self, command: UserCommand, context: CommandContext) -> int:
        subject = user_subject(command.user_id)
        try:
            return (await self.bus.execute(USER, subject, command, context)).seq
        except DomainRejected as rejected:
            raise refusal(rejected) from rejected

    async def _hash(self, password: object, name: str, caller: Caller, field: str) -> str:
        if not isinstance(password, str):
            raise wrong_data({field: ("Must be a string.",)})
        if faults := self.rules.faults(password, name):
            raise wrong_data({field: faults})
        async with self.passwords.turn(caller) as hashing:
            return await hashing.hash(normal_password(password))

    async def _store(
        self,
        command: ChangeCredential | ResetCredential,
        context: CommandContext,
        name: str,
        secret_hash: str,
    ) -> int:
        """Store a credential and make it the current one; a refused one leaves nothing."""
        new = command.credential_id
        await self.vault.add_credential(new, command.user_id, name, secret_hash)
        try:
            return await self._execute(command, context)
        except OutcomeUnknown:
            raise  # the event may name the credential
        except KermaError:
            await self.vault.drop_credential(new)
            raise

    async def _end_sessions(
        self,
        user_id: str,
        now: datetime,
        context: CommandContext,
        but: str | None = None,
        earlier: Sequence[tuple[str, datetime]] = (),
    ) -> int:
        """End a user's sessions, except one; ``earlier`` have ended in this service already."""
        ended = [*earlier, *await self.sessions.end_all(user_id, now, but)]
        for session_id, used in ended:
            if used >= now - RECENT:
                await self.handlers.end(session_id, user_id, context.correlation, context.actor)
        return len(ended)

    async def _forget(self, credential_id: str, seq: int) -> None:
        """Delete a former credential once logins look at the new one."""
        if await self.settled(seq):
            await self.vault.drop_credential(credential_id)


def _context(by: By, request_id: str, what: str, now: datetime) -> CommandContext:
    # Clients choose the ids of their requests, and may give several requests one: a cause that is
    # stored already would make the second one do nothing.
    cause = (request_id, what, secrets.token_hex(8))
    return CommandContext(_actor(by), cause, request_id, now)


def _actor(by: By) -> str:
    return f"user:{by.user_id}" if by.user_id else "admin"


def refusal(rejected: DomainRejected) -> KermaError:
    """Return what a rejected command means to who sent it."""
    return Forbidden(rejected.message) if rejected.code == NOT_ALLOWED else rejected
