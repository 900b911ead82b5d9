"""The key that signs tokens: made once, kept in the vault, announced in the log.

Out: SigningKeyIntroduced.
"""

from __future__ import annotations

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
    """Where private keys are kept."""

    async def add_key(self, key: SigningKey) -> None:
        """Keep a private key."""

    async def drop_key(self, kid: str) -> None:
        """Forget a private key that no token was signed with."""

    async def key(self, kid: str) -> SigningKey | None:
        """A private key by its id."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Finds the signing key, or makes the first one."""

    bus: CommandBus
    vault: KeyVault
    clock: Callable[[], datetime]

    async def signing_key(self) -> tuple[SigningKey, int]:
        """The key and the sequence of the commit that introduced it or a later one.

        Of several replicas that start at once, one introduces its key and the others use it.
        """
        candidate = SigningKey(secrets.token_hex(8), Ed25519PrivateKey.generate())
        await self.vault.add_key(candidate)
        now = self.clock()
        command = EnsureKey(candidate.kid, ALGORITHM, candidate.public_jwk, now)
        context = CommandContext("svc:auth", ("signing-key", candidate.kid), candidate.kid, now)
        done = await self.bus.execute(KEYRING, keyring_subject(), command, context)
        kid = done.state.active[-1]
        if kid == candidate.kid:
            return candidate, done.seq
        await self.vault.drop_key(candidate.kid)
        key = await self.vault.key(kid)
        if key is None:
            raise ContractViolation(f"The vault has lost the private half of signing key {kid}")
        return key, done.seq
