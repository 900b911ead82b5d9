"""Places in the queue and estimates, from numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerma_jobs.app.outlook import describe
from kerma_jobs.domain.waiting import (
    MOST_STEPS,
    Estimate,
    Queue,
    QueuedJob,
    Reason,
    ahead,
    estimate,
    line_of,
)
from kerma_runner.domain.fairness import Deficits, pick

NOW = datetime(2026, 11, 27, tzinfo=UTC)


def job(name: str, n_tasks: int, running: int = 0, ended: int = 0, **more: float) -> QueuedJob:
    """A job whose owner is the first letter of its name; its tasks have ten primaries."""
    shown = {"seconds": 0.0, "simulated": 0, **more}
    return QueuedJob(
        name,
        name[0],
        n_tasks,
        10 * n_tasks,
        running,
        ended,
        shown["seconds"],
        int(shown["simulated"]),
    )


JOBS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 5)), min_size=1, max_size=6, unique=False
)


@given(JOBS)
def test_the_place_is_that_of_the_fair_queue(drawn: list[tuple[str, int]]) -> None:
    jobs = tuple(job(f"{owner}{k}", n) for k, (owner, n) in enumerate(drawn))
    queues: dict[str, dict[str, list[str]]] = {}
    for of in jobs:
        queues.setdefault(of.owner, {})[of.job_id] = [of.job_id] * of.waiting
    order, _ = pick(queues, Deficits(), sum(of.waiting for of in jobs), {})
    queue = Queue(1, jobs, {})
    assert [ahead(line_of(queue), of) for of in jobs] == [order.index(of.job_id) for of in jobs]


def test_a_job_starts_when_slots_are_free_for_all_ahead_of_it() -> None:
    mine = job("b", 4)
    assert estimate(line_of(Queue(2, (mine,), {})), mine).start == 0.0
    first = job("a", 1)
    assert estimate(line_of(Queue(2, (first, mine), {})), mine) == Estimate(1, 0.0, None, False)
    assert estimate(line_of(Queue(0, (mine,), {})), mine).start is None


def test_times_follow_from_the_pace_of_running_tasks() -> None:
    # 2 s per primary, so 20 s per task; both slots are taken
    running = job("a", 4, running=2, ended=1, seconds=60.0, simulated=30)
    mine = job("b", 2)
    queue = Queue(2, (running, mine), {"a": [5.0, 15.0]})
    found = estimate(line_of(queue), mine)
    # in 5 s the last task of the first job begins, in 15 s the first one of this job
    assert (found.ahead, found.start, found.own) == (1, 15.0, False)
    # one of two slots, for two users wait
    assert found.end == pytest.approx(15 + 2 * 20)
    own = estimate(line_of(queue), running)
    assert (own.start, own.own) == (5.0, True)
    assert own.end == pytest.approx(5 + 5 + 15 + 20)


def test_nothing_is_estimated_without_a_base() -> None:
    running, mine = job("a", 1, running=1), job("b", 1)
    found = estimate(line_of(Queue(1, (running, mine), {"a": [None]})), mine)
    assert (found.ahead, found.start, found.end) == (0, None, None)


def test_very_many_tasks_ahead_are_spread_over_the_slots() -> None:
    many = job("a", 10 * MOST_STEPS, running=1, ended=1, seconds=10.0, simulated=10)
    later = job("a2", 1)
    users = tuple(job(f"{chr(98 + k)}", 5 * MOST_STEPS) for k in range(20))
    mine = job("a3", 1)
    found = estimate(line_of(Queue(10, (many, later, *users, mine), {"a": [0.0] * 10})), mine)
    assert found.ahead == 2 + 20 * 2
    one_user = Queue(10, (job("a", 9, seconds=1.0, simulated=1), *users), {"a": [0.0] * 10})
    assert estimate(line_of(one_user), users[-1]).ahead == 20


@pytest.mark.parametrize(
    ("of", "found", "reason", "text"),
    [
        (job("a", 2), Estimate(0, 0.0, None, False), Reason.STARTING, "a worker is free for it"),
        (
            job("a", 2),
            Estimate(1, 90.0, 7300.0, False),
            Reason.QUEUE,
            "it waits in the queue: 1 task starts before its first one; "
            "it may start in about 90 s and end in about 2 hours",
        ),
        (
            job("a", 2),
            Estimate(0, None, None, False),
            Reason.QUEUE,
            "it waits in the queue, first in turn",
        ),
    ],
)
def test_words(of: QueuedJob, found: Estimate, reason: Reason, text: str) -> None:
    shown = describe(of, found, NOW)
    assert (shown.reason, shown.text) == (reason, text)
    assert shown.tasks_ahead == found.ahead


def test_a_lost_worker_and_a_failed_attempt_are_told() -> None:
    lost = QueuedJob("a", "a", 2, 20, lost=2)
    shown = describe(lost, Estimate(3, None, None, False), NOW)
    assert shown.reason is Reason.WORKER_LOST
    assert shown.text.startswith("the worker of 2 tasks was lost, and they wait again: 3 tasks")
    failed = QueuedJob("a", "a", 2, 20, due=NOW + timedelta(seconds=30))
    shown = describe(failed, Estimate(0, 0.0, None, False), NOW)
    assert shown.reason is Reason.RETRY
    assert "about 30 s" in shown.text
    running = QueuedJob("a", "a", 2, 20, running=1)
    shown = describe(running, Estimate(0, 0.0, 60.0, True), NOW)
    assert (shown.reason, shown.text) == (None, "it may end in about 60 s")
    assert shown.estimated_end == NOW + timedelta(seconds=60)
    assert shown.estimated_from == "this job"
