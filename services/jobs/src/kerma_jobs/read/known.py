"""Which jobs exist, and the system that ran them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_jobs.read.models import DELETED, JOB

GONE = "deleted"
"""In place of the origin of a job that was deleted here."""


@dataclass(frozen=True, slots=True)
class KnownJobs:
    """A query on the jobs schema."""

    db: AsyncEngine

    async def of(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Return the origin of those jobs that exist or did; "" for jobs of this system."""
        there = select(JOB.c.job_id, JOB.c.origin).where(
            JOB.c.job_id.in_(job_ids), JOB.c.state.is_not(None)
        )
        gone = select(DELETED.c.job_id, literal(GONE)).where(DELETED.c.job_id.in_(job_ids))
        found = there.union_all(gone)
        async with self.db.connect() as connection:
            rows = (await connection.execute(found)).all()
        return {row.job_id: row.origin for row in rows}
