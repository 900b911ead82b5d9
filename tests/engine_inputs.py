"""Readers of engines' geometry, written apart from the converters, and projects to convert.

A geometry read back answers one question: what is a point made of? Points are an array of shape
(n, 3), answers an array of shape (n,) of material labels, ``""`` where no zone is.
"""

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
    """A genuine project, or a skipped test where the real data is not."""
    path = REAL / "projects" / f"{name}.json"
    if not path.exists():
        pytest.skip("the real data is not here")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def editor_project(name: str) -> dict[str, Any]:
    """The same without what surrounds it in downloads of the editor."""
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
    """A zone; a term is figures joined by ``+`` (take or join), ``-`` and ``*``: ``a-b*c``."""
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
    """A project of those zones that scores dose in a small mesh."""
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
    """A project of a cube of water in vacuum."""
    figures = [figure("f", "box", width=4, height=4, depth=4)]
    world = figure("w", "box", width=10, height=10, depth=10)
    return project(figures, [zone("z", 276, "f")], world, **changes)


def with_beam(**changes: Any) -> dict[str, Any]:
    """The same with another beam."""
    return phantom(beam=phantom()["beam"] | changes)


def detector(**changes: Any) -> dict[str, Any]:
    """A mesh of 2 x 3 x 4 bins of 1 cm."""
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
    """An output on the mesh; ``changes`` go to all its quantities."""
    return {
        "uuid": name,
        "name": name,
        "detectorUuid": "mesh",
        "quantities": [{"name": k, "keyword": k, **changes} for k in keywords],
    }


def truth(mapping: dict[str, Any], points: Points) -> Answer:
    """What the project says of points: the first zone that holds them, or the world's."""
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
    """Rotation matrix: about the fixed x, then y, then z axis; degrees."""
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
        return _within(moved, half)
    across = np.hypot(moved[:, 0], moved[:, 1])
    if data["geometryType"] == "SphereGeometry":
        return _near(moved, sizes["radius"])
    walls = (across < sizes["radius"]) & (across > sizes.get("innerRadius", 0))
    tube: NDArray[np.bool_] = walls & (np.abs(moved[:, 2]) < 0.5 * sizes["depth"])
    return tube


def _within(points: Points, half: Points) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.all(np.abs(points) < half, axis=1)
    return inside


def _near(points: Points, radius: float) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = np.linalg.norm(points, axis=1) < radius
    return near


# --- bodies of SHIELD-HIT12A and FLUKA -----------------------------------------------------


def body(kind: str, numbers: list[float]) -> Inside:
    """A body of combinatorial geometry from its card."""
    v = np.array(numbers)
    if kind == "RPP":
        return lambda p: _within(p - 0.5 * (v[0::2] + v[1::2]), 0.5 * (v[1::2] - v[0::2]))
    if kind == "BOX":
        edges = v[3:12].reshape(3, 3)
        centre, share = v[:3] + 0.5 * edges.sum(axis=0), np.linalg.inv(edges)
        return lambda p: _within((p - centre) @ share, np.full(3, 0.5))
    if kind == "SPH":
        return lambda p: _near(p - v[:3], float(v[3]))
    assert kind == "RCC", kind
    height = float(np.linalg.norm(v[3:6]))
    axis = v[3:6] / height

    def inside(p: Points) -> NDArray[np.bool_]:
        along = (p - v[:3]) @ axis
        across = np.linalg.norm(p - v[:3] - np.outer(along, axis), axis=1)
        held: NDArray[np.bool_] = (along > 0) & (along < height) & (across < v[6])
        return held

    return inside


class Regions:
    """Regions of signed bodies: alternatives of intersections."""

    def __init__(self) -> None:
        self.bodies: dict[str, Inside] = {}
        self.zones: list[tuple[str, list[list[tuple[bool, str]]]]] = []
        self.labels: dict[str, str] = {}

    def count(self, points: Points) -> NDArray[np.int_]:
        """In how many zones each point is."""
        held = np.zeros(len(points), dtype=int)
        for _, alternatives in self.zones:
            held += self._zone(alternatives, points)
        return held

    def label(self, points: Points) -> Answer:
        """Label of the first zone that holds each point."""
        answer: Answer = np.full(len(points), "", dtype="<U32")
        for name, alternatives in reversed(self.zones):
            answer[self._zone(alternatives, points)] = self.labels[name]
        return answer

    def _zone(
        self, alternatives: list[list[tuple[bool, str]]], points: Points
    ) -> NDArray[np.bool_]:
        held = np.zeros(len(points), dtype=bool)
        for alternative in alternatives:
            met = np.ones(len(points), dtype=bool)
            for positive, name in alternative:
                met &= self.bodies[name](points) == positive
            held |= met
        return held


def read_geo_dat(geo: str, mat: str) -> Regions:
    """``geo.dat`` in its fixed columns, with materials as ``icru276`` or ``icru276@1.032``."""
    regions = Regions()
    bodies, zones, table = re.split(r"^\s*END\s*$", geo, flags=re.MULTILINE)
    _title, *lines = [line for line in bodies.splitlines() if line.strip() and line[0] != "*"]
    cards: list[tuple[str, str, list[float]]] = []
    for line in lines:
        if line[2:5].strip():
            cards.append((line[2:5], line[5:10].strip(), []))
        cards[-1][2].extend(float(line[k : k + 10]) for k in range(10, len(line.rstrip()), 10))
    for kind, name, numbers in cards:
        regions.bodies[name] = body(kind, numbers)
    for line in zones.splitlines():
        if not line.strip():
            continue
        if line[2:5].strip():
            regions.zones.append((str(int(line[2:5])), [[]]))
        alternatives = regions.zones[-1][1]
        for k in range(10, len(line.rstrip()), 7):
            joiner, number = line[k : k + 2], int(line[k + 2 : k + 7])
            if joiner == "OR":
                alternatives.append([])
            alternatives[-1].append((number > 0, str(abs(number))))
    media = _media(mat)
    rows = [
        [int(row[k : k + 5]) for k in range(0, len(row), 5)] for row in table.splitlines() if row
    ]
    half = len(rows) // 2
    numbers = [n for row in rows[:half] for n in row]
    for zone_number, medium in zip(numbers, [n for row in rows[half:] for n in row], strict=True):
        regions.labels[str(zone_number)] = media.get(medium, f"icru{medium}")
    return regions


def _media(mat: str) -> dict[int, str]:
    media: dict[int, str] = {}
    for block in re.split(r"^END\s*$", mat, flags=re.MULTILINE):
        cards = dict(line.split(maxsplit=1) for line in block.splitlines() if " " in line)
        if cards:
            density = f"@{cards['RHO'].strip()}" if "RHO" in cards else ""
            media[int(cards["MEDIUM"])] = f"icru{cards['ICRU'].strip()}{density}"
    return media


def read_fluka(text: str, names: dict[str, str]) -> Regions:
    """Geometry and ASSIGNMA cards of FLUKA; ``names`` are labels of its materials."""
    regions = Regions()
    geometry = text.split("GEOBEGIN", 1)[1].split("GEOEND", 1)[0]
    bodies, zones, _ = re.split(r"^END$", geometry, flags=re.MULTILINE)
    joined = re.sub(r"\n\s*(?=[+-]?\d)", " ", "\n".join(bodies.splitlines()[2:]))
    for line in joined.splitlines():
        if line and not line.startswith("*"):
            kind, name, *numbers = line.split()
            regions.bodies[name] = body(kind, [float(number) for number in numbers])
    for line in re.sub(r"\n\s+", " ", zones).splitlines():
        if not line.strip() or line.startswith("*"):
            continue
        name, _, expression = line.split(maxsplit=2)
        alternatives = [
            [(sign == "+", which) for sign, which in re.findall(r"([+-])\s*(\w+)", part)]
            for part in expression.split("|")
            if part.strip()
        ]
        regions.zones.append((name, alternatives))
    for line in text.splitlines():
        if line.startswith("ASSIGNMA"):
            material, region = line[10:20].strip(), line[20:30].strip()
            regions.labels[region] = names[material]
    return regions


# --- components of TOPAS ---------------------------------------------------------------------


def read_parameters(text: str) -> dict[str, str]:
    """Parameters of a TOPAS file by name, values without quotes."""
    found = re.findall(r"^\w+:(\S+) = (.*)$", text, flags=re.MULTILINE)
    return {name: value.replace('"', "") for name, value in found}


def topas_labels(text: str, points: Points) -> Answer:
    """Materials of points: of the component deepest in the tree, or of the last layer."""
    parameters = read_parameters(text)
    parts: dict[str, dict[str, str]] = {}
    for name, value in parameters.items():
        if name.startswith("Ge/"):
            _, component, key = name.split("/")
            parts.setdefault(component, {})[key] = value
    layers = parameters.get("Ph/Default/LayeredMassGeometryWorlds", "0").split()[1:]
    answer: Answer = np.full(len(points), "", dtype="<U32")
    depth = np.full(len(points), -1)
    for name, part in parts.items():
        if "Material" not in part:
            continue
        centre, axes, generation = _frame(parts, name)
        level = 1000 + layers.index(name) if name in layers else generation
        held = _component(part, (points - centre) @ axes) & (depth < level)
        answer[held], depth[held] = part["Material"], level
    return answer


def _frame(parts: dict[str, dict[str, str]], name: str) -> tuple[Points, Points, int]:
    if name == "World":
        return np.zeros(3), np.eye(3), 0
    part = parts[name]
    centre, axes, generation = _frame(parts, part["Parent"])
    offset = np.array([float(part[f"Trans{k}"].split()[0]) for k in "XYZ"])
    angles = [float(part[f"Rot{k}"].split()[0]) for k in "XYZ"]
    # Geant4 turns the parent's frame by these angles, so the component by their inverse
    return centre + axes @ offset, axes @ turn(*angles).T, generation + 1


def _component(part: dict[str, str], moved: Points) -> NDArray[np.bool_]:
    size = {
        key: float(value.split()[0])
        for key, value in part.items()
        if key[:2] in ("HL", "RM", "ZB", "ZT")
    }
    if part["Type"] == "TsBox":
        half = np.array([size["HLX"], size["HLY"], size["HLZ"]])
        return _within(moved, half)
    across = np.hypot(moved[:, 0], moved[:, 1])
    if part["Type"] == "G4Ellipsoid":
        half = np.array([size["HLX"], size["HLY"], size["HLZ"]])
        held: NDArray[np.bool_] = np.sum((moved / half) ** 2, axis=1) < 1
        return held & (moved[:, 2] > size["ZBottom"]) & (moved[:, 2] < size["ZTop"])
    if part["Type"] == "TsSphere":
        return np.hypot(across, moved[:, 2]) < size["RMax"]
    return (across < size["RMax"]) & (np.abs(moved[:, 2]) < size["HL"])
