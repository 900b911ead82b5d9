"""Blocks and threads: every bin once, and the same numbers for any number of threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kerma_engines.results import parallel
from kerma_engines.results.estimators import Axis, Estimator, MergeClass, Page
from kerma_engines.results.merge import MergeState

if TYPE_CHECKING:
    from kerma_engines.results.estimators import FloatArray


@pytest.fixture(params=[(1, 1000), (2, 10), (5, 7)], ids=["one", "two", "many"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    processors, block = request.param
    monkeypatch.setattr(parallel, "_PROCESSORS", processors)
    monkeypatch.setattr(parallel, "BLOCK", block)
    monkeypatch.setattr(parallel, "THREAD", 2 * block)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("size", [0, 1, 6, 7, 100, 101])
def test_every_bin_is_visited_once_with_scratch_of_its_length(size: int) -> None:
    seen = np.zeros(size)

    def work(part: slice, one: FloatArray, two: FloatArray) -> None:
        one[:] = 1.0
        two[:] = 1.0
        seen[part] += one * two

    parallel.each_block(size, work)
    assert seen.tolist() == [1.0] * size


@pytest.mark.usefixtures("threads")
def test_what_a_block_raises_is_raised() -> None:
    def work(part: slice, _one: FloatArray, _two: FloatArray) -> None:
        if part.stop == 100:
            raise ValueError("the last block")

    with pytest.raises(ValueError, match="the last block"):
        parallel.each_block(100, work)


def merged(merge: MergeClass, *, at_once: bool) -> Page:
    random = np.random.default_rng(5)
    axes = (Axis.linear("z", "cm", 0.0, 1.0, 101),)
    states = [
        MergeState.of(
            [Estimator("o", "o.bdo", w, (Page(0, "DOSE", "", merge, axes, random.random(101)),))]
        )
        for w in (10, 10, 3, 10, 25)
    ]
    folded = MergeState.fold(states if at_once else iter(states))
    return folded.result()[0].pages[0]


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("merge", [MergeClass.MEAN, MergeClass.SUM])
@pytest.mark.parametrize("at_once", [True, False])
def test_threads_and_batches_do_not_change_a_bit(
    merge: MergeClass, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = merged(merge, at_once=at_once)
    monkeypatch.setattr(parallel, "_PROCESSORS", 1)
    monkeypatch.setattr(parallel, "BLOCK", 1000)
    whole = merged(merge, at_once=False)
    assert cut.errors is not None
    assert whole.errors is not None
    assert cut.values.tobytes() == whole.values.tobytes()
    assert cut.errors.tobytes() == whole.errors.tobytes()
