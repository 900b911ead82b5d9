"""A loop rests longer after its batches while commits keep coming, and while the machine is busy."""

from __future__ import annotations

import pytest

from kerma_common.projection import pace
from kerma_common.projection.pace import Pace


def steady(waits: list[float]) -> Pace:
    """Return the pace after batches that came after these seconds."""
    made = Pace()
    for waited in waits:
        made.came(waited)
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
