"""The queue of one engine as the read model knows it: jobs, running tasks and slots."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Float, Select, Text, bindparam, func, select, true

from kerma_jobs.domain.state import BATCH
from kerma_jobs.domain.waiting import QueuedJob
from kerma_jobs.read.models import JOB, OFFER, TASK

if TYPE_CHECKING:
    from kerma_common.db.connections import Statement
    from kerma_common.db.reads import Reads

MOST_JOBS = 5_000
"""Jobs that are counted, the oldest first."""
MOST_RUNNING = 5_000
LOST = "LOST"
"""Reason of ``TaskRequeued`` when the worker was not heard of any more."""


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A task that runs since ``started_at``."""

    job_id: str
    index: int
    lease: int
    started_at: datetime
    primaries: int
    n_tasks: int


@dataclass(frozen=True, slots=True)
class QueueRows:
    """Jobs in the order of their submission, running tasks, and slots of the workers."""

    jobs: tuple[QueuedJob, ...]
    running: tuple[RunningTask, ...]
    slots: int


@dataclass(slots=True)
class QueueQueries:
    """Queries on the queue; their cost grows with the open jobs and their tasks."""

    reads: Reads
    _jobs: Statement = field(init=False)
    _running: Statement = field(init=False)
    _slots: Statement = field(init=False)

    def __post_init__(self) -> None:
        self._jobs = self.reads.statement(_jobs())
        self._running = self.reads.statement(_running())
        self._slots = self.reads.statement(_slots())

    async def of(self, engine: str) -> QueueRows:
        """Return the queue of an engine."""
        jobs = await self.reads.all(self._jobs, engine=engine)
        running = await self.reads.all(self._running, engine=engine)
        slots = await self.reads.first(self._slots, engine=engine)
        return QueueRows(
            tuple(QueuedJob(*row) for row in jobs),
            tuple(RunningTask(*row) for row in running),
            int(slots[0]) if slots else 0,
        )


def _jobs() -> Select[Any]:
    state = TASK.c.state
    waits, succeeded = state == "PENDING", state == "COMPLETED"
    seconds = func.extract("epoch", TASK.c.ended_at - TASK.c.started_at).cast(Float)
    counted = (
        select(
            func.count().filter(state == "RUNNING").label("running"),
            func.count().filter(~(waits | (state == "RUNNING"))).label("ended"),
            func.coalesce(func.sum(seconds).filter(succeeded), 0.0).label("seconds"),
            func.coalesce(func.sum(TASK.c.simulated).filter(succeeded), 0)
            .cast(Float)
            .label("simulated"),
            func.count().filter(waits, TASK.c.requeued == LOST).label("lost"),
            func.min(TASK.c.not_before).filter(waits, TASK.c.requeued != LOST).label("due"),
        )
        .where(TASK.c.job_id == JOB.c.job_id)
        .correlate(JOB)
        .lateral("counted")
    )
    return (
        select(JOB.c.job_id, JOB.c.owner, JOB.c.n_tasks, JOB.c.primaries, *counted.c)
        .select_from(JOB.join(counted, true()))
        .where(
            JOB.c.state == "PENDING",
            JOB.c.platform != BATCH,
            JOB.c.engine == bindparam("engine", type_=Text),
        )
        .order_by(JOB.c.submitted_at, JOB.c.job_id)
        .limit(MOST_JOBS)
    )


def _running() -> Select[Any]:
    return (
        select(
            TASK.c.job_id,
            TASK.c.index,
            TASK.c.lease,
            TASK.c.started_at,
            JOB.c.primaries,
            JOB.c.n_tasks,
        )
        .join(JOB, JOB.c.job_id == TASK.c.job_id)
        .where(
            TASK.c.state == "RUNNING",
            JOB.c.platform != BATCH,
            JOB.c.engine == bindparam("engine", type_=Text),
        )
        .limit(MOST_RUNNING)
    )


def _slots() -> Select[Any]:
    return select(func.coalesce(func.sum(OFFER.c.slots), 0)).where(
        OFFER.c.engines.has_key(bindparam("engine", type_=Text))
    )
