"""TOPAS' CSV files from our own writer."""

from __future__ import annotations

import codecs
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from kerma_engines.catalogue.reading import read_file
from kerma_engines.errors import ReadError
from kerma_engines.results.estimators import Binning, MergeClass
from kit.pages import errors_of
from standins.write_topas import Scorer, csv

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(5)


def write(folder: Path, text: str, histories: int | None = 400) -> Path:
    path = folder / "dose.csv"
    path.write_text(text)
    if histories is not None:
        line = f"i:So/Beam/NumberOfHistoriesInRun = {histories}\n"
        (folder / "run.txt").write_text(f'# {line}s:So/Beam/Type = "Beam"\n{line}')
    return path


def test_mean_and_standard_deviation(tmp_path: Path) -> None:
    mean, deviation = RNG.random((2, 3, 4)), RNG.random((2, 3, 4))
    scorer = Scorer("Dose", {"Sum": mean * 400, "Mean": mean, "Standard_Deviation": deviation})
    estimator = read_file(write(tmp_path, csv(scorer, "run.txt")))
    (page,) = estimator.pages
    assert (estimator.name, estimator.primaries) == ("dose", 400)
    assert (page.name, page.unit, page.merge) == ("Dose", "Gy/prim", MergeClass.PER_PRIMARY)
    assert_array_equal(page.values.reshape(page.shape, order="F"), mean)
    assert_allclose(errors_of(page), deviation.reshape(-1, order="F") / 20, rtol=1e-15)
    assert [(axis.name, axis.unit) for axis in page.axes] == [("X", "cm"), ("Y", "cm"), ("Z", "cm")]
    assert_allclose(page.axes[2].edges, [0, 0.5, 1, 1.5, 2])


def test_only_a_sum(tmp_path: Path) -> None:
    total, deviation = RNG.random((1, 1, 4)), RNG.random((1, 1, 4))
    scorer = Scorer("Hits", {"Sum": total, "Standard_Deviation": deviation}, unit="")
    (page,) = read_file(write(tmp_path, csv(scorer, "run.txt"))).pages
    assert (page.merge, page.unit) == (MergeClass.SUM, "")
    assert_allclose(page.values, total.ravel())
    assert_allclose(errors_of(page), deviation.ravel() * 20, rtol=1e-15)


def test_without_mesh(tmp_path: Path) -> None:
    scorer = Scorer("All", {"Mean": np.array(3.5), "Standard_Deviation": np.array(2.0)}, axes=())
    (page,) = read_file(write(tmp_path, csv(scorer, "run.txt"))).pages
    assert page.axes == ()
    assert_allclose(page.values, [3.5])
    assert_allclose(errors_of(page), [0.1])


@pytest.mark.parametrize(("what", "behind"), [("time", 1), ("incident track energy", 2)])
def test_binned_by_time_or_energy(tmp_path: Path, what: str, behind: int) -> None:
    mean, deviation = RNG.random((2, 3, 1, 5)), RNG.random((2, 3, 1, 5))
    scorer = Scorer(
        "Spectrum",
        {"Mean": mean, "Standard_Deviation": deviation},
        binned=(what, "MeV", 0.0, 10.0, behind),
    )
    (page,) = read_file(write(tmp_path, csv(scorer, "run.txt"))).pages
    assert page.shape == (2, 3, 5)
    assert_array_equal(page.values.reshape((2, 3, 5), order="F"), mean[:, :, 0])
    assert_allclose(errors_of(page), deviation.reshape(-1, order="F") / 20, rtol=1e-15)
    axis = page.axes[-1]
    assert (axis.name, axis.unit) == (what[0].upper() + what[1:], "MeV")
    assert_allclose(axis.edges, [0, 2, 4, 6, 8, 10])


def test_bins_of_equal_ratios_are_told_by_their_width(tmp_path: Path) -> None:
    scorer = Scorer(
        "Spectrum", {"Sum": np.ones(4)}, axes=(), binned=("pre-step energy", "MeV", 0.1, 1000.0, 1)
    )
    text = csv(scorer, "run.txt")
    assert "4 bins of 249.975 MeV" in text
    (linear,) = read_file(write(tmp_path, text)).pages
    (page,) = read_file(write(tmp_path, text.replace("of 249.975 MeV", "of 1 MeV"))).pages
    assert_allclose(page.axes[0].edges, [0.1, 1, 10, 100, 1000])
    assert (linear.axes[0].binning, page.axes[0].binning) == (Binning.LINEAR, Binning.LOG)


def test_the_let_has_no_deviation_of_its_own(tmp_path: Path) -> None:
    bins = {"Mean": np.full((1, 1, 2), 5.0), "Standard_Deviation": np.ones((1, 1, 2))}
    scorer = Scorer("LET", bins, "ProtonLET", "MeV/mm/(g/cm3)")
    (page,) = read_file(write(tmp_path, csv(scorer, "run.txt"))).pages
    assert (page.unit, page.merge, page.errors) == ("MeV/mm/(g/cm3)", MergeClass.MEAN, None)


def test_without_parameter_file_primaries_and_errors_are_unknown(tmp_path: Path) -> None:
    scorer = Scorer("Dose", {"Mean": np.ones((1, 1, 2)), "Standard_Deviation": np.ones((1, 1, 2))})
    estimator = read_file(write(tmp_path, csv(scorer, "run.txt"), None))
    assert estimator.primaries == 0
    assert estimator.pages[0].errors is None


def test_parameter_files_elsewhere_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("i:So/Beam/NumberOfHistoriesInRun = 7\n")
    folder = tmp_path / "work"
    folder.mkdir()
    scorer = Scorer("Dose", {"Mean": np.ones((1, 1, 2))})
    assert read_file(write(folder, csv(scorer, "../secret.txt"), None)).primaries == 0


@pytest.mark.parametrize(
    ("main", "inner", "histories"),
    [
        ("i:SO/beam/NUMBEROFHISTORIESINRUN = 30\n", "", 30),
        ("includeFile = inner.txt\n", "i:So/Beam/NumberOfHistoriesInRun = 40\n", 40),
        (
            "So/Beam/NumberOfHistoriesInRun = 5\nIncludeFile = inner.txt\n",
            "i:So/Beam/NumberOfHistoriesInRun = 40\n",
            5,
        ),
        ("i:So/Beam/NumberOfHistoriesInRun = 5\ni:Tf/NumberOfSequentialTimes = 8\n", "", 40),
        (
            'b:Tf/RandomizeTimeDistribution = "t"\ni:So/A/NumberOfHistoriesInRandomJob = 9\ni:Tf/NumberOfSequentialTimes = 8\n',
            "",
            9,
        ),
        ("i:So/Beam/NumberOfHistoriesInRun = Tf/Current/Value\n", "", 0),
        ("i:So/Beam/NumberOfHistoriesInRun = 5\ni:Tf/NumberOfSequentialTimes = Tf/N + 2\n", "", 0),
        ("includeFile = ../outside.txt\n", "", 0),
        ("includeFile = link.txt\n", "", 0),
        ("includeFile = pipe.txt\n", "", 0),
    ],
)
def test_histories_are_those_of_the_chain_of_files_beside(
    tmp_path: Path, main: str, inner: str, histories: int
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "outside.txt").write_text("i:So/Beam/NumberOfHistoriesInRun = 7\n")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    os.mkfifo(folder / "pipe.txt")
    (folder / "run.txt").write_text(main)
    (folder / "inner.txt").write_text(inner)
    scorer = Scorer("Dose", {"Mean": np.ones((1, 1, 2))})
    assert read_file(write(folder, csv(scorer, "run.txt"), None)).primaries == histories


ROWS = {(x, z): f"{x}, 0, {z}, {100 * (z + 1) + x}.0" for x in range(2) for z in range(3)}
LAST_FASTEST = list(ROWS)
FIRST_FASTEST = sorted(ROWS, key=lambda bin_: bin_[::-1])
MESH = "# X in 2 bins of 1 cm\n# Y in 1 bin  of 1 cm\n# Z in 3 bins of 1 cm\n"
VALUES = [100.0, 101.0, 200.0, 201.0, 300.0, 301.0]


@pytest.mark.parametrize(
    "order", [LAST_FASTEST, FIRST_FASTEST, LAST_FASTEST[::-1]], ids=["last", "first", "any"]
)
@pytest.mark.parametrize("version", ["3.9", "4.2.1", "", "a new one"])
def test_bin_numbers_tell_the_order_of_rows(
    tmp_path: Path, order: list[tuple[int, int]], version: str
) -> None:
    rows = "".join(f"{ROWS[bin_]}\n" for bin_ in order)
    text = f"# TOPAS Version: {version}\n{MESH}# DoseToMedium ( Gy ) : Sum\n{rows}"
    (page,) = read_file(write(tmp_path, text, None)).pages
    assert page.shape == (2, 3)
    assert_array_equal(page.values, VALUES)


def spectra(version: str, order: list[tuple[int, int]], mesh: str = MESH) -> str:
    rows = "".join(f"0, {100 * (z + 1) + x}, 0\n" for x, z in order)
    energy = "# Binned by pre-step energy in 1 bin of 10 MeV from 0 MeV to 10 MeV\n"
    return f"# TOPAS Version: {version}\n{mesh}# Fluence ( /mm2 ) : Sum\n{energy}{rows}"


@pytest.mark.parametrize(
    ("version", "order"),
    [
        ("3.9", LAST_FASTEST),
        ("4.0.0", LAST_FASTEST),
        ("4.1", LAST_FASTEST),
        ("4.2", FIRST_FASTEST),
        ("4.2.1", FIRST_FASTEST),
        ("5.0", FIRST_FASTEST),
        ("v4.10", FIRST_FASTEST),
    ],
)
def test_the_version_tells_the_order_of_rows_without_bin_numbers(
    tmp_path: Path, version: str, order: list[tuple[int, int]]
) -> None:
    (page,) = read_file(write(tmp_path, spectra(version, order), None)).pages
    assert_array_equal(page.values, VALUES)


def test_an_unknown_order_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="their order is not known"):
        read_file(write(tmp_path, spectra("", FIRST_FASTEST), None))
    line = "# X in 6 bins of 1 cm\n# Y in 1 bin of 1 cm\n# Z in 1 bin of 1 cm\n"
    (page,) = read_file(write(tmp_path, spectra("", FIRST_FASTEST, line), None)).pages
    assert_array_equal(page.values, VALUES)


def damaged() -> dict[str, tuple[str, str, str]]:
    good = csv(Scorer("Dose", {"Mean": np.ones((2, 1, 2))}), "run.txt")
    lines = good.splitlines()
    return {
        "header only": ("\n".join(lines[:8]) + "\n", "no rows", "line 9"),
        "header without quantity": ("\n".join(lines[:4]) + "\n", "without quantity", "line 4"),
        "row missing": ("\n".join(lines[:-1]) + "\n", "3 rows for a mesh", "line 11"),
        "not a number": (good.replace("0, 0, 1, 1.0", "0, 0, 1, oops"), "oops", "line 10"),
        "short row": (good.replace("0, 0, 1, 1.0", "0, 0, 1"), "3 columns instead of 4", "line 10"),
        "no such bin": (good.replace("0, 0, 1, 1.0", "0, 0, 7, 1.0"), "bin number 7", "line 10"),
        "twice": (good.replace("0, 0, 1, 1.0", "1, 0, 0, 1.0"), "same bin numbers", "line 10"),
        "too many bins": (
            good.replace("2 bins of 0.1", "999999999 bins of 0.1"),
            "axis X",
            "line 5",
        ),
        "endless line": ("# TOPAS " + "x" * 10_000 + "\n" + good, "too long", "line 1"),
        "no mean": (good.replace(": Mean", ": Median"), "neither Mean nor Sum", "header"),
    }


@pytest.mark.parametrize("kind", damaged())
def test_damaged_files_are_refused_with_the_line(tmp_path: Path, kind: str) -> None:
    text, reason, where = damaged()[kind]
    with pytest.raises(ReadError, match=reason) as caught:
        read_file(write(tmp_path, text))
    assert caught.value.where == where


def test_byte_order_marks_say_nothing(tmp_path: Path) -> None:
    scorer = Scorer("Dose", {"Mean": np.array(3.5), "Standard_Deviation": np.array(2.0)}, axes=())
    path = write(tmp_path, csv(scorer, "run.txt"))
    plain = read_file(path)
    for file in (path, tmp_path / "run.txt"):
        file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    marked = read_file(path)
    assert (marked.primaries, marked.pages[0].name) == (400, "Dose")
    assert_array_equal(marked.pages[0].values, plain.pages[0].values)
    assert_array_equal(errors_of(marked.pages[0]), errors_of(plain.pages[0]))
