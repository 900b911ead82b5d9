"""Why a job waits, and when it may start and end; for status answers and for ``/v1``.

The queue of an engine is read when somebody asks about a waiting job, at most once a second and for a
twentieth of the time at most, and is shared by all who ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from kerma_common.contracts.ids import share_of_primaries
from kerma_jobs.domain.state import BATCH
from kerma_jobs.domain.waiting import (
    Estimate,
    Line,
    Queue,
    QueuedJob,
    Reason,
    estimate,
    line_of,
)

if TYPE_CHECKING:
    from kerma_jobs.app.ports import LiveProgress
    from kerma_jobs.read.queries import JobHead
    from kerma_jobs.read.queue import QueueRows, RunningTask

FRESH_SECONDS = 1.0
SHARE = 20
"""A reading that took t seconds serves for at least ``SHARE`` times t."""
_STARTS = "a worker is free for it"
_DELIVERED = "its tasks have ended, and its results are to come from the cluster"
_MERGES = "its tasks have ended and their results wait to be merged"


class Queues(Protocol):
    """Reads the queue of an engine."""

    async def of(self, engine: str) -> QueueRows:
        """Return the queue of an engine."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Why a job is not running, in words too, and estimates, as far as there is a base for them.

    ``reason`` is None for a job that runs. ``estimated_from`` is ``this job`` if the times rest on the
    pace of the job's own tasks, ``other jobs`` if on that of others.
    """

    reason: Reason | None
    text: str
    tasks_ahead: int | None = None
    estimated_start: datetime | None = None
    estimated_end: datetime | None = None
    estimated_from: str | None = None


@dataclass(slots=True)
class _Kept:
    until: float
    at: datetime
    line: Line
    jobs: Mapping[str, QueuedJob]


@dataclass(slots=True)
class Outlooks:
    """Answers why a job waits."""

    queues: Queues
    live: LiveProgress
    clock: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic
    _kept: dict[str, _Kept] = field(default_factory=dict, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def of(self, job: JobHead) -> Outlook | None:
        """Return the outlook of a job; None once it has ended or while it is being merged."""
        if job.platform == BATCH:
            return _on_cluster(job)
        if job.state == "MERGING_QUEUED":
            return Outlook(Reason.MERGE, _MERGES)
        if job.state not in ("PENDING", "RUNNING"):
            return None
        if not job.offered:
            return Outlook(Reason.NO_WORKER, f"no worker offers {job.engine} now")
        kept = await self._queue(job.engine)
        found = kept.jobs.get(job.job_id)
        if found is None:  # submitted after the queue was read, or one of very many
            return (
                Outlook(Reason.QUEUE, "it waits in the queue") if job.state == "PENDING" else None
            )
        return describe(found, estimate(kept.line, found), kept.at)

    async def _queue(self, engine: str) -> _Kept:
        async with self._lock:
            kept = self._kept.get(engine)
            began = self.monotonic()
            if kept is None or kept.until <= began:
                rows = await self.queues.of(engine)
                ended = self.monotonic()
                pause = max(FRESH_SECONDS, SHARE * (ended - began))
                at = self.clock()
                queue = assemble(rows, self.live, at)
                jobs = {job.job_id: job for job in queue.jobs}
                kept = _Kept(ended + pause, at, line_of(queue), jobs)
                self._kept[engine] = kept
            return kept


def _on_cluster(job: JobHead) -> Outlook | None:
    if job.state == "MERGING_QUEUED":
        return Outlook(Reason.MERGE, _DELIVERED)
    if job.state != "PENDING":
        return None
    text = f"nothing sends jobs to the cluster {job.cluster_name} yet: a script there may run it and report"
    return Outlook(Reason.CLUSTER, text)


def assemble(rows: QueueRows, live: LiveProgress, now: datetime) -> Queue:
    """Combine the rows with the progress of running tasks."""
    left: dict[str, list[float | None]] = {}
    spent: dict[str, tuple[float, int]] = {}
    for task in rows.running:
        elapsed = max(0.0, (now - task.started_at).total_seconds())
        done, seconds = _progress(task, live, elapsed)
        left.setdefault(task.job_id, []).append(seconds)
        if done:
            before = spent.get(task.job_id, (0.0, 0))
            spent[task.job_id] = (before[0] + elapsed, before[1] + done)
    return Queue(rows.slots, tuple(_with_pace(job, spent) for job in rows.jobs), left)


def _progress(task: RunningTask, live: LiveProgress, elapsed: float) -> tuple[int, float | None]:
    """Return primaries done and seconds left of a running task."""
    progress = live.of(task.job_id, task.index, task.lease)
    if progress is None or not progress[0]:
        return 0, None
    done, left = progress
    if left is None:
        wanted = share_of_primaries(task.primaries, task.n_tasks, task.index)
        left = elapsed * max(0, wanted - done) / done
    return done, left


def _with_pace(job: QueuedJob, spent: Mapping[str, tuple[float, int]]) -> QueuedJob:
    seconds, simulated = spent.get(job.job_id, (0.0, 0))
    return replace(job, seconds=job.seconds + seconds, simulated=int(job.simulated) + simulated)


def describe(job: QueuedJob, found: Estimate, now: datetime) -> Outlook:
    """Put a job's place in the queue into words."""
    reason, text = _reason(job, found, now)
    start = _moment(now, found.start) if reason is not None else None
    end = _moment(now, found.end)
    parts = [text] if text else []
    if start is not None and found.start:
        parts.append(f"it may start in {_span(found.start)}")
    if end is not None and found.end:
        parts.append(
            f"{'and ' if start is not None and found.start else 'it may '}end in {_span(found.end)}"
        )
    base = None if start is None and end is None else ("this job" if found.own else "other jobs")
    return Outlook(reason, _joined(parts), found.ahead if reason else None, start, end, base)


def _joined(parts: list[str]) -> str:
    head, *times = parts or [""]
    return "; ".join(filter(None, [head, " ".join(times)]))


def _reason(job: QueuedJob, found: Estimate, now: datetime) -> tuple[Reason | None, str]:
    if job.running:
        return None, ""
    place = _place(found)
    if job.lost:
        tasks = "a task" if job.lost == 1 else f"{job.lost} tasks"
        return Reason.WORKER_LOST, f"the worker of {tasks} was lost, and they wait again{place}"
    if job.due is not None and job.due > now:
        again = _span((job.due - now).total_seconds())
        return Reason.RETRY, f"an attempt failed, and the next one may begin in {again}"
    if found.ahead or found.start != 0.0:
        return Reason.QUEUE, f"it waits in the queue{place}"
    return Reason.STARTING, _STARTS


def _place(found: Estimate) -> str:
    if not found.ahead:
        return ", first in turn"
    tasks = "1 task starts" if found.ahead == 1 else f"{found.ahead} tasks start"
    return f": {tasks} before its first one"


def _moment(now: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else now + timedelta(seconds=seconds)


def _span(seconds: float) -> str:
    """Return a time in words, rounded to what an estimate can say."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"about {round(seconds / size)} {unit}"
    return f"about {max(1, round(seconds))} s"
