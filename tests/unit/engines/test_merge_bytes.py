"""Stored merge states: same bytes for the same state, same numbers after loading."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from kerma_engines.results.estimators import Axis, Estimator, MergeClass, Page, Weights
from kerma_engines.results.merge import MergeState
from kerma_engines.results.merge_bytes import StateError, dump_state, load_state


def state(seed: int, primaries: int) -> MergeState:
    rng = np.random.default_rng(seed)
    axes = (Axis.log("E", "MeV", 0.1, 200.0, 5), Axis.linear("z", "cm", -1.0, 1.0, 3))
    pages = [
        Page(number, merge.value, "u", merge, axes, rng.random(15), metadata={"k": "v"})
        for number, merge in enumerate(MergeClass)
    ]
    sums = rng.random(15)
    pages.append(Page(9, "s", "u", MergeClass.PER_PRIMARY, axes, sums / 7, None, sums, sums**2))
    below = Weights(rng.random(15), rng.random(15), rng.random(15))
    pages.append(
        Page(10, "a", "u", MergeClass.MEAN, axes, sums / below.sums, None, sums, sums**2, below)
    )
    return MergeState.of((Estimator("out", "out.bdo", primaries, tuple(pages), {"a": "b"}),))


def test_stored_states_merge_as_if_never_stored() -> None:
    direct = MergeState.fold([MergeState.fold([state(1, 10), state(2, 30)]), state(3, 20)])
    stored = load_state(dump_state(MergeState.fold([state(1, 10), state(2, 30)])))
    resumed = MergeState.fold([stored, load_state(dump_state(state(3, 20)))])
    assert dump_state(resumed) == dump_state(direct)
    for mine, theirs in zip(resumed.result()[0].pages, direct.result()[0].pages, strict=True):
        assert_array_equal(mine.values, theirs.values)
        assert_array_equal(mine.axes[0].edges, theirs.axes[0].edges)
        assert (mine.name, mine.axes[0].binning, mine.metadata) == (
            theirs.name,
            theirs.axes[0].binning,
            theirs.metadata,
        )
    assert resumed.result()[0].metadata == {"a": "b", "tasks_merged": "3"}


def test_damaged_states_are_refused() -> None:
    data = dump_state(state(1, 10))
    for length in (0, 3, 7, 40, len(data) - 1):
        with pytest.raises(StateError):
            load_state(data[:length])
    with pytest.raises(StateError, match="left over"):
        load_state(data + b"\0")
    with pytest.raises(StateError):
        load_state(b"XXXX" + data[4:])
