"""The start of beams and the counts of detectors: short real runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kit.inputs import editor as make
from kit.programs.geant4 import transport

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from kerma_engines.results.estimators import Page

PRIMARIES = 400
EMPTY = {"a": make.box((1, 1, 1), position=[8, 8, 8])}
WORLD = make.box((40, 40, 60))


def pages(definition: dict[str, Any], directory: Path, primaries: int = PRIMARIES) -> list[Page]:
    return transport(definition, directory, primaries, seed=21)


def plane(z: float, width: float = 20, n: int = 100) -> dict[str, Any]:
    return make.mesh((width, width, 0.1), (n, n, 1)) | {"position": [0, 0, z]}


def spread(page: Page) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return mean and standard deviation of the fluence along both axes, and
    which bins have any.
    """
    image = page.values.reshape(page.shape, order="F")
    x, y = (axis.centres for axis in page.axes)
    weight = image / image.sum()
    mean = np.array([(weight.sum(axis=1) * x).sum(), (weight.sum(axis=0) * y).sum()])
    square = np.array([(weight.sum(axis=1) * x**2).sum(), (weight.sum(axis=0) * y**2).sum()])
    return mean, np.sqrt(square - mean**2), image > 0


def in_vacuum(detectors: list[dict[str, Any]], **beam: Any) -> dict[str, Any]:
    return make.project(
        EMPTY,
        [make.zone("vacuum", "a")],
        world=WORLD,
        detectors=detectors,
        quantities=[{"keyword": "Fluence"}],
        **beam,
    )


@pytest.mark.parametrize(
    ("sigma", "expected"),
    [
        ({"type": "Gaussian", "x": 0.5, "y": 1.5}, (0.5, 1.5)),
        ({"type": "Flat square", "x": 2, "y": 3}, (2 / 3**0.5, 3**0.5)),
        ({"type": "Flat circular", "x": 9, "y": 3}, (1.5, 1.5)),
    ],
)
def test_beam_shapes(sigma: dict[str, Any], expected: tuple[float, float], tmp_path: Path) -> None:
    beam = {"sigma": sigma, "position": [1, 2, -5]}
    (page,) = pages(in_vacuum([plane(0)], **beam), tmp_path)
    mean, deviation, hit = spread(page)
    np.testing.assert_allclose(deviation, expected, rtol=0.12)
    np.testing.assert_allclose(mean, (1, 2), atol=4 * max(expected) / PRIMARIES**0.5)
    x, y = page.axes[0].centres - 1, page.axes[1].centres - 2
    where = np.array([(x[i], y[j]) for i, j in np.argwhere(hit)])
    if sigma["type"] == "Flat square":
        assert np.all(np.abs(where) <= (2.1, 3.1))
    if sigma["type"] == "Flat circular":
        assert np.hypot(*where.T).max() <= 3.15


def test_a_turned_beam_carries_its_shape_along(tmp_path: Path) -> None:
    beam = {
        "direction": [1, 0, 0],
        "position": [-5, 1, -2],
        "sigma": {"type": "Flat square", "x": 1, "y": 3},
    }
    detector = make.mesh((0.1, 20, 20), (1, 100, 100))
    (page,) = pages(in_vacuum([detector], **beam), tmp_path)
    mean, deviation, _ = spread(page)
    # along x the beam's own x lies along -z and its y along y
    np.testing.assert_allclose(deviation, (3 / 3**0.5, 1 / 3**0.5), rtol=0.12)
    np.testing.assert_allclose(mean, (1, -2), atol=0.4)


def test_a_divergent_beam_spreads_from_its_source(tmp_path: Path) -> None:
    beam = {
        "position": [0, 0, -20],
        "sigma": {"type": "Flat square", "x": 1, "y": 1},
        "sad": {"type": "double", "x": 20, "y": 10},
    }
    (page,) = pages(in_vacuum([plane(20)], **beam), tmp_path)
    _, deviation, _ = spread(page)
    # 40 cm downstream of a start that is 20 and 10 cm from the sources
    np.testing.assert_allclose(deviation, (3 / 3**0.5, 5 / 3**0.5), rtol=0.12)


def test_every_proton_crosses_every_ring_once_at_most(tmp_path: Path) -> None:
    detector = {
        "geometryType": "Cyl",
        "position": [0, 0, 5],
        "parameters": {
            "radius": 4,
            "innerRadius": 1,
            "depth": 2,
            "zSegments": 4,
            "radialSegments": 3,
        },
    }
    beam = {"sigma": {"type": "Flat circular", "x": 3, "y": 3}}
    (page,) = pages(in_vacuum([detector], **beam), tmp_path)
    assert [axis.name for axis in page.axes] == ["Radius (R)", "Position (Z)"]
    rings = page.values.reshape(page.shape, order="F")
    areas = np.pi * np.diff(page.axes[0].edges ** 2)
    crossing = rings * areas[:, None]
    # uniform over the disc of 3 cm: (4-1)/9, (9-4)/9, and nothing beyond
    np.testing.assert_allclose(crossing[0], 3 / 9, atol=0.1)
    np.testing.assert_allclose(crossing[1], 5 / 9, atol=0.1)
    np.testing.assert_array_equal(crossing[2], 0)


def test_a_black_hole_ends_every_track(tmp_path: Path) -> None:
    figures = {
        "a": make.box((10, 10, 2), position=[0, 0, 5]),
        "b": make.box((10, 10, 4), position=[0, 0, 10]),
    }
    definition = make.project(
        figures,
        [make.zone("black_hole", "a"), make.zone("water", "b")],
        world=make.box((30, 30, 40)),
        detectors=[
            plane(3),
            plane(10),
            make.mesh((10, 10, 1.8), (1, 1, 1)) | {"position": [0, 0, 5]},
        ],
        quantities=[{"keyword": "Fluence"}, {"keyword": "Energy"}],
    )
    before, behind, inside = np.reshape(
        [page.values.sum() for page in pages(definition, tmp_path, 50)], (3, 2)
    )
    assert before[0] > 0
    assert not behind.any()
    assert not inside.any()


def test_a_zone_scores_as_a_mesh_of_the_same_shape_does(tmp_path: Path) -> None:
    definition = make.project(
        {"a": make.box((4, 4, 2), position=[0, 0, 2])},
        [make.zone("water", "a")],
        world=make.box((30, 30, 40)),
        detectors=[
            {"geometryType": "Zone", "parameters": {"zoneUuid": "z0"}},
            make.mesh((4, 4, 2), (1, 1, 1)) | {"position": [0, 0, 2]},
            {"geometryType": "All"},
        ],
        quantities=[{"keyword": "Energy"}],
    )
    zone, box, everything = pages(definition, tmp_path, 50)
    assert zone.values[0] > 10
    assert zone.values[0] == pytest.approx(box.values[0], rel=1e-9)
    assert everything.values[0] == pytest.approx(box.values[0], rel=1e-9)


def test_dose_units_agree_and_pages_rescale(tmp_path: Path) -> None:
    definition = make.project(
        {"a": make.box((4, 4, 2), position=[0, 0, 2])},
        [make.zone("water", "a", materialPropertiesOverrides={"density": 2})],
        world=make.box((30, 30, 40)),
        detectors=[make.mesh((4, 4, 2), (1, 1, 1)) | {"position": [0, 0, 2]}],
        quantities=[
            {"keyword": "Dose"},
            {"keyword": "DoseGy"},
            {"keyword": "Energy"},
            {"keyword": "Energy", "rescale": 10},
        ],
    )
    dose, gray, energy, rescaled = pages(definition, tmp_path, 50)
    assert dose.values[0] == pytest.approx(energy.values[0] / (4 * 4 * 2 * 2.0), rel=1e-6)
    assert gray.values[0] == pytest.approx(dose.values[0] * 1.602176634e-10, rel=1e-9)
    assert rescaled.values[0] == pytest.approx(10 * energy.values[0], rel=1e-12)
    assert rescaled.errors is not None
    assert energy.errors is not None
    assert rescaled.errors[0] == pytest.approx(10 * energy.errors[0], rel=1e-9)


@pytest.mark.parametrize(
    "beam",
    [
        {"particle": {"id": 25, "a": 12, "z": 6}, "energy": 100, "energyUnit": "MeV/nucl"},
        {"particle": {"id": 24}, "energy": 70, "energyUnit": "MeV/nucl"},
        {"particle": {"id": 23}, "energy": 70, "energyUnit": "MeV/nucl"},
        {"particle": {"id": 22}, "energy": 70, "energyUnit": "MeV/nucl"},
        {"particle": {"id": 21}, "energy": 70, "energyUnit": "MeV/nucl", "energySpread": 1},
    ],
)
def test_ion_beams_stop_in_water(beam: dict[str, Any], tmp_path: Path) -> None:
    definition = make.project(
        {"a": make.box((20, 20, 30))},
        [make.zone("water", "a")],
        world=make.box((30, 30, 40)),
        detectors=[{"geometryType": "All"}],
        position=[0, 0, -16],
        **beam,
    )
    (energy,) = pages(definition, tmp_path, 10)
    nucleons = {25: 12, 24: 4, 23: 3, 22: 3, 21: 2}[beam["particle"]["id"]]
    assert 0.7 < energy.values[0] / (nucleons * beam["energy"]) < 1.02
