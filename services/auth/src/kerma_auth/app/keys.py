"""The key that signs tokens: created once, stored in the vault, published in the log.

Out: SigningKeyIntroduced.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kerma_auth.domain.keyring import KEYRING, EnsureKey
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import keyring_subject
from kerma_common.errors import ContractViolation
from kerma_common.security.tokens import ALGORITHM, SigningKey


class KeyVault(Protocol):
    """The store of private keys."""

    async def add_key(self, key: SigningKey) -> None:
        """Store a private key."""

    async def key(self, kid: str) -> SigningKey | None:
        """Return a private key by its id."""


@dataclass(slots=True)
class Keys:
    """Finds the signing key, or creates the first one."""

    bus: CommandBus
    vault: KeyVault
    clock: Callable[[], datetime]
    _key: SigningKey | None = None

    @property
    def ready(self) -> bool:
        """Return whether tokens can be signed."""
        return self._key is not None

    async def run(self) -> None:
        """Load the key before the first login needs it."""
        await self.signing_key()
        await asyncio.get_running_loop().create_future()

    async def signing_key(self) -> SigningKey:
        """Return the signing key. Raises ContractViolation when the vault has lost it."""
        if self._key is None:
            keyring, _ = await self.bus.state(KEYRING, keyring_subject())
            kid = keyring.active[-1] if keyring.active else await self._introduce()
            self._key = await self.vault.key(kid)
        if self._key is None:
            raise ContractViolation("The vault has lost the private half of the signing key")
        return self._key

    async def _introduce(self) -> str:
        """Introduce a key. If several replicas start at once, one succeeds and all use its key."""
        candidate = SigningKey(secrets.token_hex(8), Ed25519PrivateKey.generate())
        await self.vault.add_key(candidate)
        now = self.clock()
        command = EnsureKey(candidate.kid, ALGORITHM, candidate.public_jwk, now)
        context = CommandContext("svc:auth", ("signing-key", candidate.kid), candidate.kid, now)
        done = await self.bus.execute(KEYRING, keyring_subject(), command, context)
        return done.state.active[-1]
