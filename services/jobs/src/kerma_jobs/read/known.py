"""Which jobs exist, and the system that ran them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_jobs.read.models import JOB


@dataclass(frozen=True, slots=True)
class KnownJobs:
    """A query on the jobs schema."""

    db: AsyncEngine

    async def of(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Return the origin of those jobs that exist; "" for jobs of this system."""
        found = select(JOB.c.job_id, JOB.c.origin).where(
            JOB.c.job_id.in_(job_ids), JOB.c.state.is_not(None)
        )
        async with self.db.connect() as connection:
            rows = (await connection.execute(found)).all()
        return {row.job_id: row.origin for row in rows}
