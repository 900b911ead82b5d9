"""Maps of zones, materials and densities, against the figures at the centre of each bin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.macro import macro
from kerma_engines.geant4.read.alone import read_result_file
from kerma_engines.geometry.figures import rotation_matrix
from kerma_engines.project.project import parse_project
from kerma_engines.results.estimators import MergeClass
from kit.inputs import editor as make
from kit.pages import errors_of
from kit.programs.geant4 import transport

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from kerma_engines.results.estimators import Page

QUANTITIES = [{"keyword": k} for k in ("ZONE", "MATERIAL", "Rho", "Energy")]
PLACE: dict[str, Any] = {"position": [0.513, -0.487, 1.031], "rotation": [20, 30, -40]}
FIGURES = {
    "a": make.box((6, 5, 4), position=[1, 0, 0], rotation=[0, 30, 0]),
    "b": make.sphere(2, position=[0, 1, 2]),
    "c": make.cylinder(3, 6, 2, position=[-1, 0, 1]),
}
ZONES = [
    make.zone("lead", "b", name="ball"),
    make.zone("water", "a", materialPropertiesOverrides={"density": 1.5}),
    make.zone("vacuum", "c"),
]
DENSITIES = [11.35, 1.5, 0.0, 1.19, 0.0]
MATERIALS = [1, 2, 1000, 3, 1000]


def zone_at(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index of the zone at points, then of the world, then of its surroundings."""
    project = parse_project(arrangement([]))
    found = np.where(project.world.geometry_data.contains(points), 3, 4)
    for k, name in ((2, "c"), (1, "a"), (0, "b")):
        solid = next(figure.solid for figure in project.figures if figure.uuid == name)
        found[solid.contains(points) & (found < 4)] = k
    return found


def arrangement(detectors: list[dict[str, Any]]) -> dict[str, Any]:
    return make.project(
        FIGURES,
        ZONES,
        world=make.box((9, 9, 9)),
        world_material="pmma",
        detectors=detectors or None,
        quantities=QUANTITIES,
    )


def check(pages: list[Page], points: NDArray[np.float64]) -> None:
    """Check a page; ``points`` are in the order of its bins, first axis fastest."""
    where = zone_at(points)
    zones, materials, densities, energy = pages
    assert [page.name for page in pages[:3]] == ["ZONE", "MATERIAL", "RHO"]
    assert (densities.unit, energy.unit) == ("g/cm^3", "MeV/prim")
    assert all(page.merge is MergeClass.FIRST and page.errors is None for page in pages[:3])
    np.testing.assert_array_equal(zones.values, where + 1)
    np.testing.assert_array_equal(materials.values, np.array(MATERIALS)[where])
    np.testing.assert_allclose(densities.values, np.array(DENSITIES)[where], atol=1e-6)
    assert len(np.unique(where)) >= 3
    assert zones.metadata["numbers"].startswith("1=zone_1_ball 2=")
    assert "1=G4_Pb 2=G4_WATER_1 3=G4_PLEXIGLASS" in materials.metadata["numbers"]


def middles(*edges: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    centres = [0.5 * (edge[1:] + edge[:-1]) for edge in edges]
    return [axis.flatten(order="F") for axis in np.meshgrid(*centres, indexing="ij")]


@pytest.mark.parametrize("rotation", [(0, 0, 0), tuple(PLACE["rotation"])])
def test_maps_on_a_box(rotation: tuple[float, float, float], tmp_path: Path) -> None:
    place = PLACE | {"rotation": list(rotation)}
    box = make.mesh((10, 11, 12), (13, 12, 11)) | place
    pages = transport(arrangement([box]), tmp_path, 5, seed=1)
    sides = [np.linspace(-s / 2, s / 2, n + 1) for s, n in ((10, 13), (11, 12), (12, 11))]
    local = np.stack(middles(*sides), axis=1)
    check(pages, local @ rotation_matrix(rotation).T + PLACE["position"])


@pytest.mark.parametrize("inner", [0.0, 1.0, 0.7])
@pytest.mark.parametrize("rotation", [(0, 0, 0), tuple(PLACE["rotation"])])
def test_maps_on_a_cylinder(
    inner: float, rotation: tuple[float, float, float], tmp_path: Path
) -> None:
    place = PLACE | {"rotation": list(rotation)}
    parameters = {
        "radius": 6,
        "innerRadius": inner,
        "depth": 12,
        "radialSegments": 25,
        "zSegments": 30,
    }
    tube = {"geometryType": "Cyl", "parameters": parameters, **place}
    pages = transport(arrangement([tube]), tmp_path, 5, seed=1)
    radius, z = middles(np.linspace(inner, 6, 26), np.linspace(-6, 6, 31))
    local = np.stack([radius, np.zeros_like(radius), z], axis=1)
    check(pages, local @ rotation_matrix(rotation).T + PLACE["position"])


@pytest.mark.parametrize(
    "lines",
    [
        "/score/create/boxMesh m\n/score/mesh/boxSize 1 1 1 cm\n/score/mesh/nBin 1 1 1\n/kerma/quantity zone q E 0 9 9 lin",
        "/score/create/boxMesh m\n/score/mesh/boxSize 1 1 1 cm\n/score/mesh/nBin 1 1 1\n/kerma/quantity zone q\n"
        "/kerma/filter Z==1",
        "/score/create/boxMesh m\n/score/mesh/boxSize 1 1 1 cm\n/score/mesh/nBin 1 1 1\n/kerma/quantity zone q\n"
        "/score/filter/charged f",
        "/score/create/realWorldLogVol v\n/kerma/quantity density q",
    ],
)
def test_what_maps_cannot_be_asked_for(lines: str) -> None:
    with pytest.raises(InvalidInput, match="map"):
        macro.parse(f"{lines}\n/score/close\n/run/beamOn 1", file="m")


def by_scorer(file: Path) -> dict[str, Page]:
    return {page.metadata["scorer"]: page for page in read_result_file(file).pages}


def test_a_map_is_read_without_its_job(tmp_path: Path) -> None:
    box = make.mesh((10, 11, 12), (5, 6, 7)) | PLACE
    pages = transport(arrangement([box]), tmp_path, 5, seed=1)
    (file,) = tmp_path.glob("*.kg4")
    known = by_scorer(file)
    for name in ("run.mac", "geometry.gdml"):
        (tmp_path / name).unlink()
    unknown = by_scorer(file)
    for page in pages[:3]:
        with_macro, without = (found[page.metadata["scorer"]] for found in (known, unknown))
        assert with_macro.merge is MergeClass.FIRST
        np.testing.assert_array_equal(with_macro.values, page.values)
        np.testing.assert_allclose(without.values, page.values, rtol=1e-12)
        np.testing.assert_allclose(errors_of(without), 0, atol=1e-6)
