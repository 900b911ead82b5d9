"""Loops that stand still without failing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kerma_common.projection.retries.persistence import Persistence
from kerma_common.projection.retries.progress import STUCK_SECONDS, Progress


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def retries(clock: Clock) -> Persistence:
    return Persistence("jobs", "jobs", Progress(clock))


def test_a_position_that_stays_behind_the_end_is_a_fault(
    retries: Persistence, clock: Clock
) -> None:
    retries.progress.measured("JOBS", 5, 9)
    clock.now += STUCK_SECONDS - 1
    retries.progress.measured("JOBS", 5, 12)  # the end moves, the loop does not
    assert retries.fault is None
    clock.now += 1
    assert retries.fault == "stuck at 5 of JOBS for 120 s"
    retries.progress.measured("JOBS", 6, 12)
    assert retries.fault is None


def test_a_loop_at_the_end_may_stand_still(retries: Persistence, clock: Clock) -> None:
    for _ in range(100):
        retries.progress.measured("JOBS", 5, 5)
        clock.now += STUCK_SECONDS / 10
    assert retries.fault is None
    retries.progress.measured("JOBS", 5, 6)
    assert retries.fault is None


def test_a_leader_that_stops_measuring_is_a_fault_unless_it_leads_no_more(
    retries: Persistence, clock: Clock
) -> None:
    clock.now += STUCK_SECONDS
    assert retries.fault is None  # it may wait for the lease
    retries.progress.measured("JOBS", 5, 5)
    clock.now += STUCK_SECONDS
    assert retries.fault == "has not renewed its lease for 120 s"
    retries.forget()
    assert retries.fault is None


def test_a_command_that_never_ends_is_a_fault(retries: Persistence, clock: Clock) -> None:
    with retries.progress.running("QueueJob"), retries.progress.running("CancelJob"):
        clock.now += STUCK_SECONDS
        assert retries.fault == "QueueJob has been running for 120 s"
    assert retries.fault is None
