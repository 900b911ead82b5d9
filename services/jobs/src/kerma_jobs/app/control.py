"""Cancellation and deletion of jobs.

Out: JobCancellationRequested, JobCanceled, JobDeletionRequested, JobDeleted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import job_subject
from kerma_jobs.domain.commands import CancelJob, DeleteJob
from kerma_jobs.domain.job import JOB


@dataclass(frozen=True, slots=True)
class JobControl:
    """What an owner may do to a job; each returns the sequence of the commit."""

    bus: CommandBus
    clock: Callable[[], datetime]

    async def cancel(self, job_id: str, by: str, request_id: str, actor: str | None = None) -> int:
        """Cancel a job; no effect on one that has ended. ``actor``: who does it, if no user."""
        command = CancelJob(job_id, by, collect=False, now=self.clock())
        return await self._execute(command, by, request_id, actor)

    async def delete(self, job_id: str, by: str, request_id: str, actor: str | None = None) -> int:
        """Delete an ended job, a cancelled one with the end of its last tasks; repeats do nothing."""
        return await self._execute(DeleteJob(job_id, by), by, request_id, actor)

    async def _execute(
        self, command: CancelJob | DeleteJob, by: str, request_id: str, actor: str | None
    ) -> int:
        context = CommandContext(
            actor or f"user:{by}",
            (by, request_id, type(command).__name__),
            request_id,
            self.clock(),
        )
        done = await self.bus.execute(JOB, job_subject(command.job_id), command, context)
        return done.seq
