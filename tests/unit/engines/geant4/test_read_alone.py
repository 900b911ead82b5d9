"""Standalone Geant4 results: Kerma's files and Geant4's dumps, with and without macro."""

from __future__ import annotations

import codecs
from array import array
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from kerma_engines.catalogue.reading import read_file
from kerma_engines.catalogue.task_files import merge_files
from kerma_engines.errors import EngineError, ReadError
from kerma_engines.geant4.engine import Geant4
from kerma_engines.geant4.transport import result_file
from kerma_engines.results.estimators import MergeClass
from kit.pages import errors_of

INPUTS = Path(__file__).parent / "inputs"
MACRO = (INPUTS / "depth.mac").read_text()
BINS = 50


def histories(primaries: int, seed: int = 1) -> np.ndarray:
    """Return doses of single primaries, shape (primaries, bins)."""
    return np.random.default_rng(seed).gamma(0.5, size=(primaries, BINS))


def kg4(path: Path, samples: np.ndarray, names: tuple[str, ...] = ("dose",)) -> Path:
    sums, squares = samples.sum(axis=0), (samples**2).sum(axis=0)
    result_file.write(
        path,
        mesh="m",
        primaries=len(samples),
        code="Geant4 11.4.1 (test)",
        shape=(BINS, 1, 1),
        scorers=[(name, array("d", sums), array("d", squares)) for name in names],
    )
    return path


def dump(path: Path, samples: np.ndarray, *names: str) -> Path:
    """Return a dump as Geant4 11.4 writes it."""
    sums, squares = samples.sum(axis=0), (samples**2).sum(axis=0)
    lines = ["# mesh name: m"]
    for name in names:
        lines += [
            f"# primitive scorer name: {name}",
            f"# iZ, iPHI, iR, total(value) [{'Gy' if name == 'dose' else 'percm2'}], total(val^2), entry",
            *(
                f"{k},0,0,{s!r},{q!r},9"
                for k, (s, q) in enumerate(zip(sums.tolist(), squares.tolist(), strict=True))
            ),
        ]
    path.write_text("\n".join(lines) + "\n")
    return path


def macro(folder: Path, primaries: int, name: str = "run.mac") -> None:
    (folder / name).write_text(MACRO.replace("/run/beamOn 500", f"/run/beamOn {primaries}"))


@pytest.mark.parametrize("write", [kg4, lambda path, samples: dump(path, samples, "dose")])
@pytest.mark.parametrize("name", ["run.mac", "other.mac"])
def test_with_the_macro_pages_are_those_of_a_job(tmp_path: Path, write: object, name: str) -> None:
    samples = histories(40)
    macro(tmp_path, 40, name)
    path = write(tmp_path / "m.kg4", samples)  # type: ignore[operator]
    estimator = read_file(path)
    (page,) = estimator.pages
    inputs = Geant4().accept_files({"g.gdml": (INPUTS / "box.gdml").read_text(), "run.mac": MACRO})
    kg4(tmp_path / "m.kg4", samples, ("dose", "flu"))
    (expected,) = Geant4().read(tmp_path, inputs)
    assert estimator.primaries == expected.primaries == 40
    assert (page.name, page.unit) == (expected.pages[0].name, expected.pages[0].unit)
    assert page.axes[0].name == expected.pages[0].axes[0].name
    assert_array_equal(page.axes[0].edges, expected.pages[0].axes[0].edges)
    assert_allclose(page.values, samples.mean(axis=0), rtol=1e-13)
    assert_allclose(errors_of(page), samples.std(axis=0, ddof=1) / np.sqrt(40), rtol=1e-9)


def test_without_macro_bins_are_counted(tmp_path: Path) -> None:
    samples = histories(30)
    estimator = read_file(kg4(tmp_path / "m.kg4", samples))
    (page,) = estimator.pages
    assert (estimator.name, estimator.primaries) == ("m", 30)
    assert "macro" in estimator.metadata["note"]
    assert (page.name, page.unit, page.merge) == ("dose", "1/prim", MergeClass.PER_PRIMARY)
    assert page.axes[0].name == "Number of bin, first"
    assert_array_equal(page.axes[0].centres, np.arange(BINS))
    assert_allclose(page.values, samples.mean(axis=0))


def test_averages_keep_their_weights_without_macro(tmp_path: Path) -> None:
    one, two = histories(30, 1), histories(60, 2)
    names = ("let", "let/weight", "let/cross")
    files = [kg4(tmp_path / f"{k}.kg4", s, names) for k, s in enumerate((one, two))]
    (merged,) = merge_files(files)
    (page,) = merged.pages
    assert (page.name, page.merge, merged.primaries) == ("let", MergeClass.MEAN, 90)
    assert_allclose(page.values, 1.0)
    assert "merge_note" not in page.metadata


def test_tasks_merge_as_one_long_run(tmp_path: Path) -> None:
    samples = histories(100)
    for write, ending in ((kg4, "kg4"), (lambda p, s: dump(p, s, "dose"), "csv")):
        files = []
        for part, size in ((samples[:30], 30), (samples[30:], 70)):
            folder = tmp_path / f"{ending}{size}"
            folder.mkdir()
            macro(folder, size)
            files.append(write(folder / f"m.{ending}", part))
        (merged,) = merge_files(files)
        (page,) = merged.pages
        assert merged.primaries == 100
        assert_allclose(page.values, samples.mean(axis=0), rtol=1e-13)
        assert_allclose(errors_of(page), samples.std(axis=0, ddof=1) / 10, rtol=1e-9)


def test_dumps_of_all_scorers_have_a_page_each(tmp_path: Path) -> None:
    macro(tmp_path, 20)
    estimator = read_file(dump(tmp_path / "all.csv", histories(20), "dose", "flu"))
    assert estimator.name == "m"
    assert [(p.number, p.name, p.unit) for p in estimator.pages] == [
        (0, "DOSE-GY", "Gy/prim"),
        (1, "FLUENCE", "/cm^2/prim"),
    ]
    assert read_file(dump(tmp_path / "flu.csv", histories(20), "flu")).name == "m_flu"


def test_a_dump_without_macro_is_shown_but_not_merged(tmp_path: Path) -> None:
    samples = histories(20)
    path = dump(tmp_path / "d.csv", samples, "dose")
    (page,) = read_file(path).pages
    assert (page.merge, page.unit, page.errors) == (MergeClass.SUM, "Gy", None)
    assert_allclose(page.values, samples.sum(axis=0))
    with pytest.raises(EngineError, match="the macro of Geant4 beside it"):
        merge_files([path])
    (tmp_path / "run.mac").write_text("/run/beamOn 5\n/run/beamOn 6\n")
    assert read_file(path).primaries == 0
    (tmp_path / "run.mac").write_text("/my/own command\n/run/beamOn 20\n")
    assert read_file(path).primaries == 20


@pytest.mark.parametrize(
    ("old", "new", "where", "reason"),
    [
        ("total(value)", "mean", "line 3", "no heading"),
        ("\n1,0,0,", "\n2,0,0,", "line 5", "out of order"),
        ("\n1,0,0,", "\n1,0,", "line 5", "5 columns instead of 6"),
        ("\n1,0,0,", "\n1,0,0,x", "line 5", "could not convert"),
        ("\n49,0,0,", "\n48,0,0,", "line 53", "50 rows for 49"),
        ("\n49,0,0,", "\nnan,0,0,", "line 53", "numbers of bins"),
        ("\n49,0,0,", "\n1e300,0,0,", "line 53", "numbers of bins"),
        ("# primitive", "# other", "line 2", "neither a scorer"),
    ],
)
def test_damaged_dumps_are_refused_with_the_line(
    tmp_path: Path, old: str, new: str, where: str, reason: str
) -> None:
    path = dump(tmp_path / "d.csv", histories(20), "dose")
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ReadError, match=reason) as caught:
        read_file(path)
    assert caught.value.where == where


def test_pages_of_jobs_know_what_users_called_them(tmp_path: Path) -> None:
    inputs = Geant4().accept_files({"g.gdml": (INPUTS / "box.gdml").read_text(), "run.mac": MACRO})
    kg4(tmp_path / "m.kg4", histories(9), ("dose", "flu"))
    (estimator,) = Geant4().read(tmp_path, inputs)
    assert [page.metadata["quantity_name"] for page in estimator.pages] == ["dose", "flu"]
    assert estimator.pages[1].metadata["filter_name"] == "onlyProtons proton"
    assert estimator.metadata["output_id"] == "m"


def test_byte_order_marks_say_nothing(tmp_path: Path) -> None:
    path = dump(tmp_path / "m.csv", histories(100), "dose")
    macro(tmp_path, 100)
    plain = read_file(path)
    for file in (path, tmp_path / "run.mac"):
        file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    marked = read_file(path)
    assert (marked.name, marked.primaries) == (plain.name, 100)
    assert marked.pages[0].values.tolist() == plain.pages[0].values.tolist()
