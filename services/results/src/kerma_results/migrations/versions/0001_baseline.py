"""Tables of the process managers. Never edit this file: add a revision."""

from kerma_common.process.baseline import create_process_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_process_tables("results_process")
