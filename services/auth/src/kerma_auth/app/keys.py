"""The keys that sign tokens: introduced and retired in the log, their private halves in the vault.

Out: SigningKeyIntroduced, SigningKeyRetired.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kerma_auth.domain.keyring import KEYRING, EnsureKey, Keyring, RotateKey
from kerma_common.clock import until_next
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import keyring_subject
from kerma_common.errors import ContractViolation, DomainRejected, KermaError, OutcomeUnknown
from kerma_common.projection.retries.persistence import Persistence
from kerma_common.security.tokens import ACCESS_LIFE, ALGORITHM, CLOCK_SKEW, SigningKey

LEAD = timedelta(seconds=30)
"""Time from a key's introduction to its first token: a process that has not read AUTH for ten
seconds accepts no tokens, so every process that does knows the key by then."""
CHECK_SECONDS = 600.0
"""Seconds between two looks at the age of the key."""
logger = logging.getLogger(__name__)


class KeyVault(Protocol):
    """The store of private keys."""

    async def add_key(self, key: SigningKey) -> None:
        """Store a private key."""

    async def key(self, kid: str) -> SigningKey | None:
        """Return a private key by its id."""

    async def drop_keys(self, kids: Collection[str]) -> None:
        """Delete private keys."""


@dataclass(slots=True)
class Keys:
    """Finds the key that signs, creates the first one, and replaces one older than ``life``."""

    bus: CommandBus
    vault: KeyVault
    clock: Callable[[], datetime]
    life: timedelta | None = None
    retries: Persistence = field(init=False)
    _key: SigningKey | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.retries = Persistence("auth", "signing-key")

    async def run(self) -> None:
        """Load the key before the first login needs it, then replace keys when it is time."""
        await self.retries.persist(self.signing_key)
        while True:
            await self.retries.persist(self.tend)
            await asyncio.sleep(until_next(CHECK_SECONDS))

    async def signing_key(self) -> SigningKey:
        """Return the key that signs now. Raises ContractViolation when the vault has lost it.

        The keyring is read each time: another replica may have retired the key just now.
        """
        keyring = await self.keyring()
        if keyring.newest is None:
            keyring = await self._introduce()
        current = keyring.signing(self.clock())
        assert current is not None
        if self._key is None or self._key.kid != current.kid:
            self._key = await self.vault.key(current.kid)
        if self._key is None:
            raise ContractViolation("The vault has lost the private half of the signing key")
        return self._key

    async def keyring(self) -> Keyring:
        """Return all keys."""
        keyring, _ = await self.bus.state(KEYRING, keyring_subject())
        return keyring

    async def tend(self) -> None:
        """Replace the key if it is too old, and delete private keys that no longer sign."""
        now, keyring = self.clock(), await self.keyring()
        newest = keyring.newest
        if newest and self.life and newest.not_before + self.life <= now:
            try:
                await self.rotate("svc:auth")
            except DomainRejected:
                return  # another replica was faster
            logger.info("the signing key is replaced", extra={"kid": newest.kid})
        elif newest and newest.not_before <= now - LEAD:
            stale = [key.kid for key in keyring.keys if key.kid != newest.kid]
            await self.vault.drop_keys(stale)

    async def rotate(self, actor: str, *, at_once: bool = False) -> int:
        """Introduce a key in place of the newest one; return the sequence of the commit.

        Tokens of former keys are accepted until they expire, or no longer if ``at_once``.
        Raises DomainRejected if someone else rotated the key at the same time.
        """
        newest = (await self.keyring()).newest
        if newest is None:
            raise ContractViolation("There is no signing key yet")
        key, now = await self._stored(), self.clock()
        signs_from = now if at_once else now + LEAD
        until = now if at_once else signs_from + ACCESS_LIFE + CLOCK_SKEW
        command = RotateKey(key.kid, ALGORITHM, key.public_jwk, newest.kid, signs_from, until)
        context = CommandContext(actor, ("signing-key", key.kid), key.kid, now)
        try:
            done = await self.bus.execute(KEYRING, keyring_subject(), command, context)
        except OutcomeUnknown:
            raise  # the event may name the key
        except KermaError:
            await self.vault.drop_keys((key.kid,))
            raise
        return done.seq

    async def _introduce(self) -> Keyring:
        """Introduce a key. If several replicas start at once, one succeeds and all use its key."""
        candidate, now = await self._stored(), self.clock()
        command = EnsureKey(candidate.kid, ALGORITHM, candidate.public_jwk, now)
        context = CommandContext("svc:auth", ("signing-key", candidate.kid), candidate.kid, now)
        done = await self.bus.execute(KEYRING, keyring_subject(), command, context)
        return done.state

    async def _stored(self) -> SigningKey:
        key = SigningKey(secrets.token_hex(8), Ed25519PrivateKey.generate())
        await self.vault.add_key(key)
        return key
