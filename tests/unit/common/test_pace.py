"""A loop rests longer after its batches while commits keep coming, and while the machine is busy."""

from __future__ import annotations

import pytest

from kerma_common.projection import pace
from kerma_common.projection.pace import Pace


def steady(waits: list[float]) -> Pace:
    """Return the pace after batches that came after these seconds."""
    made = Pace()
    now = 0.0
    for waited in waits:
        now += waited
        made.came(waited, 1, now)
    return made


AT_ONCE = [0.0] * pace.STEADY


@pytest.mark.parametrize("waits", [[], [0.0], AT_ONCE[1:], [*AT_ONCE, 1.0], [*AT_ONCE, 0.02, 0.0]])
def test_the_pause_is_short_on_a_stream_that_is_quiet_now_and_then(waits: list[float]) -> None:
    assert steady(waits).rest(10.0) == pace.REST_SECONDS


@pytest.mark.parametrize(
    ("took", "rest"), [(0.0, 0.02), (0.001, 0.02), (0.003, 0.06), (0.004, 0.08), (7.0, 0.1)]
)
def test_the_pause_grows_with_the_time_of_a_batch_while_commits_keep_coming(
    took: float, rest: float
) -> None:
    assert steady([1.0, *AT_ONCE]).rest(took) == pytest.approx(rest)


@pytest.mark.parametrize(
    ("commits", "gap", "rest"),
    [
        (pace.BUSY, 0.05, 0.1),  # few at a time, but many
        (pace.BUSY - 1, 0.05, 0.02),
        (5 * pace.BUSY, pace.RECENT_SECONDS / (pace.BUSY - 2), 0.02),  # as many, but slowly
    ],
)
def test_commits_keep_coming_with_gaps_too(commits: int, gap: float, rest: float) -> None:
    assert steady([gap] * commits).rest(7.0) == rest


def test_the_commits_of_a_batch_count() -> None:
    made = Pace()
    made.came(1.0, pace.BUSY, 5.0)
    assert made.rest(7.0) == pace.LONGEST_REST_SECONDS
    made.came(1.0, 1, 6.0)
    assert made.rest(7.0) == pace.REST_SECONDS
