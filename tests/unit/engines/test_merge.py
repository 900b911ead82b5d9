"""Merging: classes, weights, errors, order, and equal results for any split of the work."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from kerma_engines.results.estimators import Axis, Estimator, MergeClass, Page, Weights
from kerma_engines.results.merge import EMPTY_BINS, MergeError, MergeState
from kit.pages import errors_of


def page(
    values: object,
    merge: MergeClass = MergeClass.PER_PRIMARY,
    *,
    errors: object = None,
    unit: str = "MeV/g",
    number: int = 0,
) -> Page:
    array = np.asarray(values, dtype=float)
    axes = (Axis.linear("z", "cm", 0.0, 1.0, array.size),) if array.size > 1 else ()
    if merge is MergeClass.CONCAT:
        axes = ()
    wrong = None if errors is None else np.asarray(errors, dtype=float)
    return Page(number, "DOSE", unit, merge, axes, array, wrong)


def task(primaries: int, *pages: Page, name: str = "out") -> MergeState:
    return MergeState.of((Estimator(name, f"{name}.bdo", primaries, pages),))


def scored(samples: np.ndarray) -> Page:
    """Return the page of a run whose primaries contributed ``samples``, shape (primaries, bins)."""
    sums, squares = samples.sum(axis=0), (samples**2).sum(axis=0)
    axes = (Axis.linear("z", "cm", 0.0, 1.0, samples.shape[1]),)
    return Page(
        0,
        "DOSE",
        "MeV/g",
        MergeClass.PER_PRIMARY,
        axes,
        sums / len(samples),
        None,
        sums,
        squares,
    )


def averaged(values: np.ndarray, weights: np.ndarray) -> Page:
    """Return the page of averages over particles; both arrays have shape (primaries, bins)."""
    x, y = values * weights, weights
    below = Weights(y.sum(axis=0), (y**2).sum(axis=0), (x * y).sum(axis=0))
    axes = (Axis.linear("z", "cm", 0.0, 1.0, values.shape[1]),)
    means = np.divide(x.sum(axis=0), below.sums, where=below.sums > 0, out=np.zeros(x.shape[1]))
    return Page(
        0,
        "TLET",
        "MeV/cm",
        MergeClass.MEAN,
        axes,
        means,
        None,
        x.sum(axis=0),
        (x**2).sum(axis=0),
        below,
    )


def one(state: MergeState) -> Page:
    (estimator,) = state.result()
    (only,) = estimator.pages
    return only


def test_means_are_weighted_by_primaries() -> None:
    merged = MergeState.fold([task(3000, page([1.0, 2.0])), task(1000, page([5.0, 2.0]))])
    assert_allclose(one(merged).values, [2.0, 2.0], rtol=1e-15)
    (estimator,) = merged.result()
    assert estimator.primaries == 4000
    assert estimator.metadata["tasks_merged"] == "2"


def test_each_class_has_its_rule() -> None:
    first, second = [1.0, 4.0], [3.0, 8.0]
    expected = {
        MergeClass.FIRST: [1.0, 4.0],
        MergeClass.SUM: [4.0, 12.0],
        MergeClass.PER_PRIMARY: [2.5, 7.0],
        MergeClass.MEAN: [2.5, 7.0],
        MergeClass.CONCAT: [1.0, 4.0, 3.0, 8.0],
    }
    for merge, values in expected.items():
        merged = MergeState.fold([task(1, page(first, merge)), task(3, page(second, merge))])
        assert_array_equal(one(merged).values, values)


@given(
    st.lists(st.integers(2, 40), min_size=1, max_size=6),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
)
def test_any_split_of_primaries_equals_one_long_run(sizes: list[int], bins: int, seed: int) -> None:
    samples = np.random.default_rng(seed).gamma(0.7, size=(sum(sizes), bins))
    whole = one(MergeState.fold([task(len(samples), scored(samples))]))
    parts = np.split(samples, np.cumsum(sizes)[:-1])
    merged = one(MergeState.fold(task(len(part), scored(part)) for part in parts))
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert_allclose(merged.values, samples.mean(axis=0), rtol=1e-12)
    assert_allclose(errors_of(merged), error, rtol=1e-9)
    assert_allclose(errors_of(merged), errors_of(whole), rtol=1e-9)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_means_with_errors_merge_like_sums_of_squares(sizes: list[int], seed: int) -> None:
    samples = np.random.default_rng(seed).gamma(0.7, size=(sum(sizes), 3))
    parts = np.split(samples, np.cumsum(sizes)[:-1])
    merged = one(
        MergeState.fold(
            task(
                len(part),
                page(part.mean(axis=0), errors=part.std(axis=0, ddof=1) / np.sqrt(len(part))),
            )
            for part in parts
        )
    )
    assert_allclose(merged.values, samples.mean(axis=0), rtol=1e-12)
    assert_allclose(
        errors_of(merged), samples.std(axis=0, ddof=1) / np.sqrt(len(samples)), rtol=1e-9
    )


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=8),
    st.integers(1, 5),
    st.floats(0.02, 1.0),
    st.integers(0, 2**32 - 1),
)
def test_any_split_of_averages_equals_one_long_run(
    sizes: list[int], bins: int, filled: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (sum(sizes), bins)
    weights = rng.gamma(0.7, size=shape) * (rng.random(shape) < filled)
    values = rng.normal(50.0, 20.0, shape)
    whole = one(task(len(values), averaged(values, weights)))
    cuts = np.cumsum(sizes)[:-1]
    parts = [
        task(len(v), averaged(v, w))
        for v, w in zip(np.split(values, cuts), np.split(weights, cuts), strict=True)
    ]
    assert_allclose(one(MergeState.fold(parts)).values, whole.values, rtol=1e-11)
    # the numerator's spread about the average is a small difference of large sums
    assert_allclose(errors_of(one(MergeState.fold(parts))), errors_of(whole), rtol=1e-4, atol=1e-4)
    again = MergeState.of(MergeState.fold(parts[:-1]).result()).combine(parts[-1])
    assert_allclose(one(again).values, whole.values, rtol=1e-11)
    sums = weights.sum(axis=0)
    lit = sums > 0
    assert_allclose(whole.values[lit], (values * weights).sum(axis=0)[lit] / sums[lit], rtol=1e-11)
    assert_array_equal(whole.values[~lit], 0.0)
    single = (weights > 0).sum(axis=0) < 2
    assert np.isnan(errors_of(whole)[single]).all()


def test_tasks_without_particles_in_a_bin_do_not_bias_its_average() -> None:
    values, weights = np.full((8, 1), 30.0), np.zeros((8, 1))
    weights[5] = weights[6] = 2.0
    tasks = [task(1, averaged(values[k : k + 1], weights[k : k + 1])) for k in range(8)]
    merged = one(MergeState.fold(tasks))
    assert_array_equal(merged.values, [30.0])
    assert_array_equal(errors_of(merged), [0.0])


def test_averages_without_weights_say_what_empty_bins_do() -> None:
    """The numbers are those of pymchelper: a bin of 0 has full weight."""
    tasks = [
        task(10, page([30.0, 0.0], MergeClass.MEAN)),
        task(10, page([30.0, 8.0], MergeClass.MEAN)),
    ]
    merged = one(MergeState.fold(tasks))
    assert_array_equal(merged.values, [30.0, 4.0])
    assert merged.metadata["merge_note"] == EMPTY_BINS
    assert "merge_note" not in one(tasks[0]).metadata
    exact = [task(8, averaged(np.ones((8, 1)), np.ones((8, 1)))) for _ in range(2)]
    assert "merge_note" not in one(MergeState.fold(exact)).metadata
    sums = [task(10, page([1.0, 0.0])), task(10, page([1.0, 8.0]))]
    assert "merge_note" not in one(MergeState.fold(sums)).metadata


def test_errors_of_averages_cover_the_truth() -> None:
    rng = np.random.default_rng(8)
    shape = (60, 4000)  # runs of 60 primaries, a third of which reach the bin
    weights = rng.gamma(2.0, size=shape) * (rng.random(shape) < 1 / 3)
    found = one(task(60, averaged(rng.normal(50.0, 20.0, shape), weights)))
    covered = np.abs(found.values - 50.0) < errors_of(found)
    assert covered.mean() == pytest.approx(0.68, abs=0.05)


@pytest.mark.parametrize("merge", list(MergeClass))
def test_combining_is_associative_and_leaves_operands_alone(merge: MergeClass) -> None:
    rng = np.random.default_rng(5)
    a, b, c, d = (task(n, page(rng.random(4) + 1, merge)) for n in (10, 1000, 7, 300))
    before = [one(state).values.copy() for state in (a, b, c, d)]
    left, right = a.combine(b).combine(c).combine(d), a.combine(b.combine(c.combine(d)))
    assert_allclose(one(left).values, one(right).values, rtol=1e-13)
    if one(left).errors is not None:
        assert_allclose(errors_of(one(left)), errors_of(one(right)), rtol=1e-12)
    for state, values in zip((a, b, c, d), before, strict=True):
        assert_array_equal(one(state).values, values)


@pytest.mark.parametrize("merge", list(MergeClass))
def test_errors_of_a_single_task_without_statistics_are_unknown(merge: MergeClass) -> None:
    assert one(task(100, page([1.0, 2.0], merge))).errors is None


def test_error_of_the_mean_is_unbiased_for_unequal_tasks() -> None:
    rng = np.random.default_rng(11)
    weights, bins = (1000, 1000, 10, 10), 20_000
    states = [task(w, page(rng.normal(0.0, 1.0 / np.sqrt(w), bins) + 4.0)) for w in weights]
    merged = one(MergeState.fold(states))
    assert np.mean(errors_of(merged) ** 2) == pytest.approx(1.0 / sum(weights), rel=0.03)
    assert np.std(merged.values) == pytest.approx(1.0 / np.sqrt(sum(weights)), rel=0.03)


def test_error_of_counts_is_that_of_poisson() -> None:
    rng = np.random.default_rng(12)
    weights = (500, 1500, 1000, 1000)
    states = [task(w, page(rng.poisson(0.4 * w, 20_000), MergeClass.SUM)) for w in weights]
    merged = one(MergeState.fold(states))
    assert np.mean(errors_of(merged) ** 2) == pytest.approx(0.4 * sum(weights), rel=0.03)


def test_a_far_off_first_task_costs_no_precision() -> None:
    values = [1e9, *np.random.default_rng(7).random(99)]
    merged = one(MergeState.fold(task(10, page([value])) for value in values))
    assert_allclose(merged.values, [np.mean(values)], rtol=1e-13)
    assert_allclose(errors_of(merged), [np.std(values, ddof=1) / 10], rtol=1e-12)


def test_equal_tasks_have_no_error() -> None:
    merged = one(MergeState.fold(task(10 + n % 2, page([0.1, 1e-300])) for n in range(30)))
    assert_array_equal(merged.values, [0.1, 1e-300])
    assert_array_equal(errors_of(merged), [0.0, 0.0])


def test_nan_and_infinity_survive() -> None:
    inf, nan = np.inf, np.nan
    values = ([1.0, inf, 1.0, nan, inf, -inf], [3.0, 1.0, inf, 1.0, -inf, -inf])
    merged = one(MergeState.fold(task(5, page(v)) for v in values))
    assert_array_equal(merged.values, [2.0, inf, inf, nan, nan, -inf])
    assert_array_equal(np.isnan(errors_of(merged)), [False] + [True] * 5)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (page([1.0, 2.0], unit="Gy"), "units differ"),
        (page([1.0, 2.0, 3.0]), "shapes differ"),
        (page([1.0, 2.0], MergeClass.SUM), "merge classes differ"),
        (page([1.0, 2.0], number=1), "pages"),
        (scored(np.ones((3, 2))), "only some tasks have sums"),
    ],
)
def test_what_does_not_fit_is_refused(other: Page, reason: str) -> None:
    with pytest.raises(MergeError, match=f"^out.*{reason}"):
        MergeState.fold([task(10, page([1.0, 2.0])), task(10, other)])


def test_other_bins_are_refused() -> None:
    a, b = page([1.0, 2.0]), page([1.0, 2.0])
    moved = Page(0, "DOSE", "MeV/g", a.merge, (Axis.linear("z", "cm", 0, 9, 2),), b.values)
    with pytest.raises(MergeError, match="bins of axis 'z' differ"):
        MergeState.fold([task(10, a), task(10, moved)])


def test_unknown_primaries_are_refused_unless_given() -> None:
    estimator = Estimator("out", "out.csv", 0, (page([1.0]),))
    with pytest.raises(MergeError, match="number of primaries"):
        MergeState.of((estimator,))
    assert MergeState.of((estimator,), 50).result()[0].primaries == 50


def test_an_estimator_that_a_task_lacks_rests_on_the_others() -> None:
    both = MergeState.of(
        tuple(Estimator(name, name, 10, (page([1.0]),)) for name in ("dose", "fluence"))
    )
    merged = MergeState.fold([both, task(30, page([5.0]), name="dose")])
    assert [(e.name, e.primaries) for e in merged.result()] == [("dose", 40), ("fluence", 10)]
