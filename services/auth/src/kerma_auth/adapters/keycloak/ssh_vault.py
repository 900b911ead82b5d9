"""SSH certificates and private keys of users, wrapped under the master key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Column, DateTime, LargeBinary, Table, Text, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_auth.adapters.vault import METADATA
from kerma_auth.app.keycloak import SshCredential
from kerma_common.db.sweeping import Stale

_TIME = DateTime(timezone=True)
NONCE_BYTES = 12

SSH_CREDENTIAL = Table(
    "ssh_credential",
    METADATA,
    Column("user_id", Text, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("obtained", _TIME, nullable=False),
    Column("expires", _TIME, nullable=False, index=True),
)
OVER = Stale(SSH_CREDENTIAL, SSH_CREDENTIAL.c.expires <= func.now())
"""Certificates that have expired."""


@dataclass(frozen=True, slots=True)
class SshVault:
    """See ``SshCredentials``; every method is one statement. ``master`` is 32 bytes."""

    db: AsyncEngine
    master: bytes

    async def of(self, user_id: str, now: datetime) -> SshCredential | None:
        """See ``SshCredentials``. Raises InvalidTag if the master key has changed."""
        row = SSH_CREDENTIAL.c
        found = select(row.wrapped, row.obtained, row.expires).where(
            row.user_id == user_id, row.expires > now
        )
        async with self.db.connect() as connection:
            stored = (await connection.execute(found)).first()
        if stored is None:
            return None
        nonce, sealed = stored.wrapped[:NONCE_BYTES], stored.wrapped[NONCE_BYTES:]
        both = AESGCM(self.master).decrypt(nonce, sealed, _bound_to(user_id))
        certificate, private_key = orjson.loads(both)
        return SshCredential(certificate, private_key, stored.obtained, stored.expires)

    async def keep(self, user_id: str, credential: SshCredential) -> None:
        """See ``SshCredentials``."""
        nonce = os.urandom(NONCE_BYTES)
        both = orjson.dumps([credential.certificate, credential.private_key])
        values = {
            "wrapped": nonce + AESGCM(self.master).encrypt(nonce, both, _bound_to(user_id)),
            "obtained": credential.obtained,
            "expires": credential.expires,
        }
        kept = insert(SSH_CREDENTIAL).values(user_id=user_id, **values)
        kept = kept.on_conflict_do_update(index_elements=[SSH_CREDENTIAL.c.user_id], set_=values)
        async with self.db.begin() as connection:
            await connection.execute(kept)

    async def forget(self, user_id: str) -> None:
        """See ``SshCredentials``."""
        async with self.db.begin() as connection:
            await connection.execute(
                delete(SSH_CREDENTIAL).where(SSH_CREDENTIAL.c.user_id == user_id)
            )


def _bound_to(user_id: str) -> bytes:
    """Return what binds a wrapped text to its row: it cannot be moved to another user's."""
    return f"ssh credential of {user_id}".encode()
