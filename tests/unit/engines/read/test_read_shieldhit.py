"""SHIELD-HIT12A's formats from our own writers: cases without genuine files at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from kerma_engines.catalogue.reading import read_file
from kerma_engines.errors import ReadError
from kerma_engines.results.estimators import Binning, MergeClass
from standins.write_shieldhit import Mesh, Scored, bdo2016, bdo2019, bin2010, token, write

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(3)


def pymchelper(path: Path) -> Any:
    from pymchelper.input_output import fromfile

    return fromfile(str(path))


@pytest.mark.parametrize(
    ("normalisation", "merge", "factor", "unit"),
    [
        (0, MergeClass.FIRST, 1.0, "MeV/g"),
        (1, MergeClass.SUM, 1.0, "MeV/g"),
        (2, MergeClass.PER_PRIMARY, 0.01, "MeV/g/prim"),
        (3, MergeClass.MEAN, 1.0, "MeV/g"),
    ],
)
def test_classes(
    tmp_path: Path, normalisation: int, merge: MergeClass, factor: float, unit: str
) -> None:
    values = RNG.random(24)
    mesh = Mesh(bins=(2, 3, 4))
    path = write(
        tmp_path / "dose_0001.bdo", bdo2019(mesh, [Scored(5, normalisation, "MeV/g", values)], 100)
    )
    estimator = read_file(path)
    (page,) = estimator.pages
    assert (estimator.name, estimator.file, estimator.primaries) == ("dose", "dose_0001.bdo", 100)
    assert (page.name, page.merge, page.unit, page.shape) == ("DOSE", merge, unit, (2, 3, 4))
    assert_allclose(page.values, values * factor, rtol=1e-15)
    peer = pymchelper(path)
    assert_allclose(page.values, peer.pages[0].data_raw, rtol=1e-15)
    assert page.unit == peer.pages[0].unit


def test_two_differential_axes_linear_and_logarithmic(tmp_path: Path) -> None:
    values = RNG.random(2 * 4 * 3)
    page = Scored(
        2,
        2,
        "/cm^2",
        values,
        diff=[(0.1, 100.0, 4, True), (0.0, 3.0, 3, False)],
        diff_units="MeV;rad",
        diff_types=(27, 25),
        filter_name="protons",
    )
    path = write(tmp_path / "f.bdo", bdo2019(Mesh(bins=(1, 1, 2)), [page], 10))
    (read,) = read_file(path).pages
    assert [(a.name, a.unit, a.binning, a.n) for a in read.axes] == [
        ("Position (Z)", "cm", Binning.LINEAR, 2),
        ("Kinetic energy", "MeV", Binning.LOG, 4),
        ("Angle", "rad", Binning.LINEAR, 3),
    ]
    assert_allclose(read.axes[1].edges, np.geomspace(0.1, 100.0, 5), rtol=1e-14)
    peer = pymchelper(path).pages[0]
    assert_allclose(read.axes[1].centres, peer.diff_axis1.data, rtol=1e-12)
    assert_allclose(read.values, peer.data_raw, rtol=1e-15)
    assert read.metadata["page_filter_name"] == "protons"


def test_results_rescaled_to_a_number_of_primaries(tmp_path: Path) -> None:
    values = RNG.random(10)
    data = bdo2019(Mesh(), [Scored(39, 2, "Gy", values)], 50, rescale=1e9)
    (page,) = read_file(write(tmp_path / "d.bdo", data)).pages
    assert_allclose(page.values, values / 50 * 1e9, rtol=1e-14)
    assert page.unit == "Gy"


def test_cylinders_have_an_angle_in_radians(tmp_path: Path) -> None:
    mesh = Mesh("CYL", stop=(5.0, 6.283, 20.0), start=(0.0, 0.0, 0.0), bins=(2, 3, 1))
    path = write(tmp_path / "c.bdo", bdo2019(mesh, [Scored(5, 2, "MeV/g", RNG.random(6))], 5))
    radius, angle = read_file(path).pages[0].axes
    assert (radius.name, radius.unit) == ("Radius (R)", "cm")
    assert (angle.name, angle.unit) == ("Angle (PHI)", "rad")


def test_phase_space_of_2019(tmp_path: Path) -> None:
    values = RNG.random(24)
    path = write(tmp_path / "p.bdo", bdo2019(Mesh(bins=(1, 1, 1)), [Scored(63, 4, "", values)], 5))
    (page,) = read_file(path).pages
    assert (page.merge, page.axes) == (MergeClass.CONCAT, ())
    assert_array_equal(page.values, values)


@pytest.mark.parametrize(("make", "name"), [(bdo2016, "bdo2016"), (bin2010, "bin2010")])
@pytest.mark.parametrize("bins", [(1, 1, 10), (2, 3, 4), (1, -5, 2)])
def test_old_formats(tmp_path: Path, make: Any, name: str, bins: tuple[int, int, int]) -> None:
    values = RNG.random(abs(int(np.prod(bins))))
    mesh = Mesh(start=(1.0, 1.0, 1.0), stop=(2.0, 100.0, 3.0), bins=bins)
    path = write(tmp_path / "x.bdo", make(mesh, Scored(5, 2, "", values), 40))
    estimator = read_file(path)
    (page,) = estimator.pages
    assert (estimator.primaries, estimator.metadata["file_format"]) == (40, name)
    assert_allclose(page.values, values / 40, rtol=1e-15)
    peer = pymchelper(path)
    assert_allclose(page.values, peer.pages[0].data_raw, rtol=1e-12)
    theirs = [axis for axis in (peer.x, peer.y, peer.z) if axis.n > 1]
    for axis, expected in zip(page.axes, theirs, strict=True):
        assert_allclose(axis.centres, expected.data, rtol=1e-12)
        assert (axis.binning is Binning.LOG) == bool(expected.binning)


@pytest.mark.parametrize("make", [bdo2016, bin2010])
def test_averages_of_old_formats_are_not_divided(tmp_path: Path, make: Any) -> None:
    values = RNG.random(10)
    path = write(tmp_path / "l.bdo", make(Mesh(), Scored(6, 3, "", values), 40))
    (page,) = read_file(path).pages
    assert (page.name, page.merge, page.unit) == ("DLET", MergeClass.MEAN, "keV/um")
    assert_array_equal(page.values, values)


@pytest.mark.parametrize("make", [bdo2016, bin2010])
def test_zones_of_old_formats_are_numbers_not_lengths(tmp_path: Path, make: Any) -> None:
    mesh = Mesh("ZONE", bins=(3, 1, 1))
    path = write(tmp_path / "z.bdo", make(mesh, Scored(5, 2, "", np.ones(3)), 4, first_zone=7))
    (page,) = read_file(path).pages
    assert_allclose(page.axes[0].centres, [7, 8, 9])
    assert (page.axes[0].name, page.unit) == ("Zone number", "MeV/prim")


@pytest.mark.parametrize("make", [bdo2016, bin2010])
@pytest.mark.parametrize("bins", [(2, 3, 1), (2, 1, 3)])
def test_differential_axis_of_old_formats_comes_last(
    tmp_path: Path, make: Any, bins: tuple[int, int, int]
) -> None:
    """It is stored in place of the single bin, so it may be between the others."""
    cube = RNG.random((2, 3, 4))  # x or z, then the differential axis
    stored = cube if bins[2] == 1 else np.moveaxis(cube, -1, 1)
    page = Scored(
        2, 2, "", stored.reshape(-1, order="F"), diff=[(10.0, 1000.0, 4, True)], diff_types=(2,)
    )
    path = write(tmp_path / "d.bdo", make(Mesh("DMSH", bins=bins), page, 1))
    (read,) = read_file(path).pages
    assert_array_equal(read.values.reshape(read.shape, order="F"), cube)
    let = read.axes[-1]
    assert (let.name, let.unit, let.binning) == ("LET", "keV/um", Binning.LOG)
    assert_allclose(let.edges[[0, -1]], [1.0, 100.0], rtol=1e-14)


def test_voxel_scores_of_2010(tmp_path: Path) -> None:
    values = RNG.random(10)
    path = write(tmp_path / "v.bdo", bin2010(Mesh("VOXSCORE"), Scored(1, 2, "", values), 5))
    assert_allclose(read_file(path).pages[0].values, values / 5)


def damaged() -> dict[str, tuple[bytes, str]]:
    page, mesh = Scored(5, 2, "MeV/g", np.ones(10)), Mesh()
    good = bdo2019(mesh, [page], 10)
    old = bin2010(mesh, page, 10)
    return {
        "empty": (b"", "byte 0: the file is empty"),
        "garbage": (b"\x7fELF garbage", "byte 0: not a result"),
        "other byte order": (good[:6] + b"MM" + good[8:], "byte 6: byte order"),
        "cut in the data": (good[:-3], "80 bytes announced, 77 left"),
        "cut in a token": (good[:-90], "left"),
        "no data": (good[: good.rindex(token(0xDDBB, np.ones(10)))], "ends without the data"),
        "wrong number of bins": (
            bdo2019(Mesh(bins=(1, 1, 11)), [page], 10),
            "10 numbers for 1 x 1 x 11 bins",
        ),
        "reversed axis": (
            bdo2019(Mesh(start=(0, 0, 5), stop=(1, 1, 1)), [page], 10),
            r"axis 'Position \(Z\)' runs from 5.0 to 1.0",
        ),
        "no primaries": (bdo2019(mesh, [page], 0), "0 primaries"),
        "unknown class": (bdo2019(mesh, [Scored(5, 9, "", np.ones(10))], 10), "class 9"),
        "old, cut": (old[:-3], "left|ends with|bytes in"),
        "old, wrong bins": (bin2010(Mesh(bins=(1, 1, 9)), page, 10), "9 bins in a record of 80"),
        "old, huge": (
            bin2010(Mesh(bins=(10**9, 10**9, 1)), page, 10),
            "1000000000000000000 bins announced",
        ),
    }


@pytest.mark.parametrize("kind", damaged())
def test_damaged_files_are_refused_with_the_place(tmp_path: Path, kind: str) -> None:
    data, reason = damaged()[kind]
    with pytest.raises(ReadError, match=reason) as caught:
        read_file(write(tmp_path / "bad.bdo", data))
    assert caught.value.file == str(tmp_path / "bad.bdo")
    assert caught.value.where.startswith("byte ")
