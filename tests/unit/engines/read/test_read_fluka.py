"""FLUKA's detector files from our own writers: types for which no genuine files are at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from kerma_engines.catalogue.reading import read_file
from kerma_engines.errors import ReadError
from kerma_engines.results.estimators import Binning, MergeClass
from kit.pages import errors_of
from standins.write_fluka import Binning as Detector
from standins.write_fluka import header, resnuclei, usrbdx, usrbin, usrtrack
from standins.write_shieldhit import record, write

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(4)
BOX = ((-1.0, 1.0, 2), (-0.1, 0.1, 3), (0.0, 20.0, 4))


def numbers(*shape: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return random numbers that float32 holds exactly."""
    return RNG.random(shape).astype("f4").astype(float)


def pymchelper(path: Path) -> Any:
    from pymchelper.input_output import fromfile

    return fromfile(str(path))


def test_binnings_of_one_unit_are_pages(tmp_path: Path) -> None:
    energy, fluence = numbers(24), numbers(24)
    detectors = [
        Detector(energy, BOX, name="en"),
        Detector(fluence, BOX, score=8, name="n"),
        Detector(fluence, BOX, score=228, kind=0),
    ]
    path = write(tmp_path / "fl001_fort.21", usrbin(detectors, 3_000_000_123))
    estimator = read_file(path)
    assert (estimator.name, estimator.primaries) == ("21", 3_000_000_123)
    assert [(p.number, p.name, p.unit, p.merge) for p in estimator.pages] == [
        (0, "ENERGY", "MeV/cm^3/prim", MergeClass.PER_PRIMARY),
        (1, "FLUENCE NEUTRON", "/cm^2/prim", MergeClass.PER_PRIMARY),
        (2, "DOSE", "MeV/g/prim", MergeClass.PER_PRIMARY),
    ]
    peer = pymchelper(path)
    for page, theirs in zip(estimator.pages, peer.pages, strict=True):
        assert_allclose(page.values, theirs.data_raw, rtol=1e-15)
        for axis, expected in zip(page.axes, (peer.x, peer.y, peer.z), strict=True):
            assert_allclose(axis.centres, expected.data, rtol=1e-12, atol=1e-15)


def test_cylindrical_binning_covers_the_full_angle(tmp_path: Path) -> None:
    axes = ((0.0, 5.0, 2), (0.0, 1.0, 4), (0.0, 1.0, 1))
    path = write(tmp_path / "a_fort.30", usrbin([Detector(numbers(8), axes, kind=11)], 5))
    radius, angle = read_file(path).pages[0].axes
    assert (radius.name, angle.name, angle.unit) == ("Radius (R)", "Angle (PHI)", "rad")
    assert_allclose(angle.edges[[0, -1]], [-np.pi, np.pi])


def test_binning_by_region_counts_regions(tmp_path: Path) -> None:
    axes = ((3.0, 7.0, 4), (0.0, 1.0, 1), (0.0, 1.0, 1))  # step (7 - 3) / 4: regions 3 to 6
    path = write(tmp_path / "a_fort.30", usrbin([Detector(numbers(4), axes, kind=12)], 5))
    (page,) = read_file(path).pages
    assert page.axes[0].name == "Region"
    assert_allclose(page.axes[0].centres, [3, 4, 5, 6])
    assert page.unit == "MeV/prim"


def test_summed_binnings_have_errors(tmp_path: Path) -> None:
    first, second, relative = numbers(24), numbers(24), numbers(24)
    detectors = [
        Detector(first, BOX, relative=relative),
        Detector(second, BOX, 10, 8, "n", relative),
    ]
    one, two = read_file(write(tmp_path / "s.bnn", usrbin(detectors, 9))).pages
    assert_allclose(errors_of(one), relative * first * 1000, rtol=1e-12)
    assert_allclose(errors_of(two), relative * second, rtol=1e-12)


def test_track_length_spectrum(tmp_path: Path) -> None:
    values = numbers(6)
    path = write(tmp_path / "t_fort.40", usrtrack(values, (0.001, 1.0, 6), 7))
    (page,) = read_file(path).pages
    assert (page.name, page.unit) == ("FLUENCE NEUTRON", "/cm^2/GeV/prim")
    (axis,) = page.axes
    assert (axis.name, axis.unit, axis.binning) == ("Kinetic energy", "GeV", Binning.LOG)
    assert_allclose(axis.edges, np.geomspace(0.001, 1.0, 7), rtol=1e-7)
    assert_allclose(page.values, values)
    assert_allclose(page.values, pymchelper(path).pages[0].data_raw)


def test_neutron_groups_are_a_page_of_their_own(tmp_path: Path) -> None:
    values = numbers(6)
    edges = (0.02, 0.001, 1e-6, 1e-14)
    data = usrtrack(values, (0.02, 1.0, 3), 7, kind=1, group_edges=edges)
    high, low = read_file(write(tmp_path / "t_fort.40", data)).pages
    assert (low.number, low.name) == (1, "FLUENCE NEUTRON low-energy neutron groups")
    assert low.unit == "/cm^2/prim"
    assert_allclose(high.values, values[:3])
    assert_allclose(low.values, values[:2:-1])  # stored from high to low energy
    assert_allclose(low.axes[0].edges, edges[::-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "energy", "angle"),
    [
        (1, Binning.LINEAR, Binning.LINEAR),
        (-1, Binning.LOG, Binning.LINEAR),
        (2, Binning.LINEAR, Binning.LOG),
        (-2, Binning.LOG, Binning.LOG),
    ],
)
def test_boundary_crossing(tmp_path: Path, kind: int, energy: Binning, angle: Binning) -> None:
    values, relative = numbers(12), numbers(12)
    data = usrbdx(values, (0.01, 1.0, 4), (0.5, 6.5, 3), 7, kind=kind, relative=relative)
    (page,) = read_file(write(tmp_path / "b_fort.50", data)).pages
    assert (page.name, page.unit) == ("FLUENCE PROTON", "/cm^2/GeV/sr/prim")
    assert [axis.binning for axis in page.axes] == [energy, angle]
    assert [axis.unit for axis in page.axes] == ["GeV", "sr"]
    expected = [0.0, 0.5, np.sqrt(0.5 * 6.5), 6.5] if angle is Binning.LOG else [0.5, 2.5, 4.5, 6.5]
    assert_allclose(page.axes[1].edges, expected, rtol=1e-7)
    assert_allclose(page.values, values)
    assert_allclose(errors_of(page), values * relative, rtol=1e-12)


def test_boundary_crossing_with_neutron_groups(tmp_path: Path) -> None:
    values, relative = numbers(2 * 2 + 3 * 2), numbers(10)
    data = usrbdx(
        values,
        (0.02, 1.0, 2),
        (0.0, 6.0, 2),
        7,
        code=8,
        group_edges=(0.02, 1e-3, 1e-6, 1e-14),
        relative=relative,
    )
    high, low = read_file(write(tmp_path / "b_fort.50", data)).pages
    assert (high.shape, low.shape) == ((2, 2), (3, 2))
    assert_allclose(low.values, values[[6, 5, 4, 9, 8, 7]])
    assert_allclose(errors_of(low), (values * relative)[[6, 5, 4, 9, 8, 7]], rtol=1e-12)


@pytest.mark.parametrize("evolution", [False, True])
@pytest.mark.parametrize("isomers", [False, True])
def test_residual_nuclei(tmp_path: Path, evolution: bool, isomers: bool) -> None:
    values, relative = numbers(12), numbers(12)
    data = resnuclei(values, 3, 4, -2, 11, relative=relative, evolution=evolution, isomers=isomers)
    estimator = read_file(write(tmp_path / "r_fort.60", data))
    (page,) = estimator.pages
    assert estimator.primaries == 11
    assert [axis.name for axis in page.axes] == ["Charge Z", "Neutron excess N-Z"]
    assert_allclose(page.axes[0].centres, [1, 2, 3])
    assert_allclose(page.axes[1].centres, [-1, 0, 1, 2])
    assert_allclose(errors_of(page), values * relative, rtol=1e-12)


@pytest.mark.parametrize("size", [116, 120, 124, 128])
def test_headers_of_all_versions(tmp_path: Path, size: int) -> None:
    body = usrbin([Detector(numbers(24), BOX)], 1)[len(header(1)) :]
    path = write(tmp_path / "h_fort.21", header(750, size) + body)
    assert read_file(path).primaries == 750


def damaged() -> dict[str, tuple[bytes, str]]:
    good = usrbin([Detector(np.ones(24), BOX)], 10)
    huge = ((0.0, 1.0, 2**31 - 1),) * 3
    return {
        "header only": (header(10), "detector"),
        "cut in the data": (good[:-10], "a record of 96 bytes in"),
        "unknown detector": (header(10) + record(b"x" * 77), "77 bytes is of no known kind"),
        "end mark": (good[:-4] + b"\1\2\3\4", "record of 96 bytes ends with"),
        "huge bins": (usrbin([Detector(np.ones(1), huge)], 10), "bins in a record of 4 bytes"),
        "no bins": (usrbin([Detector(np.ones(1), ((0.0, 1.0, -1),) * 3)], 10), "numbers of bins"),
        "reversed": (
            usrbin([Detector(np.ones(2), ((2.0, 1.0, 2), (0, 1, 1), (0, 1, 1)))], 10),
            "runs from 2.0 to 1.0",
        ),
        "log from zero": (usrtrack(np.ones(4), (0.0, 1.0, 4), 5), "logarithmic energy bins from 0"),
        "second of another kind": (
            good + usrtrack(np.ones(4), (0.1, 1.0, 4), 5)[len(header(5)) :],
            "a detector record of 50 bytes, not 86",
        ),
    }


@pytest.mark.parametrize("kind", damaged())
def test_damaged_files_are_refused_with_the_place(tmp_path: Path, kind: str) -> None:
    data, reason = damaged()[kind]
    with pytest.raises(ReadError, match=reason) as caught:
        read_file(write(tmp_path / "bad_fort.21", data))
    assert caught.value.where.startswith("byte ")
