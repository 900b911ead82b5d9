"""Why a job is not running, and when it may start and end, from the numbers of its engine's queue.

The fair queue serves users in turn and each user's jobs in turn (``fairness.py`` of the runner), so
the tasks ahead of a job follow from who waits. Times follow from the pace that tasks have shown.
They are estimates: work that comes later, other users' priorities and workers that come and go are
not in them.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MOST_STEPS = 1000
"""Tasks ahead that are followed one by one; more are spread evenly over the slots."""


class Reason(StrEnum):
    """Why a job is not running. Quotas are decided at submission: no accepted job waits for one."""

    NO_WORKER = "no_worker"
    WORKER_LOST = "worker_lost"
    RETRY = "retry"
    QUEUE = "queue"
    STARTING = "starting"
    MERGE = "merge"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job with tasks that have not ended.

    ``seconds`` were spent on ``simulated`` primaries, by tasks that succeeded and those that run.
    ``lost`` waiting tasks lost their worker; ``due`` is when the first of those that failed may be
    tried again.
    """

    job_id: str
    owner: str
    n_tasks: int
    primaries: int
    running: int = 0
    ended: int = 0
    seconds: float = 0.0
    simulated: int = 0
    lost: int = 0
    due: datetime | None = None

    @property
    def waiting(self) -> int:
        """The number of tasks that wait."""
        return max(0, self.n_tasks - self.running - self.ended)


@dataclass(frozen=True, slots=True)
class Queue:
    """The jobs of one engine in the order of their submission.

    ``left`` maps jobs to the seconds that each running task will still take; it holds None for a
    task that has shown no progress. Slots of workers with several engines count for each of them.
    """

    slots: int
    jobs: tuple[QueuedJob, ...]
    left: Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds until a job's first waiting task starts and its last task ends, as far as known.

    ``own`` is whether they rest on the job's own pace, not on that of other jobs.
    """

    ahead: int
    start: float | None
    end: float | None
    own: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A queue with what all its jobs have in common, computed once.

    ``first`` is the place of each waiting user's first job, ``total`` the number of waiting tasks,
    ``jobs_of`` that of waiting jobs. ``turns`` counts the earlier waiting jobs of a job's user.
    ``work`` is seconds and tasks of all waiting tasks of known length.
    """

    queue: Queue
    first: Mapping[str, int]
    total: Mapping[str, int]
    jobs_of: Mapping[str, int]
    turns: Mapping[str, int]
    pace: float | None
    running: tuple[float | None, ...]
    work: tuple[float, int]


def line_of(queue: Queue) -> Line:
    """Return a queue with what its jobs have in common."""
    first: dict[str, int] = {}
    total: dict[str, int] = {}
    jobs_of: dict[str, int] = {}
    turns: dict[str, int] = {}
    common = _pace(queue.jobs)
    seconds, tasks = 0.0, 0
    for place, job in enumerate(queue.jobs):
        if not job.waiting:
            continue
        first.setdefault(job.owner, place)
        turns[job.job_id] = jobs_of.get(job.owner, 0)
        jobs_of[job.owner] = turns[job.job_id] + 1
        total[job.owner] = total.get(job.owner, 0) + job.waiting
        if (length := _length(job, _pace((job,)) or common)) is not None:
            seconds, tasks = seconds + length * job.waiting, tasks + job.waiting
    typical = None if common is None else common * _mean_primaries(queue)
    # half of a typical task is left of one that has shown no progress
    running = tuple(
        left if left is not None or typical is None else typical / 2
        for of in queue.left.values()
        for left in of
    )
    return Line(queue, first, total, jobs_of, turns, common, running, (seconds, tasks))


def ahead(line: Line, job: QueuedJob) -> int:
    """Return how many waiting tasks start before the job's first one."""
    turns = line.turns.get(job.job_id)
    if turns is None:
        return 0
    mine = line.first[job.owner]
    others = (
        min(line.total[owner], turns + (place < mine))
        for owner, place in line.first.items()
        if owner != job.owner
    )
    return turns + sum(others)


def estimate(line: Line, job: QueuedJob) -> Estimate:
    """Estimate the start and the end of a job."""
    before = ahead(line, job)
    own = _pace((job,))
    length = _length(job, own or line.pace)
    start = _start(line, before, _mean(line, job, length)) if job.waiting else 0.0
    return Estimate(before, start, _end(line, job, start, length), own is not None)


def _pace(jobs: Sequence[QueuedJob]) -> float | None:
    """Return the seconds per primary."""
    simulated = sum(job.simulated for job in jobs)
    return sum(job.seconds for job in jobs) / simulated if simulated else None


def _length(job: QueuedJob, pace: float | None) -> float | None:
    return None if pace is None else pace * job.primaries / job.n_tasks


def _mean_primaries(queue: Queue) -> float:
    tasks = sum(job.n_tasks for job in queue.jobs)
    return sum(job.primaries for job in queue.jobs) / max(1, tasks)


def _mean(line: Line, job: QueuedJob, length: float | None) -> float | None:
    """Return the mean length of waiting tasks of the other jobs."""
    seconds, tasks = line.work
    if length is not None and job.job_id in line.turns:
        seconds, tasks = seconds - length * job.waiting, tasks - job.waiting
    return seconds / tasks if tasks else None


def _start(line: Line, before: int, mean: float | None) -> float | None:
    queue, running = line.queue, line.running
    free = queue.slots - len(running)
    if queue.slots <= 0:
        return None
    if before < free:
        return 0.0
    left = [seconds for seconds in running if seconds is not None]
    if len(left) < len(running) or (before > free and mean is None):
        return None
    if before > MOST_STEPS:
        return (sum(left) + before * (mean or 0.0)) / queue.slots
    slots = sorted([*left, *([0.0] * free)])[: queue.slots]
    for _ in range(before):
        heapq.heapreplace(slots, slots[0] + (mean or 0.0))
    return slots[0]


def _end(line: Line, job: QueuedJob, start: float | None, length: float | None) -> float | None:
    own = line.queue.left.get(job.job_id, ())
    left = [seconds for seconds in own if seconds is not None]
    if start is None or len(left) < len(own):
        return None
    last = max(left, default=0.0)
    if not job.waiting:
        return last
    if length is None:
        return None
    others = len(line.first) * line.jobs_of[job.owner]
    share = min(max(1.0, line.queue.slots / others), job.waiting + len(left))
    return max(last, start + length, start + (sum(left) + job.waiting * length) / share)
