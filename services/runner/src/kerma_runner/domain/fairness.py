"""The fair queue: weighted deficit round-robin over users, then round-robin over their jobs.

A user's quantum is its weight (an integer >= 1, tasks per round) and a task costs one. Every user
with waiting tasks is served within one round, which takes at most the sum of the quanta of the
waiting users, however long any queue is. Source: M. Shreedhar and G. Varghese, "Efficient fair
queuing using deficit round-robin", IEEE/ACM Trans. Networking 4 (1996) 375.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deficits:
    """State between two picks.

    Users in the order of the round with their remaining quantum, and each user's jobs in the order
    of their round.
    """

    users: tuple[tuple[str, int], ...] = ()
    jobs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def pick(
    queues: Mapping[str, Mapping[str, Sequence[T]]],
    deficits: Deficits,
    capacity: int,
    weights: Mapping[str, int],
) -> tuple[tuple[T, ...], Deficits]:
    """Pick up to ``capacity`` tasks from ``queues`` (user to job to tasks in order).

    Also return the state for the next pick. Users without a weight have 1; users without waiting
    tasks lose their deficit.
    """
    waiting = {u: _rotation(jobs, deficits.jobs.get(u, ())) for u, jobs in queues.items()}
    waiting = {user: jobs for user, jobs in waiting.items() if jobs}
    known = [(user, left) for user, left in deficits.users if user in waiting]
    met = {user for user, _ in known}
    round_ = deque([*known, *((user, 0) for user in waiting if user not in met)])
    picks: list[T] = []
    while round_ and len(picks) < capacity:
        user, left = round_.popleft()
        left = left or max(1, weights.get(user, 1))
        jobs = waiting[user]
        while left and jobs and len(picks) < capacity:
            picks.append(_next(jobs))
            left -= 1
        if not jobs:
            continue
        if left:
            round_.appendleft((user, left))
        else:
            round_.append((user, 0))
    order = {user: tuple(job for job, _ in waiting[user]) for user, _ in round_}
    return tuple(picks), Deficits(tuple(round_), order)


def _rotation(
    jobs: Mapping[str, Sequence[T]], order: tuple[str, ...]
) -> deque[tuple[str, deque[T]]]:
    names = [*(job for job in order if job in jobs), *(job for job in jobs if job not in order)]
    return deque((job, deque(jobs[job])) for job in names if jobs[job])


def _next(jobs: deque[tuple[str, deque[T]]]) -> T:
    job, tasks = jobs.popleft()
    task = tasks.popleft()
    if tasks:
        jobs.append((job, tasks))
    return task
