"""Rotated detectors, and cylinders whose bins do not begin on the axis: short real runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.code import MACRO
from kerma_engines.geant4.engine import Geant4
from kerma_engines.geant4.macro import macro
from kerma_engines.geometry.figures import rotation_angles, rotation_matrix
from kit.inputs import editor as make
from kit.pages import errors_of
from kit.programs.geant4 import transport

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from kerma_engines.results.estimators import Page

TURN = (25.0, -40.0, 70.0)
CENTRE = (1.0, 0.5, -0.5)
ENERGIES = {"diffType": "E", "lowerLimit": 0, "upperLimit": 200, "binsNumber": 5}


def turned(matrix: NDArray[np.float64], data: dict[str, Any]) -> dict[str, Any]:
    """Return a figure or detector rotated with the whole world about its origin."""
    own = rotation_matrix(tuple(data.get("rotation", (0, 0, 0))))
    position = matrix @ np.asarray(data.get("position", (0, 0, 0)), dtype=float)
    return data | {
        "position": position.tolist(),
        "rotation": list(rotation_angles(matrix @ own)),
    }


def arrangement(
    matrix: NDArray[np.float64], detectors: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """A block of water in an off-axis beam, all rotated together."""
    block = make.box((8, 8, 12), position=[0, 0, 4])
    return make.project(
        {"a": turned(matrix, block)},
        [make.zone("water", "a")],
        world=make.sphere(30),
        detectors=[turned(matrix, data) for data in detectors],
        position=(matrix @ [0.5, 0.3, -8]).tolist(),
        direction=(matrix @ [0, 0, 1]).tolist(),
        energy=150,
        **more,
    )


def cylinder(inner: float, radius: float, depth: float, rings: int, slices: int) -> dict[str, Any]:
    parameters = {
        "radius": radius,
        "innerRadius": inner,
        "depth": depth,
        "radialSegments": rings,
        "zSegments": slices,
    }
    return {"geometryType": "Cyl", "position": [0.2, 0, 4], "parameters": parameters}


BOX = make.mesh((6, 5, 12), (3, 5, 6)) | {"position": [0.4, 0, 4]}
SKEWED = make.mesh((6, 5, 4), (3, 5, 6)) | {"position": [0.4, 0, 2], "rotation": [0, 35, 10]}
TUBE = cylinder(0.5, 3, 12, 5, 4)
UNEVEN = cylinder(0.7, 3, 12, 5, 4)
QUANTITIES = [
    {"keyword": "Dose"},
    {"keyword": "Fluence"},
    {"keyword": "Fluence", "modifiers": [ENERGIES]},
    {"keyword": "AvgEnergy"},
]


def pages(definition: dict[str, Any], directory: Path, primaries: int) -> list[Page]:
    return transport(definition, directory, primaries, seed=3)


@pytest.mark.parametrize("detector", [BOX, SKEWED, TUBE, UNEVEN])
def test_a_turned_detector_counts_what_it_counts_unturned(
    detector: dict[str, Any], tmp_path: Path
) -> None:
    """Rotating a whole arrangement changes no score beyond its errors."""
    beam = {"sigma": {"type": "Gaussian", "x": 1.2, "y": 1.2}}
    straight, aslant = (
        pages(arrangement(m, [detector], quantities=QUANTITIES, **beam), tmp_path / name, 800)
        for name, m in (("straight", np.eye(3)), ("aslant", rotation_matrix(TURN)))
    )
    fluence = straight[1]
    # errors of bins that few primaries reach are themselves uncertain
    often = errors_of(fluence) < 0.2 * fluence.values
    for one, other in zip(straight, aslant, strict=True):
        assert one.shape == other.shape
        known = np.resize(often, one.values.shape)
        errors = np.hypot(errors_of(one), errors_of(other))
        known &= errors < 0.2 * np.abs(one.values)
        pulls = (one.values - other.values)[known] / errors[known]
        assert known.sum() > 5
        # bins along one proton are correlated: a fifth above 1 is not rare
        assert np.sqrt(np.mean(pulls**2)) < 1.6
    for dose, fluence, spectrum, _ in (straight, aslant):
        table = spectrum.values.reshape(*fluence.shape, 5, order="F")
        summed = table.sum(axis=-1).flatten(order="F") * 40
        # the spectrum ends at 200 MeV and agrees with Geant4's own scorer
        np.testing.assert_allclose(summed, fluence.values, rtol=1e-9, atol=1e-15)
        assert dose.values.max() > 0


def test_axes_of_a_turned_detector_are_its_own(tmp_path: Path) -> None:
    (page,) = pages(
        arrangement(np.eye(3), [SKEWED], quantities=[{"keyword": "Fluence"}]), tmp_path, 5
    )
    assert [(axis.edges[0], axis.edges[-1]) for axis in page.axes] == [
        (-3, 3),
        (-2.5, 2.5),
        (-2, 2),
    ]


def test_a_detector_across_the_beam_sees_it_where_it_goes(tmp_path: Path) -> None:
    """In vacuum, along x, the start of the protons determines the bins that they cross."""
    mesh = make.mesh((6, 6, 8), (6, 6, 8)) | {"position": list(CENTRE), "rotation": list(TURN)}
    start = np.array([-9.0, 0.4, 0.3])
    definition = make.project(
        {"a": make.box((1, 1, 1), position=[15, 15, 15])},
        [make.zone("water", "a")],
        world=make.box((40, 40, 40)),
        detectors=[mesh],
        quantities=[{"keyword": "Fluence"}, {"keyword": "Fluence", "modifiers": [ENERGIES]}],
        position=start.tolist(),
        direction=[1, 0, 0],
    )
    page, spectrum = pages(definition, tmp_path, 2)
    steps = 200_001
    way = start + np.linspace(0, 20, steps)[:, None] * np.array([1.0, 0, 0])
    local = (way - np.array(CENTRE)) @ rotation_matrix(TURN)
    wanted, _ = np.histogramdd(local, [axis.edges for axis in page.axes])
    lengths = wanted * 20 / (steps - 1)  # bins are 1 cm3
    table = page.values.reshape(page.shape, order="F")
    np.testing.assert_allclose(table, lengths, atol=3e-4)
    assert lengths.sum() > 5
    np.testing.assert_allclose(
        spectrum.values.reshape(-1, 5, order="F").sum(axis=1) * 40, page.values
    )


def test_rings_begin_where_the_detector_does(tmp_path: Path) -> None:
    """Rings around a hole whose radius is not a multiple of their width, against a mesh of the
    parts.
    """
    fine = cylinder(0, 3, 12, 300, 4)
    quantities = [{"keyword": k} for k in ("Energy", "Fluence", "DoseGy", "Dose")]
    beam = {"sigma": {"type": "Flat circular", "x": 2, "y": 2}}
    uneven = cylinder(0.7, 3, 12, 5, 4)
    definition = arrangement(np.eye(3), [uneven, fine], quantities=quantities, **beam)
    found = pages(definition, tmp_path, 100)
    energy, fluence, gray, dose = found[:4]
    parts, tracks, *_ = found[4:]
    radius = energy.axes[0]
    np.testing.assert_allclose(radius.edges, np.linspace(0.7, 3, 6))
    # 300 rings of 0.1 mm: the first 70 are the hole, then 46 per bin
    cut = parts.values.reshape(300, 4, order="F")[70:].reshape(5, 46, 4).sum(axis=1)
    # the second mesh is separated from the first by 1e-7 of its radius
    np.testing.assert_allclose(energy.values.reshape(5, 4, order="F"), cut, rtol=1e-5)
    fine_areas = np.pi * np.diff(np.linspace(0, 3, 301) ** 2)
    lengths = tracks.values.reshape(300, 4, order="F") * fine_areas[:, None] * 3
    cut = lengths[70:].reshape(5, 46, 4).sum(axis=1)
    volumes = np.pi * np.diff(radius.edges**2) * 3
    np.testing.assert_allclose(
        fluence.values.reshape(5, 4, order="F"), cut / volumes[:, None], rtol=1e-5
    )
    np.testing.assert_allclose(gray.values, dose.values * 1.602176634e-10, rtol=1e-12)
    per_gram = energy.values.reshape(5, 4, order="F") / volumes[:, None]
    np.testing.assert_allclose(dose.values.reshape(5, 4, order="F"), per_gram, rtol=1e-5)
    assert [page.name for page in found[:4]] == ["ENERGY", "FLUENCE", "DOSE-GY", "DOSE"]
    assert [page.unit for page in found[:4]] == [page.unit for page in found[4:]]


def test_rings_without_a_common_width_are_refused() -> None:
    detector = cylinder(2**0.5, 3, 1, 7, 1)
    with pytest.raises(InvalidInput, match="no common width"):
        Geant4().convert(arrangement(np.eye(3), [detector]))


def test_regrouped_rings_pass_the_check_of_user_files() -> None:
    inputs = Geant4().convert(arrangement(rotation_matrix(TURN), [UNEVEN, SKEWED]))
    assert "/kerma/rings 35 23\n" in inputs.files[MACRO]
    again = Geant4().accept_files(inputs.files)
    assert len(again.outputs) == 2


@pytest.mark.parametrize(
    "lines",
    [
        "/kerma/rings 1 2\n/score/quantity/energyDeposit e MeV",
        "/kerma/rings 1 3\n/kerma/quantity energy e",
        "/kerma/rings 9 1\n/kerma/quantity energy e",
        "/kerma/rings 1\n/kerma/quantity energy e",
        "/kerma/rings 1 0\n/kerma/quantity energy e",
        "/kerma/rings -1 2\n/kerma/quantity energy e",
        "/score/mesh/rotate/rotateX 30\n/kerma/quantity energy e",
        "/score/mesh/rotate/rotateY 30 gon\n/kerma/quantity energy e",
        "/score/mesh/rotate/rotateZ nan deg\n/kerma/quantity energy e",
    ],
)
def test_commands_of_meshes_are_checked(lines: str) -> None:
    head = "/score/create/cylinderMesh m\n/score/mesh/cylinderSize 3 1 cm\n/score/mesh/nBin 9 1 1"
    with pytest.raises(InvalidInput):
        macro.parse(f"{head}\n{lines}\n/score/close\n/run/beamOn 1", file="m")
