"""Projects to convert, and their zones' materials, computed independently of the converters."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Points = NDArray[np.float64]
Inside = Callable[[Points], NDArray[np.bool_]]
Answer = NDArray[np.str_]

REAL = Path(__file__).parents[1] / "../shared/realdata"


def real_project(name: str) -> dict[str, Any]:
    """Return a genuine project; skip the test if the real data is missing."""
    path = REAL / "projects" / f"{name}.json"
    if not path.exists():
        pytest.skip("the real data is not here")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def editor_project(name: str) -> dict[str, Any]:
    """Return the same without the wrapper of the editor's downloads."""
    loaded = real_project(name)
    inside: dict[str, Any] = loaded.get("input", {}).get("inputJson", loaded)
    return inside


# --- projects -------------------------------------------------------------------------------


def figure(
    uuid: str,
    kind: str,
    position: tuple[float, float, float] = (0, 0, 0),
    rotation: tuple[float, float, float] = (0, 0, 0),
    **sizes: float,
) -> dict[str, Any]:
    """A figure; ``kind`` is box, cylinder or sphere."""
    kinds = {"box": "BoxGeometry", "cylinder": "HollowCylinderGeometry", "sphere": "SphereGeometry"}
    return {
        "uuid": uuid,
        "name": uuid,
        "geometryData": {
            "geometryType": kinds[kind],
            "position": list(position),
            "rotation": list(rotation),
            "parameters": sizes,
        },
    }


def zone(uuid: str, icru: int, *terms: str, **overrides: Any) -> dict[str, Any]:
    """Return a zone; terms like ``a-b*c`` unite (+), subtract (-) and intersect (*) figures."""
    modes = {"+": "union", "-": "subtraction", "*": "intersection"}
    operations = [
        [
            {"mode": modes[sign or "+"], "objectUuid": name}
            for sign, name in re.findall(r"([-+*]?)(\w+)", term)
        ]
        for term in terms
    ]
    return {
        "uuid": uuid,
        "name": uuid,
        "materialUuid": f"icru{icru}",
        "materialPropertiesOverrides": overrides,
        "unionOperations": operations,
    }


def project(
    figures: list[dict[str, Any]],
    zones: list[dict[str, Any]],
    world: dict[str, Any],
    world_icru: int = 1000,
    **changes: Any,
) -> dict[str, Any]:
    """Return a project of those zones that scores dose in a small mesh."""
    base: dict[str, Any] = {
        "project": {"title": "A test", "simulator": "common"},
        "beam": {
            "particle": {"id": 2, "a": 1, "z": 1},
            "energy": 150,
            "energyUnit": "MeV",
            "energySpread": 1.5,
            "numberOfParticles": 1000,
        },
        "physic": {},
        "figureManager": {"figures": figures},
        "zoneManager": {
            "zones": zones,
            "worldZone": {
                "uuid": "world",
                "materialUuid": f"icru{world_icru}",
                "geometryData": world["geometryData"],
            },
        },
        "materialManager": {
            "materials": [
                {"uuid": f"icru{icru}", "icru": icru}
                for icru in (0, 1000, 82, 104, 276, 223, 170, 13, 3)
            ]
        },
        "detectorManager": {"detectors": [detector()]},
        "scoringManager": {"filters": [], "outputs": [output("dose", "Dose")]},
    }
    return base | changes


def phantom(**changes: Any) -> dict[str, Any]:
    """Return a project of a cube of water in vacuum."""
    figures = [figure("f", "box", width=4, height=4, depth=4)]
    world = figure("w", "box", width=10, height=10, depth=10)
    return project(figures, [zone("z", 276, "f")], world, **changes)


def with_beam(**changes: Any) -> dict[str, Any]:
    """Return the same project with another beam."""
    return phantom(beam=phantom()["beam"] | changes)


def detector(**changes: Any) -> dict[str, Any]:
    """Return a mesh of 2 x 3 x 4 bins of 1 cm."""
    data = {
        "geometryType": "Mesh",
        "position": [0, 0, 0],
        "rotation": [0, 0, 0],
        "parameters": {
            "width": 2,
            "height": 3,
            "depth": 4,
            "xSegments": 2,
            "ySegments": 3,
            "zSegments": 4,
        },
    }
    return {"uuid": "mesh", "name": "mesh", "geometryData": data | changes}


def output(name: str, *keywords: str, **changes: Any) -> dict[str, Any]:
    """Return an output on the mesh; ``changes`` apply to all its quantities."""
    return {
        "uuid": name,
        "name": name,
        "detectorUuid": "mesh",
        "quantities": [{"name": k, "keyword": k, **changes} for k in keywords],
    }


def truth(mapping: dict[str, Any], points: Points) -> Answer:
    """Return the project's material at points: of the first zone that holds them, or the world."""
    data = mapping["zoneManager"]
    figures = {f["uuid"]: f["geometryData"] for f in mapping["figureManager"]["figures"]}
    inside = {uuid: _solid(data, points) for uuid, data in figures.items()}
    answer: Answer = np.full(len(points), "", dtype="<U32")
    answer[_solid(data["worldZone"]["geometryData"], points)] = data["worldZone"]["materialUuid"]
    in_world = answer != ""
    for one in reversed(data["zones"]):
        held = np.zeros(len(points), dtype=bool)
        for term in one["unionOperations"]:
            held |= _evaluate(term, inside, len(points))
        answer[held & in_world] = one["materialUuid"]
    return answer


def _evaluate(
    term: list[dict[str, str]], inside: dict[str, NDArray[np.bool_]], count: int
) -> NDArray[np.bool_]:
    held = np.full(count, term[0]["mode"] == "subtraction")
    for k, step in enumerate(term):
        points = inside[step["objectUuid"]]
        if step["mode"] == "union" or (k == 0 and step["mode"] == "intersection"):
            held = held | points
        elif step["mode"] == "subtraction":
            held = held & ~points
        else:
            held = held & points
    return held


def turn(x: float, y: float, z: float) -> Points:
    """Return the rotation matrix about the fixed x, then y, then z axis; degrees."""
    (a, b, c), matrix = map(math.radians, (x, y, z)), np.eye(3)
    for angle, (i, j) in ((a, (1, 2)), (b, (2, 0)), (c, (0, 1))):
        step = np.eye(3)
        step[i, i] = step[j, j] = math.cos(angle)
        step[j, i], step[i, j] = math.sin(angle), -math.sin(angle)
        matrix = step @ matrix
    return matrix


def _solid(data: dict[str, Any], points: Points) -> NDArray[np.bool_]:
    rotation = data.get("rotation", (0, 0, 0))
    moved: Points = (points - np.asarray(data.get("position", (0, 0, 0)))) @ turn(*rotation)
    sizes = data["parameters"]
    if data["geometryType"] == "BoxGeometry":
        half = 0.5 * np.array([sizes["width"], sizes["height"], sizes["depth"]])
        return within(moved, half)
    across = np.hypot(moved[:, 0], moved[:, 1])
    if data["geometryType"] == "SphereGeometry":
        return near(moved, sizes["radius"])
    walls = (across < sizes["radius"]) & (across > sizes.get("innerRadius", 0))
    tube: NDArray[np.bool_] = walls & (np.abs(moved[:, 2]) < 0.5 * sizes["depth"])
    return tube


def within(points: Points, half: Points) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.all(np.abs(points) < half, axis=1)
    return inside


def near(points: Points, radius: float) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = np.linalg.norm(points, axis=1) < radius
    return near
