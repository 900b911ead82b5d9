"""The project model: real examples are read, and every problem is reported with its JSON path."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from kerma_engines.errors import InvalidInput
from kerma_engines.project.project import parse_project

REAL = Path(__file__).parents[4] / "../shared/realdata/projects"


def real(name: str) -> dict[str, Any]:
    path = REAL / f"{name}.json"
    if not path.exists():
        pytest.skip("real projects are not here")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


@pytest.mark.parametrize("name", ["ex1", "ex2", "ex5", "ex6", "payload_editor"])
def test_real_projects_are_read(name: str) -> None:
    project = parse_project(real(name))
    assert project.title
    assert project.beam.energy_unit == "MeV"
    for output in project.outputs:
        assert project.detector(output.detector_uuid).name
    for zone in project.zones:
        assert project.zone_material(zone).material.icru > 0


def minimal() -> dict[str, Any]:
    return {
        "beam": {
            "particle": {"id": 2},
            "energy": 150,
            "numberOfParticles": 1000.0,
        },
        "figureManager": {
            "figures": [
                {
                    "uuid": "f",
                    "geometryData": {
                        "geometryType": "BoxGeometry",
                        "parameters": {"width": 1, "height": 2, "depth": 3},
                    },
                }
            ]
        },
        "zoneManager": {
            "zones": [
                {
                    "uuid": "z",
                    "materialUuid": "m",
                    "unionOperations": [[{"mode": "union", "objectUuid": "f"}]],
                }
            ],
            "worldZone": {
                "uuid": "w",
                "materialUuid": "m",
                "geometryData": {
                    "geometryType": "SphereGeometry",
                    "parameters": {"radius": 9},
                },
            },
        },
        "materialManager": {"materials": [{"uuid": "m", "icru": 276}]},
        "detectorManager": {
            "detectors": [
                {
                    "uuid": "d",
                    "geometryData": {
                        "geometryType": "Mesh",
                        "parameters": {"width": 1, "height": 1, "depth": 1},
                    },
                }
            ]
        },
        "scoringManager": {
            "filters": [],
            "outputs": [
                {
                    "uuid": "o",
                    "name": "dose",
                    "detectorUuid": "d",
                    "quantities": [{"keyword": "Dose"}],
                }
            ],
        },
    }


def test_a_minimal_project_is_read() -> None:
    project = parse_project(minimal())
    assert project.beam.number_of_particles == 1000
    assert project.beam.cosines == (0.0, 0.0, 1.0)


def change(path: str, value: Any) -> dict[str, Any]:
    project = copy.deepcopy(minimal())
    target: Any = project
    *steps, last = path.split("/")
    for step in steps:
        target = target[int(step)] if step.isdigit() else target[step]
    target[int(last) if last.isdigit() else last] = value
    return project


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("beam/energy", math.nan, "beam.energy"),
        ("beam/energy", True, "beam.energy"),
        ("beam/energy", 10**400, "beam.energy"),
        ("beam/numberOfParticles", 0, "beam.numberOfParticles"),
        ("beam/numberOfParticles", 2**53 + 1, "beam.numberOfParticles"),
        ("beam/numberOfParticles", 1.5, "beam.numberOfParticles"),
        ("beam/particle/id", 99, "beam.particle.id"),
        ("beam/direction", [0, 0, 0], "beam"),
        ("beam/position", [0, "1", 0], "beam.position[1]"),
        ("beam", [], "beam"),
        ("figureManager", None, "figureManager"),
        ("figureManager/figures", {}, "figureManager.figures"),
        (
            "figureManager/figures/0/geometryData/geometryType",
            "Torus",
            "figureManager.figures[0].geometryData.geometryType",
        ),
        (
            "figureManager/figures/0/geometryData/parameters/width",
            0,
            "figureManager.figures[0].geometryData.parameters.width",
        ),
        ("zoneManager/worldZone", None, "zoneManager.worldZone"),
        ("zoneManager/zones/0/materialUuid", "x", "zoneManager.zones[0].materialUuid"),
        (
            "zoneManager/zones/0/unionOperations/0/0/objectUuid",
            "x",
            "zoneManager.zones[0].unionOperations[0][0].objectUuid",
        ),
        ("scoringManager/outputs/0/detectorUuid", "x", "scoringManager.outputs[0].detectorUuid"),
        ("scoringManager/outputs/0/name", "../dose", "scoringManager.outputs[0].name"),
        ("scoringManager/outputs/0/name", "a\nb", "scoringManager.outputs[0].name"),
        ("scoringManager/outputs/0/name", "\ud800", "scoringManager.outputs[0].name"),
        ("scoringManager/outputs/0/name", "", "scoringManager.outputs[0].name"),
        (
            "scoringManager/outputs/0/quantities/0",
            {"keyword": "Nonsense"},
            "scoringManager.outputs[0].quantities[0].keyword",
        ),
        (
            "scoringManager/outputs/0/quantities/0",
            {"keyword": "Dose", "filter": "x"},
            "scoringManager.outputs[0].quantities[0].filter",
        ),
    ],
)
def test_a_problem_is_named_with_its_place(path: str, value: Any, place: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_project(change(path, value))
    assert place in {problem.path for problem in refused.value.problems}


def test_all_problems_are_reported_together() -> None:
    project = change("beam/energy", "high")
    project["scoringManager"]["outputs"][0]["detectorUuid"] = "gone"
    project["materialManager"]["materials"][0]["icru"] = None
    with pytest.raises(InvalidInput) as refused:
        parse_project(project)
    assert {problem.path for problem in refused.value.problems} == {
        "beam.energy",
        "scoringManager.outputs[0].detectorUuid",
        "materialManager.materials[0].icru",
    }


def test_output_names_that_differ_only_in_case_are_refused() -> None:
    project = minimal()
    outputs = project["scoringManager"]["outputs"]
    outputs.append({**outputs[0], "uuid": "o2", "name": "DOSE"})
    with pytest.raises(InvalidInput, match="more than one output"):
        parse_project(project)


def test_deeply_nested_figures_are_refused() -> None:
    project = minimal()
    figure = project["figureManager"]["figures"][0]
    nested = dict(figure)
    for _ in range(5000):
        nested = {**figure, "children": [nested]}
    project["figureManager"]["figures"].append(nested)
    with pytest.raises(InvalidInput, match="nested deeper"):
        parse_project(project)


def test_more_bins_than_a_page_may_have_are_refused() -> None:
    project = minimal()
    mesh = project["detectorManager"]["detectors"][0]["geometryData"]["parameters"]
    mesh |= {"xSegments": 10**4, "ySegments": 10**4, "zSegments": 2}
    with pytest.raises(InvalidInput, match="bins"):
        parse_project(project)


@pytest.mark.parametrize("document", [None, [], "project", 3])
def test_anything_but_an_object_is_refused(document: Any) -> None:
    with pytest.raises(InvalidInput):
        parse_project(document)


def test_empty_text_means_nothing_chosen() -> None:
    nothing = {"keyword": "Dose", "filter": "", "materialUuid": "", "medium": ""}
    project = parse_project(change("scoringManager/outputs/0/quantities/0", nothing))
    quantity = project.outputs[0].quantities[0]
    assert (quantity.filter, quantity.material_uuid, quantity.medium) == (None, None, None)


@pytest.mark.parametrize("medium", ["a b", "x\nName", "é", "y" * 33])
def test_a_medium_is_one_word(medium: str) -> None:
    spoilt = change("scoringManager/outputs/0/quantities/0", {"keyword": "Dose", "medium": medium})
    with pytest.raises(InvalidInput, match="medium"):
        parse_project(spoilt)


def unsized(**world: Any) -> dict[str, Any]:
    mapping = minimal()
    mapping["figureManager"]["figures"].append(
        {
            "uuid": "g",
            "geometryData": {
                "geometryType": "HollowCylinderGeometry",
                "parameters": {"radius": 1, "innerRadius": 0, "depth": 10},
                "position": [3, 0, 0],
                "rotation": [0, 90, 0],
            },
        }
    )
    sizes = dict.fromkeys(("width", "height", "depth"), 0)
    empty = {"geometryType": "BoxGeometry", "parameters": sizes}
    mapping["zoneManager"]["worldZone"] |= {"geometryData": empty, **world}
    return mapping


@pytest.mark.parametrize(
    ("world", "factor"),
    [
        ({}, 1.1),
        ({"autoCalculate": False, "marginMultiplier": 2}, 2),
        ({"marginMultiplier": "x"}, 1.1),
        ({"marginMultiplier": 0.5}, 1.1),
    ],
)
def test_a_world_without_size_is_made_around_the_figures(
    world: dict[str, Any], factor: float
) -> None:
    project = parse_project(unsized(**world))
    box = project.world.geometry_data
    assert box.position == pytest.approx((3, 0, 0))
    # the cylinder lies along x from -2 to 8, the first figure is 1 x 2 x 3 about the origin
    assert tuple(box.parameters.model_dump().values()) == pytest.approx(
        (10 * factor, 2 * factor, 3 * factor)
    )
    (note,) = project.notes
    assert note.startswith("zoneManager.worldZone: has no size")
    assert f"{factor:g} times" in note


def test_a_world_that_is_half_sized_or_has_nothing_in_it_is_refused() -> None:
    flat = unsized()
    flat["zoneManager"]["worldZone"]["geometryData"]["parameters"]["width"] = 5
    empty = unsized()
    empty["figureManager"]["figures"], empty["zoneManager"]["zones"] = [], []
    for mapping in (flat, empty):
        with pytest.raises(InvalidInput, match=r"worldZone\.geometryData\.parameters\.height"):
            parse_project(mapping)
