"""Confidence intervals of means over few tasks."""

from __future__ import annotations

import numpy as np
import pytest

from kerma_engines.results.estimators import Estimator, MergeClass, Page
from kerma_engines.results.merge import MergeState
from kerma_engines.results.student import CONFIDENCE, half_width, probability

RNG = np.random.default_rng(2718)

# two-sided quantiles of Student's t, W. S. Gosset's table as in Abramowitz and Stegun, 26.10
QUANTILES = [(1, 0.90, 6.314), (2, 0.90, 2.920), (3, 0.95, 3.182), (4, 0.95, 2.776)]
QUANTILES += [(10, 0.99, 3.169), (30, 0.95, 2.042), (120, 0.95, 1.980)]


@pytest.mark.parametrize(("freedom", "confidence", "t"), QUANTILES)
def test_probabilities_are_those_of_the_tables(freedom: int, confidence: float, t: float) -> None:
    assert probability(t, freedom) == pytest.approx(confidence, abs=2e-5 * t)


def test_half_widths_give_the_confidence_of_one_standard_deviation() -> None:
    for freedom in (1, 2, 3, 7, 30, 200):
        assert probability(half_width(freedom), freedom) == pytest.approx(CONFIDENCE, abs=1e-12)
    assert half_width(1) == pytest.approx(np.tan(np.pi / 2 * CONFIDENCE))
    assert half_width(200) == pytest.approx(half_width(201), rel=1e-4)
    assert half_width(None) == 1.0
    assert np.isnan(half_width(0))


def task(values: np.ndarray) -> MergeState:
    page = Page(0, "dose", "Gy", MergeClass.PER_PRIMARY, (), values)
    return MergeState.of([Estimator("e", "e.dat", 1000, (page,))])


@pytest.mark.parametrize("tasks", [2, 3, 4, 10])
def test_intervals_of_few_tasks_cover_the_truth(tasks: int) -> None:
    """Bins are independent repetitions: the share of them that covers the truth is binomial."""
    bins, truth = 40_000, 7.0
    samples = RNG.normal(truth, 1.0, (tasks, bins))
    (merged,) = MergeState.fold(task(sample) for sample in samples).result()
    (page,) = merged.pages
    assert page.freedom == tasks - 1
    assert page.errors is not None
    off = np.abs(page.values - truth)
    covered = (off < half_width(page.freedom) * page.errors).mean()
    bare = (off < page.errors).mean()
    five_sigma = 5 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / bins)
    assert covered == pytest.approx(CONFIDENCE, abs=five_sigma)
    assert bare < CONFIDENCE - five_sigma
