"""Credentials know what equal names have in common. Never edit this file: add a revision."""

from unicodedata import normalize

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("credential", sa.Column("name_key", sa.Text))
    credential = sa.table(
        "credential", sa.column("credential_id"), sa.column("username"), sa.column("name_key")
    )
    connection = op.get_bind()
    rows = connection.execute(sa.select(credential.c.credential_id, credential.c.username)).all()
    keyed = [{"id": row.credential_id, "key": _key(row.username)} for row in rows]
    if keyed:
        one = credential.c.credential_id == sa.bindparam("id")
        change = sa.update(credential).where(one).values(name_key=sa.bindparam("key"))
        connection.execute(change, keyed)
    op.alter_column("credential", "name_key", nullable=False)
    op.create_index("ix_auth_vault_credential_name_key", "credential", ["name_key"])


def _key(username: str) -> str:
    return normalize("NFKC", normalize("NFKC", username).casefold())
