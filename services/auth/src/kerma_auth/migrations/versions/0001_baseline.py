"""Tables of users and identity, and the vault in a schema of its own."""

from alembic import op
from sqlalchemy.schema import CreateSchema

from kerma_auth.adapters import vault
from kerma_auth.read.users import METADATA
from kerma_common.projection.tables import create_read_tables
from kerma_common.security.identity import METADATA as IDENTITY

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_read_tables(op.get_bind(), METADATA, IDENTITY)
    # the vault outlives the read models, which may be dropped and projected anew
    op.get_bind().execute(CreateSchema(vault.SCHEMA, if_not_exists=True))
    vault.METADATA.create_all(op.get_bind())
