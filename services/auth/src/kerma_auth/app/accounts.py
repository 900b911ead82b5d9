"""Accounts of people who log in with a name and a password.

Out: UserRegistered with CredentialSet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kerma_auth.app.leaving import Names
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
    KeyReused,
    OutcomeUnknown,
)
from kerma_common.http.idempotency import KEPT, REUSED, RequestKey
from kerma_common.security.principal import NATIVE

TAKEN = "User with this name already exists"
USER_EXISTS = "USER_EXISTS"
CLOSED = "Registration is closed; ask an operator for an account"
MAX_PASSWORD = 1024
"""Longest password that a login checks; those of earlier releases may be longer than new ones."""


class NameTaken(DomainRejected):
    """Another user has the name, or an equal one."""

    def __init__(self) -> None:
        super().__init__(USER_EXISTS, TAKEN)


@dataclass(frozen=True, slots=True)
class Made:
    """A user that was created; ``password`` is None if the caller gave it."""

    user_id: str
    password: str | None
    seq: int


class UserSecrets(Protocol):
    """Ids of first credentials, and passwords that nobody gave."""

    def credential_id(self, actor: str, key: RequestKey | None) -> str:
        """Return an id: an equal one for equal requests with a key, else a random one.

        Requests of an actor with one key have ids that begin alike (``same_key``).
        """

    def password(self, credential_id: str, key: RequestKey | None) -> str:
        """Return a password: an equal one for equal requests with a key, else a random one."""


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
    secrets: UserSecrets
    names: Names
    open_to_all: bool = True

    async def register(self, username: object, password: object, address: str) -> int:
        """Create a user who asks for an account, and return the sequence of the commit.

        Raises what ``create`` raises; Forbidden when registration is closed; TooManyRequests.
        Nothing is stored then.
        """
        if not self.open_to_all:
            raise Forbidden(CLOSED)
        name, secret = self._acceptable(username, password)
        caller = Caller(address, name)
        await self.throttle.registers(caller)
        credential_id = self.secrets.credential_id("anonymous", None)
        return (await self._create(caller, secret, credential_id, "anonymous"))[1]

    async def create(
        self,
        username: object,
        password: object,
        address: str,
        actor: str,
        key: RequestKey | None = None,
    ) -> Made:
        """Create a user, with a random password if ``password`` is None.

        A repetition with the same ``key`` gets the user, and the random password, again for a day, as
        long as nobody changes that. Raises InvalidRequest naming the field that breaks a rule,
        NameTaken, and KeyReused. Nothing is stored then.
        """
        credential_id = self.secrets.credential_id(actor, key)
        made_up = self.secrets.password(credential_id, key) if password is None else None
        name, secret = self._acceptable(username, password if made_up is None else made_up)
        found = await self._earlier(credential_id) if key is not None else None
        if found is None:
            caller = Caller(address, name)
            found = await self._create(
                caller, secret, credential_id, actor, repeatable=key is not None
            )
        return Made(found[0], made_up, found[1])

    async def _earlier(self, credential_id: str) -> tuple[str, int] | None:
        """Return the user of an earlier request with the same key, None if there is none.

        Raises KeyReused if the key stands for another request, or is too old.
        """
        stored = await self.vault.owner_of_key(credential_id)
        if stored is None:
            return None
        if stored.credential_id != credential_id:
            raise KeyReused(REUSED)
        user, seq = await self.bus.state(USER, user_subject(stored.user_id))
        if user.credential_id != credential_id:
            return None  # the first try has not come so far
        account = (await self.users.accounts_of([stored.user_id])).get(stored.user_id)
        if account is not None and self.clock() - account.registered_at > KEPT:
            raise KeyReused(REUSED)
        return stored.user_id, seq

    async def _create(
        self,
        caller: Caller,
        secret: str,
        credential_id: str,
        actor: str,
        *,
        repeatable: bool = False,
    ) -> tuple[str, int]:
        """Return the id of a new user, and the sequence of the commit.

        ``repeatable``: other tries of the same request may come, even now; they share the credential.
        """
        name = caller.username
        user_id = self.vault.user_id(NATIVE, name_key(name))
        user, seq = await self.bus.state(USER, user_subject(user_id))
        if user.registered and user.credential_id == credential_id:
            return user_id, seq
        taken = user.registered
        if user.leaving or user.removed:
            taken = not await self.names.release(user_id)
        await self._require_free(name, user_id, taken=taken)
        async with self.passwords.turn(caller) as hashing:
            secret_hash = await hashing.hash(secret)
        if not await self.vault.add_credential(
            credential_id, user_id, name, secret_hash, claims_key=repeatable
        ):
            raise KeyReused(REUSED)
        command = RegisterUser(user_id, NATIVE, credential_id, "password")
        context = CommandContext(actor, (credential_id,), credential_id, self.clock())
        try:
            done = await self.bus.execute(USER, user_subject(user_id), command, context)
        except OutcomeUnknown:
            raise  # the event may name the credential
        except DomainRejected as rejected:  # someone else was faster, or another try
            user, seq = await self.bus.state(USER, user_subject(user_id))
            if user.credential_id == credential_id:
                return user_id, seq
            await self.vault.drop_credential(credential_id)
            raise NameTaken from rejected
        except KermaError:
            if not repeatable:  # another try may have stored the event that names it
                await self.vault.drop_credential(credential_id)
            raise
        if done.state.credential_id != credential_id:  # of an earlier try, whose user is removed
            await self.vault.drop_credential(credential_id)
            raise KeyReused(REUSED)
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

    async def _require_free(self, name: str, user_id: str, *, taken: bool) -> None:
        """Raise NameTaken if the id is taken, or another user has an equal name.

        The ids of earlier releases are those of names as they were written.
        """
        if taken:
            raise NameTaken
        others = [other for other in await self.vault.named(name_key(name)) if other != user_id]
        accounts = await self.users.accounts_of(others)
        if any(account.source == NATIVE for account in accounts.values()):
            raise NameTaken


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
