"""Cancellation and deletion of jobs.

Out: JobCancellationRequested, JobDeleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from kerma_common.commands.bus import CommandBus
from kerma_common.commands.consistency import Positions
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import job_subject
from kerma_common.errors import DomainRejected, Unavailable
from kerma_jobs.domain.commands import CancelJob, DeleteJob
from kerma_jobs.domain.job import ACTIVE, JOB

STOPPING_SECONDS = 10.0
"""Seconds a deletion waits for the last tasks of a cancelled job; most stop within two."""
STOPPING = "The last tasks of the job are still stopping; try again"


@dataclass(frozen=True, slots=True)
class JobControl:
    """What an owner may do to a job; each returns the sequence of the commit."""

    bus: CommandBus
    positions: Positions
    clock: Callable[[], datetime]

    async def cancel(self, job_id: str, by: str, request_id: str) -> int:
        """Cancel a job; no effect on one that has ended."""
        command = CancelJob(job_id, by, collect=False, now=self.clock())
        return await self._execute(command, by, request_id)

    async def delete(self, job_id: str, by: str, request_id: str) -> int:
        """Delete an ended job, or a cancelled one once its last tasks have stopped.

        Raises Unavailable if they have not stopped after ``STOPPING_SECONDS``.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + STOPPING_SECONDS
        while True:
            seen = self.positions.reached("jobs", "JOBS")
            try:
                return await self._execute(DeleteJob(job_id, by), by, request_id)
            except DomainRejected as rejected:
                if rejected.code != ACTIVE:
                    raise
            # The job ends by a later commit of its stream.
            if not await self.positions.reach("jobs", "JOBS", seen + 1, until - clock()):
                raise Unavailable(STOPPING)

    async def _execute(self, command: CancelJob | DeleteJob, by: str, request_id: str) -> int:
        context = CommandContext(
            f"user:{by}", (by, request_id, type(command).__name__), request_id, self.clock()
        )
        done = await self.bus.execute(JOB, job_subject(command.job_id), command, context)
        return done.seq
