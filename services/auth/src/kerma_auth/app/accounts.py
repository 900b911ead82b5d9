"""Accounts of people who log in with a name and a password.

Out: UserRegistered with CredentialSet.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from kerma_auth.app.ports import AccountVault, Caller, Passwords, Throttle, Users
from kerma_auth.domain.names import MAX_NAME, BadName, name_key, new_name
from kerma_auth.domain.passwords import PasswordRules, normal_password
from kerma_auth.domain.user import USER, RegisterUser
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import user_subject
from kerma_common.errors import (
    WRONG_DATA,
    DomainRejected,
    Forbidden,
    InvalidRequest,
    KermaError,
    OutcomeUnknown,
)
from kerma_common.security.principal import NATIVE

TAKEN = "User with this name already exists"
CLOSED = "Registration is closed; ask an operator for an account"
MAX_PASSWORD = 1024
"""Longest password that a login checks; those of earlier releases may be longer than new ones."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Registers users. ``open_to_all``: anyone may create an account."""

    bus: CommandBus
    vault: AccountVault
    users: Users
    clock: Callable[[], datetime]
    passwords: Passwords
    throttle: Throttle
    rules: PasswordRules
    open_to_all: bool = True

    async def register(self, username: object, password: object, address: str) -> int:
        """Create a user who asks for an account, and return the sequence of the commit.

        Raises what ``create`` raises; Forbidden when registration is closed; TooManyRequests.
        Nothing is stored then.
        """
        if not self.open_to_all:
            raise Forbidden(CLOSED)
        name, secret = self._acceptable(username, password)
        await self.throttle.registers(Caller(address, name))
        return (await self._create(name, secret, address, "anonymous"))[1]

    async def create(
        self, username: object, password: object, address: str, actor: str
    ) -> tuple[str, int]:
        """Create a user; return the user's id and the sequence of the commit.

        Raises InvalidRequest naming the field that breaks a rule, Forbidden when the name is taken.
        Nothing is stored then.
        """
        name, secret = self._acceptable(username, password)
        return await self._create(name, secret, address, actor)

    async def _create(self, name: str, secret: str, address: str, actor: str) -> tuple[str, int]:
        user_id = self.vault.user_id(NATIVE, name_key(name))
        await self._require_free(name, user_id)
        credential_id = secrets.token_hex(16)
        async with self.passwords.turn(Caller(address, name)) as hashing:
            secret_hash = await hashing.hash(secret)
        await self.vault.add_credential(credential_id, user_id, name, secret_hash)
        command = RegisterUser(user_id, NATIVE, credential_id, "password")
        context = CommandContext(actor, (credential_id,), credential_id, self.clock())
        try:
            done = await self.bus.execute(USER, user_subject(user_id), command, context)
        except OutcomeUnknown:
            raise  # the event may name the credential
        except DomainRejected as rejected:  # someone else was faster
            await self.vault.drop_credential(credential_id)
            raise Forbidden(TAKEN) from rejected
        except KermaError:
            await self.vault.drop_credential(credential_id)
            raise
        return user_id, done.seq

    async def username(self, user_id: str) -> str | None:
        """Return the name of a user."""
        return await self.vault.username(user_id)

    def _acceptable(self, username: object, password: object) -> tuple[str, str]:
        """Return the normal forms of a new user's name and password. Raises InvalidRequest."""
        check_credentials(username, password)
        assert isinstance(username, str)
        assert isinstance(password, str)
        faults: dict[str, tuple[str, ...]] = {}
        try:
            username = new_name(username)
        except BadName as bad:
            faults["username"] = (str(bad),)
        if of_password := self.rules.faults(password, username):
            faults["password"] = of_password
        if faults:
            raise wrong_data(faults)
        return username, normal_password(password)

    async def _require_free(self, name: str, user_id: str) -> None:
        """Raise Forbidden if a user has an equal name.

        The ids of earlier releases are those of names as they were written.
        """
        user, _ = await self.bus.state(USER, user_subject(user_id))
        if user.registered:
            raise Forbidden(TAKEN)
        others = [other for other in await self.vault.named(name_key(name)) if other != user_id]
        accounts = await self.users.accounts_of(others)
        if any(account.source == NATIVE for account in accounts.values()):
            raise Forbidden(TAKEN)


def check_credentials(username: object, password: object) -> None:
    """Raise InvalidRequest naming what cannot be a name or a password of any user."""
    faults: dict[str, tuple[str, ...]] = {}
    if not isinstance(username, str) or not 0 < len(username) <= MAX_NAME:
        faults["username"] = (f"Must be a string of 1 to {MAX_NAME} characters.",)
    elif not username.isprintable():
        faults["username"] = ("Must not contain control characters.",)
    if not isinstance(password, str) or not 0 < len(password) <= MAX_PASSWORD:
        faults["password"] = (f"Must be a string of 1 to {MAX_PASSWORD} characters.",)
    if faults:
        raise wrong_data(faults)


def wrong_data(faults: dict[str, tuple[str, ...]]) -> InvalidRequest:
    """Return the refusal of fields."""
    return InvalidRequest(WRONG_DATA, faults)
