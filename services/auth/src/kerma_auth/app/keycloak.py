"""Logins of people whom the OpenID Connect provider vouches for, and their SSH certificates.

Out: UserRegistered with CredentialSet.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from kerma_auth.app.leaving import Names
from kerma_auth.app.ports import AccountVault, Throttle
from kerma_auth.app.sessions import DISABLED, LoggedIn, SessionHandlers
from kerma_auth.domain.account import ACCOUNT
from kerma_auth.domain.session import Grant
from kerma_auth.domain.user import USER, RegisterUser, User
from kerma_auth.domain.vouching import NotAccepted, Vouched
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import account_subject, user_subject
from kerma_common.errors import DomainRejected, Forbidden, KermaError, OutcomeUnknown
from kerma_common.security.principal import KEYCLOAK

NOT_AVAILABLE = "Service is not available"
OTHER_USER = "The token is not that of this user"
logger = logging.getLogger(__name__)


class NotAvailable(Exception):  # noqa: N818 - says what happened
    """The provider's keys cannot be known now."""


class NoCertificate(Exception):  # noqa: N818 - says what happened
    """The certificate service gave none; the text says why, without secrets."""


@dataclass(frozen=True, slots=True)
class SshCredential:
    """An SSH certificate and its private key, as texts in OpenSSH's and PEM formats."""

    certificate: str = field(repr=False)
    private_key: str = field(repr=False)
    obtained: datetime
    expires: datetime

    def lasts(self, now: datetime) -> bool:
        """Return whether more than half of its time is left."""
        return self.expires - now > (self.expires - self.obtained) / 2


class SshCredentials(Protocol):
    """SSH certificates of users, by which clusters let Kerma act for them."""

    async def of(self, user_id: str, now: datetime) -> SshCredential | None:
        """Return the certificate of a user, None if there is none that is valid."""

    async def keep(self, user_id: str, credential: SshCredential) -> None:
        """Store a certificate in place of the former one."""

    async def forget(self, user_id: str) -> None:
        """Delete the certificate of a user."""


class CertificateService(Protocol):
    """Issues SSH certificates to users of the provider."""

    async def __call__(self, token: str, now: datetime) -> SshCredential:
        """Return a certificate for the user of a token. Raises NoCertificate."""


@dataclass(frozen=True, slots=True)
class KeycloakLogin:
    """Lets users of the provider in. Without ``verified``, no provider is configured.

    ``certificates`` may be None: there are no clusters, or none that need certificates.
    """

    bus: CommandBus
    vault: AccountVault
    sessions: SessionHandlers
    throttle: Throttle
    ssh: SshCredentials
    clock: Callable[[], datetime]
    settled: Callable[[int], Awaitable[bool]]
    names: Names
    verified: Callable[[str], Awaitable[Vouched]] | None = None
    certificates: CertificateService | None = None

    async def enter(
        self, token: str, username: str, address: str, refresh_token: str | None
    ) -> LoggedIn:
        """Exchange a provider's access token for a session of its user.

        The session that ``refresh_token`` names goes on if it is the user's. Raises Forbidden,
        Unauthenticated if that session was ended after the token was issued, TooManyRequests.
        """
        if self.verified is None:
            raise Forbidden(NOT_AVAILABLE)
        try:
            vouched = await self.verified(token)
            if vouched.username != username:
                raise NotAccepted(OTHER_USER)
        except NotAvailable:
            raise Forbidden(NOT_AVAILABLE) from None
        except NotAccepted as refused:
            await self.throttle.failed_at(address)
            raise Forbidden(str(refused)) from refused
        return await self._enter(vouched, token, refresh_token)

    async def _enter(self, vouched: Vouched, token: str, refresh_token: str | None) -> LoggedIn:
        user_id = self.vault.user_id(KEYCLOAK, vouched.username)
        await self.throttle.exchanges(user_id)
        await self._require_enabled(user_id)
        user = await self._user(user_id, vouched.username)
        grant = await self.sessions.resumed(refresh_token, user_id, vouched.issued_at)
        if grant is None:
            grant = await self.sessions.opened(user_id, vouched.username)
        await self._certify(user_id, token)
        await self._require_still_enabled(user_id, grant)
        return await self.sessions.tokens_of(grant, user)

    async def _require_enabled(self, user_id: str) -> None:
        # From the log: the read model may lag. A release that was interrupted has enabled the account of
        # a user who is still leaving.
        account, _ = await self.bus.state(ACCOUNT, account_subject(user_id))
        user, _ = await self.bus.state(USER, user_subject(user_id))
        if (account.disabled or user.leaving) and not await self.names.release(user_id):
            raise Forbidden(DISABLED)

    async def _require_still_enabled(self, user_id: str, grant: Grant) -> None:
        """Undo what was stored after the account was disabled: it must not come back with it."""
        try:
            await self._require_enabled(user_id)
        except Forbidden:
            await self.sessions.sessions.end(grant.session_id, self.clock())
            await self.ssh.forget(user_id)
            raise

    async def _user(self, user_id: str, username: str) -> User:
        """Return the user, who is registered at the first login."""
        user, _ = await self.bus.state(USER, user_subject(user_id))
        return user if user.registered else await self._register(user_id, username)

    async def _register(self, user_id: str, username: str) -> User:
        credential_id = secrets.token_hex(16)
        await self.vault.add_credential(credential_id, user_id, username, "")
        command = RegisterUser(user_id, KEYCLOAK, credential_id, KEYCLOAK)
        actor, cause = f"user:{user_id}", (credential_id,)
        context = CommandContext(actor, cause, credential_id, self.clock())
        try:
            done = await self.bus.execute(USER, user_subject(user_id), command, context)
        except OutcomeUnknown:
            raise  # the event may name the credential
        except DomainRejected:  # another tab was faster
            await self.vault.drop_credential(credential_id)
            user, _ = await self.bus.state(USER, user_subject(user_id))
            if not user.registered:
                raise Forbidden(DISABLED) from None
            return user
        except KermaError:
            await self.vault.drop_credential(credential_id)
            raise
        await self.settled(done.seq)
        return done.state

    async def _certify(self, user_id: str, token: str) -> None:
        """Keep a certificate for the user; without a new one, the former is kept until it expires.

        One that lasts is not asked for again: pages exchange their token every few minutes.
        """
        now = self.clock()
        if self.certificates is None:
            return
        kept = await self.ssh.of(user_id, now)
        if kept is not None and kept.lasts(now):
            return
        try:
            await self.ssh.keep(user_id, await self.certificates(token, now))
        except NoCertificate as error:
            logger.warning("no SSH certificate: %s", error, extra={"user": user_id})
