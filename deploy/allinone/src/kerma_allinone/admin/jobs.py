"""Operators' actions on jobs of all users."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from uuid import uuid4

from kerma_allinone.admin.system import ACTOR, open_service
from kerma_common.contracts.ids import UNKNOWN_JOB
from kerma_common.contracts.subjects import job_subject
from kerma_common.errors import InvalidRequest, NotFound
from kerma_common.infra import Infra
from kerma_jobs.api.lists import STATES
from kerma_jobs.app.control import JobControl
from kerma_jobs.domain.job import JOB
from kerma_jobs.domain.state import TERMINAL
from kerma_jobs.read.overview import JobLine, Overview
from kerma_jobs.read.queries import JobQueries, TaskRow, number_of


@dataclass(frozen=True, slots=True)
class ShownJob:
    """A job with its tasks, whose ``index`` is the number that their owner sees."""

    job: JobLine
    tasks: list[TaskRow]


async def listed(limit: int, owner: str | None, state: str | None) -> list[JobLine]:
    """Return the newest jobs. Raises InvalidRequest for an unknown state."""
    if state is not None and state not in STATES:
        raise InvalidRequest(f"--state is not one of {', '.join(sorted(STATES))}")
    async with open_service("jobs") as infra:
        return await Overview(infra.db).newest(limit, owner, state)


async def shown(job_id: str) -> ShownJob:
    """Return a job with its tasks. Raises NotFound."""
    async with open_service("jobs") as infra:
        found = await JobQueries(infra.reads).status(job_id)
        job = await Overview(infra.db).of(job_id)
    if found is None or job is None:
        raise NotFound(UNKNOWN_JOB)
    head, tasks = found
    return ShownJob(job, [replace(task, index=number_of(head, task)) for task in tasks])


async def cancel(job_id: str) -> bool:
    """Cancel a job; return False if it had ended. Raises NotFound."""
    async with _jobs() as jobs:
        return await jobs.cancel(job_id)


async def remove(job_id: str) -> None:
    """Delete a job, after cancelling it if it has not ended. Raises NotFound."""
    async with _jobs() as jobs:
        await jobs.remove(job_id)


async def count(owner: str) -> int:
    """Return how many jobs a user has."""
    async with open_service("jobs") as infra:
        return await Overview(infra.db).count(owner)


async def remove_all(owner: str) -> int:
    """Remove all jobs of a user; return how many."""
    async with _jobs() as jobs:
        ids = await Overview(jobs.infra.db).ids_of(owner)
        for job_id in ids:
            await jobs.remove(job_id)
        return len(ids)


@dataclass(frozen=True, slots=True)
class _Jobs:
    """Commands on jobs."""

    infra: Infra
    control: JobControl

    async def cancel(self, job_id: str) -> bool:
        state, _ = await self.infra.bus.state(JOB, job_subject(job_id))
        await self.control.cancel(job_id, ACTOR, str(uuid4()), ACTOR)
        return state.phase not in TERMINAL

    async def remove(self, job_id: str) -> None:
        await self.cancel(job_id)
        await self.control.delete(job_id, ACTOR, str(uuid4()), ACTOR)


@asynccontextmanager
async def _jobs() -> AsyncIterator[_Jobs]:
    async with open_service("jobs") as infra:
        yield _Jobs(infra, JobControl(infra.bus, infra.clock))
