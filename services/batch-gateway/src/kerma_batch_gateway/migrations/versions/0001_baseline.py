"""Tables of the cluster registry and of identity."""

from alembic import op

from kerma_batch_gateway.read.clusters import METADATA
from kerma_common.projection.tables import create_read_tables
from kerma_common.security.identity import METADATA as IDENTITY

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_read_tables(op.get_bind(), METADATA, IDENTITY)
