"""Jobs of all users, for operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_jobs.read.models import JOB


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job in a list of operators."""

    job_id: str
    owner: str
    title: str
    state: str
    engine: str
    n_tasks: int
    submitted_at: datetime
    ended_at: datetime | None
    origin: str


_LINE = (
    JOB.c.job_id,
    JOB.c.owner,
    JOB.c.title,
    JOB.c.shown_state,
    JOB.c.engine,
    JOB.c.n_tasks,
    JOB.c.submitted_at,
    JOB.c.ended_at,
    JOB.c.origin,
)


@dataclass(frozen=True, slots=True)
class Overview:
    """Queries on the jobs schema."""

    db: AsyncEngine

    async def newest(
        self, limit: int, owner: str | None = None, state: str | None = None
    ) -> list[JobLine]:
        """Return the newest jobs, of one user or in one state."""
        found = select(*_LINE).where(JOB.c.state.is_not(None))
        if owner is not None:
            found = found.where(JOB.c.owner == owner)
        if state is not None:
            found = found.where(JOB.c.shown_state == state)
        found = found.order_by(JOB.c.submitted_at.desc(), JOB.c.job_id.desc()).limit(limit)
        async with self.db.connect() as connection:
            rows = (await connection.execute(found)).all()
        return [JobLine(*row) for row in rows]

    async def of(self, job_id: str) -> JobLine | None:
        """Return a job."""
        found = select(*_LINE).where(JOB.c.job_id == job_id, JOB.c.state.is_not(None))
        async with self.db.connect() as connection:
            row = (await connection.execute(found)).first()
        return JobLine(*row) if row else None

    async def ids_of(self, owner: str) -> Sequence[str]:
        """Return the ids of all jobs of a user."""
        found = select(JOB.c.job_id).where(JOB.c.owner == owner, JOB.c.state.is_not(None))
        async with self.db.connect() as connection:
            return (await connection.execute(found)).scalars().all()

    async def count(self, owner: str) -> int:
        """Return how many jobs a user has."""
        found = (
            select(func.count())
            .select_from(JOB)
            .where(JOB.c.owner == owner, JOB.c.state.is_not(None))
        )
        async with self.db.connect() as connection:
            number: int = (await connection.execute(found)).scalar_one()
        return number
