"""The account by which commands of this machine use a running ``kerma up``.

It is called ``local``, or has another name where somebody else was faster. Commands send its API token:
each login would open one session more, and a session is shorter than many a job.

Out: UserRegistered, ApiTokenCreated, through the handlers of auth.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
from nats.errors import Error as NatsError
from sqlalchemy.exc import SQLAlchemyError

from kerma_allinone.children.process import write_private
from kerma_allinone.running import (
    LocalAccount,
    account_file,
    password_file,
    read_account,
)
from kerma_auth.app.accounts import NameTaken
from kerma_auth.main import Handlers, handlers_of
from kerma_common.errors import KermaError, NotFound, Unauthenticated, VoidToken
from kerma_common.infra import Infra

NAME = "local"
LABEL = "commands of this machine"
LIFE = timedelta(days=366)
ENOUGH = LIFE / 2
"""A token that is valid for less is replaced. The former one stays valid: commands may be using it."""
CHECK_SECONDS = 60.0
LONGEST_SECONDS = 3600.0
"""After faults the pause grows up to this: a wrong password counts as a failed login."""
PASSWORD_BYTES = 48
"""64 characters: no setting of auth makes this too short or too long."""
_ACTOR = "svc:auth"
_FAULTS = (KermaError, SQLAlchemyError, psycopg.Error, NatsError, OSError)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class LocalAccess:
    """Makes the account of ``data`` and keeps a valid token of it there; ``infra`` is that of auth."""

    data: Path
    infra: Infra
    _told: str = field(default="", init=False)

    async def prepare(self) -> None:
        """Make sure of the account and its token. What is wrong is logged, and stops no start."""
        await self._try(may_register=True)

    async def run(self) -> None:
        """Replace the token whenever it is refused, or about to expire, until cancelled."""
        pause = CHECK_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = CHECK_SECONDS if await self.check() else min(2 * pause, LONGEST_SECONDS)

    async def check(self) -> bool:
        """Replace the token if it is refused or about to expire; return whether commands have access.

        An account that an operator removed stays away until the next start.
        """
        return await self._try(may_register=False)

    async def _try(self, *, may_register: bool) -> bool:
        try:
            await self._ensure(may_register=may_register)
        except _FAULTS as fault:
            # the end of this task would be that of the process; texts of other faults may hold values
            told = str(fault) if isinstance(fault, KermaError) else type(fault).__name__
            if told != self._told:
                _log.warning("commands of this machine may be refused: %s", told)
            self._told = told
        else:
            self._told = ""
        return not self._told

    async def _ensure(self, *, may_register: bool) -> None:
        account = read_account(self.data) or LocalAccount(NAME)
        try:
            principal = await self.infra.verifier(account.token)
        except VoidToken:
            auth = handlers_of(self.infra)
            user_id = await self._owned(auth, account.username)
            if user_id is None:
                if not may_register:
                    raise NotFound(
                        f"{account.username} is gone or has another password; "
                        "the next start makes another account"
                    ) from None
                account, user_id = await self._register(auth, account.username)
        else:
            assert principal.expires is not None
            if principal.expires - self.infra.clock() >= ENOUGH:
                return
            auth, user_id = handlers_of(self.infra), principal.user_id
        await self._renew(auth, account.username, user_id)

    async def _owned(self, auth: Handlers, name: str) -> str | None:
        """Return the id of the user with this name if it is ours. Raises Forbidden if it is disabled.

        The password tells: somebody else may have registered the name of a removed user.
        """
        try:
            password = password_file(self.data).read_text().strip()
            account, _ = await auth.sessions.login.check(name, password, "")
        except (FileNotFoundError, Unauthenticated):
            return None
        return account.user_id

    async def _register(self, auth: Handlers, name: str) -> tuple[LocalAccount, str]:
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        write_private(password_file(self.data), password)
        try:
            made = await auth.accounts.create(name, password, "", _ACTOR)
        except NameTaken:
            _log.warning(
                "the name %s is somebody else's; commands of this machine use another", name
            )
            name = f"{NAME}-{secrets.token_hex(4)}"
            made = await auth.accounts.create(name, password, "", _ACTOR)
        account = LocalAccount(name)
        self._write(account)
        # the next login reads the account from there
        await self.infra.positions.wait("users", "AUTH", made.seq)
        return account, made.user_id

    async def _renew(self, auth: Handlers, name: str, user_id: str) -> None:
        token, _, _, seq = await auth.tokens.create(user_id, LABEL, LIFE, str(uuid4()))
        await self.infra.identity.wait(seq)
        self._write(LocalAccount(name, token))

    def _write(self, account: LocalAccount) -> None:
        write_private(account_file(self.data), json.dumps(asdict(account)))
