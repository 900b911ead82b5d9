"""Takes over jobs that another system ran.

Out: JobTasksImported, JobImported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from kerma_common.commands.bus import CommandBus
from kerma_common.commands.consistency import Positions
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.events.jobs import JobImported
from kerma_common.contracts.subjects import job_subject
from kerma_jobs.domain.commands import ImportJob, ImportTasks
from kerma_jobs.domain.job import JOB

TASKS_AT_ONCE = 800
"""Tasks that an event holds; one takes up to 240 bytes of the 256 KiB of a commit."""

HINT_SECONDS = 2.0
"""How long a position may be unknown because its message was lost."""


@dataclass(frozen=True, slots=True)
class JobImports:
    """Stores jobs; a job that is there already stays as it is."""

    bus: CommandBus
    positions: Positions
    clock: Callable[[], datetime]

    async def take(self, job: JobImported, actor: str, after: Mapping[str, int]) -> int:
        """Store a job, whose results ``after`` says where to find; return the sequence.

        Raises DomainRejected if this system has another job with this id.
        """
        subject, tasks = job_subject(job.job_id), job.tasks
        context = CommandContext(
            actor, ("import", job.origin), f"import-{job.origin}", self.clock(), after=after
        )
        while len(tasks) > TASKS_AT_ONCE:
            some, tasks = tasks[:TASKS_AT_ONCE], tasks[TASKS_AT_ONCE:]
            step = context.step(str(some[0].number))
            await self.bus.execute(JOB, subject, ImportTasks(job.job_id, some), step)
        command = ImportJob(replace(job, tasks=tasks))
        fresh = tasks is job.tasks
        return (await self.bus.execute(JOB, subject, command, context, fresh=fresh)).seq

    async def shown(self, seq: int, seconds: float) -> bool:
        """Return whether users see everything up to ``seq`` in time."""
        until = time.monotonic() + seconds
        while not await self.positions.wait("jobs", "JOBS", seq, HINT_SECONDS):
            if time.monotonic() > until:
                return False
        return True
