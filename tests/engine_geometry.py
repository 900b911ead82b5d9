"""Readers of engines' geometry, written independently of the converters.

A geometry that is read back answers one question: which material is at a point? Points are an array
of shape (n, 3), answers an array of shape (n,) of material labels, ``""`` outside all zones.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from engine_inputs import Answer, Inside, Points, near, turn, within

# --- bodies of SHIELD-HIT12A and FLUKA -----------------------------------------------------


def body(kind: str, numbers: list[float]) -> Inside:
    """Return a body of combinatorial geometry from its card."""
    v = np.array(numbers)
    if kind == "RPP":
        return lambda p: within(p - 0.5 * (v[0::2] + v[1::2]), 0.5 * (v[1::2] - v[0::2]))
    if kind == "BOX":
        edges = v[3:12].reshape(3, 3)
        centre, share = v[:3] + 0.5 * edges.sum(axis=0), np.linalg.inv(edges)
        return lambda p: within((p - centre) @ share, np.full(3, 0.5))
    if kind == "SPH":
        return lambda p: near(p - v[:3], float(v[3]))
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
    """Regions as alternatives, each an intersection of signed bodies."""

    def __init__(self) -> None:
        self.bodies: dict[str, Inside] = {}
        self.zones: list[tuple[str, list[list[tuple[bool, str]]]]] = []
        self.labels: dict[str, str] = {}

    def count(self, points: Points) -> NDArray[np.int_]:
        """Return the number of zones that contain each point."""
        held = np.zeros(len(points), dtype=int)
        for _, alternatives in self.zones:
            held += self._zone(alternatives, points)
        return held

    def label(self, points: Points) -> Answer:
        """Return the label of the first zone that contains each point."""
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
    """Read ``geo.dat`` in its fixed columns, with materials as ``icru276`` or ``icru276@1.032``."""
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
    """Read geometry and ASSIGNMA cards of FLUKA; ``names`` are labels of its materials."""
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
    """Return parameters of a TOPAS file by name, values without quotes."""
    found = re.findall(r"^\w+:(\S+) = (.*)$", text, flags=re.MULTILINE)
    return {name: value.replace('"', "") for name, value in found}


def topas_labels(text: str, points: Points) -> Answer:
    """Return materials of points: of the component deepest in the tree, or of the last layer."""
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
    # Geant4 rotates the parent's frame by these angles, so the component by their inverse
    return centre + axes @ offset, axes @ turn(*angles).T, generation + 1


def _component(part: dict[str, str], moved: Points) -> NDArray[np.bool_]:
    size = {
        key: float(value.split()[0])
        for key, value in part.items()
        if key[:2] in ("HL", "RM", "ZB", "ZT")
    }
    if part["Type"] == "TsBox":
        half = np.array([size["HLX"], size["HLY"], size["HLZ"]])
        return within(moved, half)
    across = np.hypot(moved[:, 0], moved[:, 1])
    if part["Type"] == "G4Ellipsoid":
        half = np.array([size["HLX"], size["HLY"], size["HLZ"]])
        held: NDArray[np.bool_] = np.sum((moved / half) ** 2, axis=1) < 1
        return held & (moved[:, 2] > size["ZBottom"]) & (moved[:, 2] < size["ZTop"])
    if part["Type"] == "TsSphere":
        return np.hypot(across, moved[:, 2]) < size["RMax"]
    return (across < size["RMax"]) & (np.abs(moved[:, 2]) < size["HL"])
