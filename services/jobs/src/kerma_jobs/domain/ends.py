"""Ends of jobs: the events that jobs on workers and on clusters have in common."""

from __future__ import annotations

from datetime import datetime

from kerma_common.contracts.events import jobs as events
from kerma_jobs.domain.commands import CompleteJob
from kerma_jobs.domain.state import Settled

LONGEST_SUMMARY = 1024


def failed(
    job_id: str, code: str, summary: str, at: datetime, tasks: tuple[int, ...] = ()
) -> events.JobFailed:
    """Return the failure of a job; ``tasks`` are the first of those that failed."""
    return events.JobFailed(
        job_id=job_id,
        code=code,
        summary=summary[:LONGEST_SUMMARY],
        failed_tasks=tasks,
        ended_at=at,
    )


def canceled(job_id: str, counts: Settled, at: datetime) -> events.JobCanceled:
    """Return the end of a cancelled job, of whose tasks so many ended before."""
    return events.JobCanceled(
        job_id=job_id,
        succeeded=counts.succeeded,
        failed=counts.failed,
        canceled=counts.canceled,
        ended_at=at,
    )


def completed(c: CompleteJob, *, lost: int = 0, lost_primaries: int = 0) -> events.JobCompleted:
    """Return the end of a job whose results are published; those of ``lost`` tasks are not in them."""
    return events.JobCompleted(
        job_id=c.job_id,
        tasks_merged=c.tasks_merged - lost,
        primaries_merged=c.primaries_merged - lost_primaries,
        partial=c.partial or lost > 0,
        ended_at=c.now,
    )


def settled(
    job_id: str, counts: Settled, reason: str, stored_bytes: int = 0
) -> events.JobAllTasksSettled:
    """Return that every task has ended, and why the first that failed did."""
    return events.JobAllTasksSettled(
        job_id=job_id,
        succeeded=counts.succeeded,
        failed=counts.failed,
        canceled=counts.canceled,
        stored_bytes=stored_bytes,
        reason=reason[:LONGEST_SUMMARY],
    )
