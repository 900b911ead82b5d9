"""Figures are held against a bar, not admired."""

from __future__ import annotations

import pytest

from kerma_tools.bench.eventlog import append
from kerma_tools.bench.figure import Figure


@pytest.mark.parametrize(
    ("value", "lower_is_better", "passed"),
    [(5.0, False, True), (4.9, False, False), (5.0, True, True), (5.1, True, False)],
)
def test_the_bar_bounds_the_ratio(value: float, lower_is_better: bool, passed: bool) -> None:
    figure = Figure("f", value, "1/s", "peer", 10.0, 0.5, lower_is_better)
    assert figure.ratio == value / 10
    assert figure.passed is passed


def test_append_throughput_measures_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append, "EACH", 2)
    monkeypatch.setattr(append, "ROUNDS", 1)
    figure = append.append_throughput()
    assert figure.value > 0
    assert figure.peer_value > 0
    assert (figure.bar, figure.unit) == (0.5, "commits/s")
