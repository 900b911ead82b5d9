"""The vault: secrets that never enter an event.

Its schema is not a projection: it is backed up separately and never rebuilt. Password hashes are
argon2id, private keys are wrapped with AES-256-GCM under the master key. Refresh tokens are not
stored.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import (
    Column,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_auth.adapters.user_secrets import key_of, same_key
from kerma_auth.app.ports import Owner
from kerma_auth.domain.names import name_key
from kerma_common.db.connections import Statement
from kerma_common.db.reads import Reads
from kerma_common.security.tokens import SigningKey

SCHEMA = "auth_vault"
METADATA = MetaData(schema=SCHEMA)

CREDENTIAL = Table(
    "credential",
    METADATA,
    Column("credential_id", Text, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("username", Text, nullable=False),
    Column("name_key", Text, nullable=False, index=True),
    Column("secret_hash", Text, nullable=False),
    # of a request that may be repeated; two requests with one key cannot both make a user
    Column("request_key", Text, index=True, unique=True),
)

PRIVATE_KEY = Table(
    "private_key",
    METADATA,
    Column("kid", Text, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A name as its user wrote it, and the hash of the password."""

    username: str
    secret_hash: str


# All credentials of a user have one name.
_NAME = select(CREDENTIAL.c.username).where(CREDENTIAL.c.user_id == bindparam("user")).limit(1)


@dataclass(slots=True)
class Vault:
    """Secrets in PostgreSQL; every method is one statement.

    ``master`` is 32 bytes from the settings. ``reads`` serve what pages poll.
    """

    db: AsyncEngine
    master: bytes
    reads: Reads
    _name: Statement = field(init=False)

    def __post_init__(self) -> None:
        self._name = self.reads.statement(_NAME)

    def user_id(self, source: str, username: str) -> str:
        """Return the user id of a name: stable for a name, and does not reveal it."""
        digest = hmac.new(self.master, f"{source}\x1f{username}".encode(), hashlib.sha256)
        return digest.hexdigest()[:32]

    async def add_credential(
        self,
        credential_id: str,
        user_id: str,
        username: str,
        secret_hash: str,
        *,
        claims_key: bool = False,
    ) -> bool:
        """See ``AccountVault``."""
        row = {
            "credential_id": credential_id,
            "user_id": user_id,
            "username": username,
            "name_key": name_key(username),
            "secret_hash": secret_hash,
            "request_key": key_of(credential_id) if claims_key else None,
        }
        stored = select(CREDENTIAL.c.user_id).where(CREDENTIAL.c.credential_id == credential_id)
        async with self.db.begin() as connection:
            await connection.execute(insert(CREDENTIAL).values(row).on_conflict_do_nothing())
            return (await connection.execute(stored)).first() is not None

    async def owner_of_key(self, credential_id: str) -> Owner | None:
        """Return the credential of a request with the same key, if there is one."""
        first, last = same_key(credential_id)
        found = select(CREDENTIAL.c.credential_id, CREDENTIAL.c.user_id).where(
            CREDENTIAL.c.credential_id.between(first, last)
        )
        async with self.db.connect() as connection:
            row = (await connection.execute(found)).first()
        return Owner(*row) if row else None

    async def drop_credential(self, credential_id: str) -> None:
        """Delete a credential that no event names, or no longer."""
        one = CREDENTIAL.c.credential_id == credential_id
        async with self.db.begin() as connection:
            await connection.execute(delete(CREDENTIAL).where(one))

    async def forget(self, user_id: str) -> None:
        """Delete name and passwords of a user who was removed."""
        async with self.db.begin() as connection:
            await connection.execute(delete(CREDENTIAL).where(CREDENTIAL.c.user_id == user_id))

    async def credentials_of(self, user_id: str) -> tuple[str, ...]:
        """Return the ids of the credentials that are stored for a user."""
        found = select(CREDENTIAL.c.credential_id).where(CREDENTIAL.c.user_id == user_id)
        async with self.db.connect() as connection:
            return tuple((await connection.execute(found)).scalars())

    async def credential(self, credential_id: str) -> StoredCredential | None:
        """Return a credential."""
        found = select(CREDENTIAL.c.username, CREDENTIAL.c.secret_hash).where(
            CREDENTIAL.c.credential_id == credential_id
        )
        async with self.db.connect() as connection:
            row = (await connection.execute(found)).first()
        return StoredCredential(*row) if row else None

    async def username(self, user_id: str) -> str | None:
        """Return the name of a user."""
        row = await self.reads.first(self._name, user=user_id)
        return row[0] if row else None

    async def usernames(self, user_ids: Sequence[str]) -> dict[str, str]:
        """Return the names of users by their ids."""
        found = select(CREDENTIAL.c.user_id, CREDENTIAL.c.username).where(
            CREDENTIAL.c.user_id.in_(user_ids)
        )
        async with self.db.connect() as connection:
            rows = (await connection.execute(found)).all()
        return {row.user_id: row.username for row in rows}

    async def named(self, key: str) -> tuple[str, ...]:
        """Return the ids of users that have, or had once, a credential under an equal name."""
        found = select(CREDENTIAL.c.user_id).distinct().where(CREDENTIAL.c.name_key == key)
        async with self.db.connect() as connection:
            return tuple((await connection.execute(found)).scalars())

    async def renew_hash(self, credential_id: str, old: str, new: str) -> None:
        """Replace the hash of a credential, unless it has changed meanwhile."""
        unchanged = (CREDENTIAL.c.credential_id == credential_id, CREDENTIAL.c.secret_hash == old)
        async with self.db.begin() as connection:
            await connection.execute(update(CREDENTIAL).where(*unchanged).values(secret_hash=new))

    async def add_key(self, key: SigningKey) -> None:
        """Store a private key, wrapped."""
        raw = key.private.private_bytes(
            serialization.Encoding.Raw,
            serialization.PrivateFormat.Raw,
            serialization.NoEncryption(),
        )
        nonce = os.urandom(12)
        wrapped = nonce + AESGCM(self.master).encrypt(nonce, raw, key.kid.encode())
        async with self.db.begin() as connection:
            await connection.execute(insert(PRIVATE_KEY).values(kid=key.kid, wrapped=wrapped))

    async def drop_keys(self, kids: Collection[str]) -> None:
        """Delete private keys."""
        if kids:
            async with self.db.begin() as connection:
                await connection.execute(delete(PRIVATE_KEY).where(PRIVATE_KEY.c.kid.in_(kids)))

    async def key(self, kid: str) -> SigningKey | None:
        """Return a private key by its id. Raises InvalidTag if the master key has changed."""
        found = select(PRIVATE_KEY.c.wrapped).where(PRIVATE_KEY.c.kid == kid)
        async with self.db.connect() as connection:
            wrapped = (await connection.execute(found)).scalar_one_or_none()
        if wrapped is None:
            return None
        raw = AESGCM(self.master).decrypt(wrapped[:12], wrapped[12:], kid.encode())
        return SigningKey(kid, Ed25519PrivateKey.from_private_bytes(raw))
