"""The queue of truth, heartbeats, identity, and the tables of the process manager."""

from alembic import op

from kerma_common.process.tables import create_process_tables
from kerma_common.projection.tables import create_read_tables
from kerma_common.security.identity import METADATA as IDENTITY
from kerma_runner.read.models import HEARTBEATS, METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_read_tables(op.get_bind(), METADATA, IDENTITY)
    create_process_tables(op.get_bind(), "runner")
    HEARTBEATS.create_all(op.get_bind())
