"""TOPAS from project to merged results: converted, run by the stand-in, read, merged."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine_inputs import editor_project, output, phantom
from kerma_engines.errors import ReadError
from kerma_engines.results.estimators import MergeClass
from kerma_engines.results.merge import MergeState
from kerma_engines.topas.engine import TOPAS
from kit.pages import errors_of
from standins.behaviour import install
from standins.write_topas import Scorer, csv

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet
    from kerma_engines.results.estimators import Estimator

RNG = np.random.default_rng(11)


def run(programs: Path, inputs: InputSet, work: Path, primaries: int, seed: int) -> None:
    work.mkdir()
    command = TOPAS.prepare(inputs, work, primaries=primaries, seed=seed)
    argv = [str(programs / command.argv[0]), *command.argv[1:]]
    subprocess.run(argv, cwd=work, check=True, capture_output=True)
    for pattern in command.results:
        assert list(work.glob(pattern))


def test_ex1_from_project_to_merged_results(tmp_path: Path) -> None:
    mapping = editor_project("ex1")
    inputs = TOPAS.convert(mapping)
    programs = install(tmp_path / "bin", seconds=0.01)
    states = []
    for task, primaries in enumerate((400, 300, 300)):
        run(programs, inputs, tmp_path / str(task), primaries, 1 + task)
        states.append(MergeState.of(TOPAS.read(tmp_path / str(task), inputs), primaries))
    merged = MergeState.fold(states).result()
    outputs = mapping["scoringManager"]["outputs"]
    assert [e.name for e in merged] == [asked["name"] for asked in outputs]
    shapes = [(400,), (80, 400), (), ()]
    for estimator, asked, mesh in zip(merged, outputs, shapes, strict=True):
        assert (estimator.primaries, estimator.metadata["tasks_merged"]) == (1000, "3")
        for page, quantity in zip(estimator.pages, asked["quantities"], strict=True):
            assert page.shape == (*mesh, *(m["binsNumber"] for m in quantity["modifiers"]))
            assert np.all(errors_of(page) > 0)
            average = quantity["keyword"] in ("AvgEnergy", "dLET", "tLET")
            assert page.merge is (MergeClass.MEAN if average else MergeClass.PER_PRIMARY)
    energy, dose_let, track_let = (merged[2].pages[k] for k in (1, 4, 5))
    assert (energy.unit, dose_let.unit) == ("MeV", "MeV/mm/(g/cm3)")
    assert_allclose(energy.values, 100, rtol=0.2)  # 0.1 MeV/mm2 over 0.001 /mm2
    assert_allclose([dose_let.values, track_let.values], 5, rtol=0.2)


def write(folder: Path, file: str, scorer: Scorer, histories: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(csv(scorer, "topas.txt"))
    (folder / "topas.txt").write_text(f"i:So/Beam/NumberOfHistoriesInRun = {histories}\n")


def asked(keyword: str) -> InputSet:
    """Return an output with one quantity, on the small mesh that ``tasks`` fill."""
    filters = [{"uuid": "p", "name": "p", "particle": {"id": 2}}]
    base = output("o", keyword, filter="p")
    return TOPAS.convert(phantom(scoringManager={"filters": filters, "outputs": [base]}))


def tasks(
    sizes: list[int], bins: int = 50
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[np.ndarray[Any, Any]]]:
    """Return sums X, Y per task, shape (tasks, bins), and per history, shape (2, n, bins)."""
    histories = []
    for size in sizes:
        y = RNG.gamma(0.5, 2.0, (size, bins))
        histories.append(np.stack([y * RNG.normal(40.0, 9.0, (size, bins)), y]))
    x, y = np.stack([h.sum(axis=1) for h in histories], axis=1)
    return x, y, histories


def merged(folder: Path, inputs: InputSet, files: tuple[str, str], parts: Any) -> Estimator:
    """Merge tasks of (histories, values of the first file, values of the second)."""
    states = []
    for k, (count, first, second) in enumerate(parts):
        for file, values in zip(files, (first, second), strict=True):
            scorer = Scorer(file, {"Sum": values.reshape(1, 1, -1)}, "EnergyFluence", "MeV/mm2")
            if second is values:
                scorer = Scorer(file, {"Sum": values.reshape(1, 1, -1)}, "Fluence", "/mm2")
            write(folder / str(k), file, scorer, count)
        states.append(MergeState.of(TOPAS.read(folder / str(k), inputs), count))
    (result,) = MergeState.fold(states).result()
    return result


FILES = ("o_0.csv", "o_0_over.csv")


def test_merged_ratio_is_that_of_all_histories(tmp_path: Path) -> None:
    sizes = [40, 400, 7, 90]
    x, y, _ = tasks(sizes)
    (page,) = merged(tmp_path, asked("AvgEnergy"), FILES, zip(sizes, x, y, strict=True)).pages
    assert_allclose(page.values, x.sum(axis=0) / y.sum(axis=0), rtol=1e-12)
    assert (page.unit, page.name) == ("MeV", "o_0.csv")


def test_standard_error_is_that_of_batch_means(tmp_path: Path) -> None:
    """For equal tasks: the deviation of residuals X - r Y over tasks, as computed by numpy."""
    sizes = [100] * 8
    x, y, _ = tasks(sizes)
    (page,) = merged(tmp_path, asked("AvgEnergy"), FILES, zip(sizes, x, y, strict=True)).pages
    ratio = x.sum(axis=0) / y.sum(axis=0)
    residuals = (x - ratio * y) / y.mean(axis=0)
    expected = residuals.std(axis=0, ddof=1) / np.sqrt(len(sizes))
    assert_allclose(errors_of(page), expected, rtol=5e-3)  # tasks differ in Y


@pytest.mark.parametrize("sizes", [[200] * 10, [500, 50, 300, 20, 400, 30, 250, 150, 200, 100]])
def test_standard_error_is_unbiased_for_tasks_of_any_sizes(
    tmp_path: Path, sizes: list[int]
) -> None:
    """Its square, over many bins, is that of the delta method over single histories."""
    x, y, histories = tasks(sizes, bins=2000)
    (page,) = merged(tmp_path, asked("AvgEnergy"), FILES, zip(sizes, x, y, strict=True)).pages
    each = np.concatenate(histories, axis=1)
    ratio = x.sum(axis=0) / y.sum(axis=0)
    variance = ((each[0] - ratio * each[1]) ** 2).sum(axis=0) / y.sum(axis=0) ** 2
    # freedom 9 or less: squares scatter by half, their mean over 2000 bins by 1.5 %
    assert_allclose(np.mean(errors_of(page) ** 2), variance.mean(), rtol=0.06)


def test_one_task_has_no_error(tmp_path: Path) -> None:
    x, y, _ = tasks([100])
    (page,) = merged(tmp_path, asked("AvgEnergy"), FILES, [(100, x[0], y[0])]).pages
    assert np.isnan(errors_of(page)).all()


def test_bins_that_a_task_did_not_reach_do_not_lower_the_let(tmp_path: Path) -> None:
    parts = [
        (100, np.array([6.0, 0.0]), np.array([2.0, 0.0])),
        (100, np.array([9.0, 5.0]), np.array([1.0, 3.0])),
    ]
    (page,) = merged(tmp_path, asked("tLET"), FILES, parts).pages
    assert_allclose(page.values, [7.0, 5.0])  # weighted by track length


def test_files_must_have_the_same_bins(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="instead of"):
        merged(tmp_path, asked("AvgEnergy"), FILES, [(9, np.ones(3), np.ones(2))])


def test_a_missing_denominator_is_a_missing_result(tmp_path: Path) -> None:
    inputs = asked("AvgEnergy")
    write(tmp_path / "a", FILES[0], Scorer("o_0", {"Sum": np.ones((1, 1, 2))}), 10)
    with pytest.raises(ReadError, match="missing"):
        TOPAS.read(tmp_path / "a", inputs)
