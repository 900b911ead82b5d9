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


def ahead(queue: Queue, job: QueuedJob) -> int:
    """Return how many waiting tasks start before the job's first one."""
    first: dict[str, int] = {}
    turns = 0
    for place, other in enumerate(queue.jobs):
        if not other.waiting:
            continue
        first.setdefault(other.owner, place)
        if other.job_id == job.job_id:
            break
        turns += other.owner == job.owner
    else:
        return 0
    mine = first[job.owner]
    for place, other in enumerate(queue.jobs):  # users whose jobs were submitted later
        if other.waiting and other.owner not in first:
            first[other.owner] = place
    total = dict.fromkeys(first, 0)
    for other in queue.jobs:
        if other.waiting:
            total[other.owner] += other.waiting
    before = turns
    for owner, place in first.items():
        if owner != job.owner:
            before += min(total[owner], turns + (place < mine))
    return before


def estimate(queue: Queue, job: QueuedJob) -> Estimate:
    """Estimate the start and the end of a job."""
    before = ahead(queue, job)
    common = _pace(queue.jobs)
    own = _pace((job,))
    length = _length(job, own or common)
    running = [_known(seconds, common, queue) for of in queue.left.values() for seconds in of]
    mean = _mean(queue, job, common)
    start = _start(queue, before, running, mean) if job.waiting else 0.0
    return Estimate(before, start, _end(queue, job, start, length), own is not None)


def _pace(jobs: Sequence[QueuedJob]) -> float | None:
    """Return the seconds per primary."""
    simulated = sum(job.simulated for job in jobs)
    return sum(job.seconds for job in jobs) / simulated if simulated else None


def _length(job: QueuedJob, pace: float | None) -> float | None:
    return None if pace is None else pace * job.primaries / job.n_tasks


def _known(seconds: float | None, common: float | None, queue: Queue) -> float | None:
    """Return what a running task still takes; half of a mean task if it has shown no progress."""
    if seconds is not None or common is None:
        return seconds
    tasks = sum(job.n_tasks for job in queue.jobs)
    return common * sum(job.primaries for job in queue.jobs) / max(1, tasks) / 2


def _mean(queue: Queue, job: QueuedJob, common: float | None) -> float | None:
    """Return the mean length of waiting tasks of the other jobs."""
    others = [other for other in queue.jobs if other.waiting and other.job_id != job.job_id]
    lengths = [(_length(other, _pace((other,)) or common), other.waiting) for other in others]
    known = [(length, number) for length, number in lengths if length is not None]
    tasks = sum(number for _, number in known)
    return sum(length * number for length, number in known) / tasks if tasks else None


def _start(
    queue: Queue, before: int, running: Sequence[float | None], mean: float | None
) -> float | None:
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


def _end(queue: Queue, job: QueuedJob, start: float | None, length: float | None) -> float | None:
    own = queue.left.get(job.job_id, ())
    left = [seconds for seconds in own if seconds is not None]
    if start is None or len(left) < len(own):
        return None
    last = max(left, default=0.0)
    if not job.waiting:
        return last
    if length is None:
        return None
    users = {other.owner for other in queue.jobs if other.waiting}
    jobs = sum(other.owner == job.owner for other in queue.jobs if other.waiting)
    share = min(max(1.0, queue.slots / (len(users) * jobs)), job.waiting + len(left))
    return max(last, start + length, start + (sum(left) + job.waiting * length) / share)
