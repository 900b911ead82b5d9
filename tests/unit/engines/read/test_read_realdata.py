"""Every genuine result file: the same numbers as pymchelper, where that is right."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from kerma_engines.catalogue.reading import read_file
from kerma_engines.results.estimators import MergeClass
from kerma_engines.results.merge import MergeState
from kit.pages import errors_of

if TYPE_CHECKING:
    from kerma_engines.results.estimators import Estimator, Page

REALDATA = Path(__file__).parents[5] / "shared" / "realdata"
FILES = sorted(
    path for path in REALDATA.rglob("*") if path.suffix in (".bdo", ".csv") or "_fort." in path.name
)
AVERAGING = REALDATA / "shieldhit" / "averaging"
pytestmark = pytest.mark.skipif(not FILES, reason="no genuine files here")


def oracle(path: Path) -> Any:
    """Return what pymchelper reads from the file."""
    from pymchelper.estimator import Estimator as Peer
    from pymchelper.input_output import fromfile
    from pymchelper.readers.topas import TopasReader

    if path.suffix != ".csv":
        return fromfile(str(path))
    peer = Peer()
    TopasReader(path).read_data(peer)  # read() would erase the standard deviation
    return peer


def peer_values(path: Path, peer: Any, page: Any) -> np.ndarray[Any, Any]:
    """Return its numbers, first axis fastest; without bin2010, whose order it gets wrong."""
    raw = np.atleast_1d(page.data_raw)
    if path.suffix != ".csv":
        return raw
    shape = (peer.x.n, peer.y.n, peer.z.n, page.diff_axis1.n, page.diff_axis2.n)
    return raw.reshape(shape, order="C").reshape(-1, order="F")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_values_axes_and_primaries_are_those_of_pymchelper(path: Path) -> None:
    mine, peer = read_file(path), oracle(path)
    assert mine.primaries == peer.number_of_primaries
    assert len(mine.pages) == len(peer.pages)
    for page, theirs in zip(mine.pages, peer.pages, strict=True):
        values = peer_values(path, peer, theirs)
        assert_allclose(page.values, values, rtol=1e-12, atol=0)
        if page.merge is MergeClass.CONCAT:
            continue
        axes = [peer.x, peer.y, peer.z, theirs.diff_axis1, theirs.diff_axis2]
        axes = [axis for axis in axes if axis.n > 1]
        assert page.shape == tuple(axis.n for axis in axes)
        for axis, expected in zip(page.axes, axes, strict=True):
            assert_allclose(axis.centres, expected.data, rtol=1e-12, atol=1e-13)
            assert_allclose(axis.edges[[0, -1]], [expected.min_val, expected.max_val], rtol=1e-12)


def test_standard_deviation_of_topas_becomes_the_error_of_the_mean() -> None:
    path = REALDATA / "topas" / "minimal" / "fluence_bp_protons_xy.csv"
    peer = oracle(path)
    (page,) = read_file(path).pages
    expected = peer.pages[0].error_raw.reshape(4, 4).reshape(-1, order="F") / np.sqrt(20)
    assert_allclose(errors_of(page), expected, rtol=1e-12)


def test_differential_axes_have_names_and_their_own_units() -> None:
    (page,) = read_file(REALDATA / "shieldhit" / "differential" / "fluence_2d_lin.bdo").pages
    assert [(axis.name, axis.unit) for axis in page.axes] == [
        ("Kinetic energy", "MeV"),
        ("Angle", "deg"),
    ]
    assert page.unit == "/cm^2/MeV/deg/prim"


def test_oldest_format_is_in_fortran_order() -> None:
    """The beam runs along z in the middle of y: only in that order is the profile symmetric."""
    (page,) = read_file(REALDATA / "shieldhit" / "bin2010" / "ex_yzmsh.bdo").pages
    across = page.values.reshape(page.shape, order="F").sum(axis=1)
    assert_allclose(across, across[::-1], rtol=0.4)
    assert across.argmax() in (9, 10)


@pytest.mark.parametrize("number", [1, 2])
def test_phase_space_equals_its_printed_values(number: int) -> None:
    folder = REALDATA / "shieldhit" / "phase_space"
    estimator = read_file(folder / f"NB_mcpl_000{number}.bdo")
    printed = np.loadtxt(folder / f"NB_mcpl_000{number}.txt", comments="#", delimiter=None)
    particles = np.concatenate([page.values.reshape(-1, 8) for page in estimator.pages])
    assert_allclose(particles, printed, rtol=1e-6, atol=1e-9)


def subsets(name: str) -> list[tuple[Path, ...]]:
    """Yield every subset of two or more of the five files, each in a different order."""
    files = sorted(AVERAGING.glob(f"{name}_*.bdo"))
    shuffle = random.Random(name).sample
    return [
        tuple(shuffle(chosen, len(chosen)))
        for size in range(2, len(files) + 1)
        for chosen in itertools.combinations(files, size)
    ]


NAMES = sorted({path.name[:-9] for path in AVERAGING.glob("*.bdo")})


def merged(files: tuple[Path, ...]) -> Estimator:
    (estimator,) = MergeState.fold(MergeState.of((read_file(path),)) for path in files).result()
    return estimator


@pytest.mark.parametrize("name", NAMES)
def test_any_subset_in_any_order_merges_as_in_pymchelper(name: str) -> None:
    from pymchelper.input_output import fromfilelist

    for files in subsets(name):
        mine = merged(files)
        peer = fromfilelist([str(path) for path in files], nan=False)
        assert peer is not None
        assert mine.primaries == peer.number_of_primaries
        for page, theirs in zip(mine.pages, peer.pages, strict=True):
            assert_allclose(page.values, np.atleast_1d(theirs.data_raw), rtol=1e-12)


def independent_error(
    page: Page, values: np.ndarray[Any, Any], weights: np.ndarray[Any, Any]
) -> Any:
    """Return the error by weighted squares between tasks, in plain numpy."""
    rates = values / weights[:, None] if page.merge is MergeClass.SUM else values
    mean = np.average(rates, axis=0, weights=weights)
    squares = (weights[:, None] * (rates - mean) ** 2).sum(axis=0)
    error = np.sqrt(squares / (len(weights) - 1) / weights.sum())
    return error * weights.sum() if page.merge is MergeClass.SUM else error


@pytest.mark.parametrize(
    "name", [name for name in NAMES if "none" not in name and "concat" not in name]
)
def test_errors_are_those_between_tasks(name: str) -> None:
    for files in subsets(name):
        tasks = [read_file(path) for path in files]
        weights = np.array([task.primaries for task in tasks], float)
        for number, page in enumerate(merged(files).pages):
            values = np.array([task.pages[number].values for task in tasks])
            assert_allclose(errors_of(page), independent_error(page, values, weights), rtol=1e-9)


def test_errors_equal_the_textbook_formula_for_equal_tasks() -> None:
    """Where weights are equal there is one right answer; pymchelper's for scalars agrees too."""
    from pymchelper.averaging import WeightedStatsAggregator

    files = sorted(AVERAGING.glob("normalisation-5*_001?.bdo"))
    for number, page in enumerate(merged(tuple(files)).pages):
        values = np.array([read_file(path).pages[number].values[0] for path in files])
        peer = WeightedStatsAggregator()
        for value in values:
            peer.update(float(value), weight=10.0)
        assert_allclose(errors_of(page), values.std(ddof=1) / np.sqrt(len(values)), rtol=1e-9)
        assert_allclose(errors_of(page), peer.stderr, rtol=1e-9)


def test_phase_space_is_appended_in_the_order_given() -> None:
    files = sorted(AVERAGING.glob("normalisation-4*.bdo"))
    for order in (files, files[::-1]):
        expected = np.concatenate([read_file(path).pages[0].values for path in order])
        assert_array_equal(merged(tuple(order)).pages[0].values, expected)
