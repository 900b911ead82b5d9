"""The places where detectors score: meshes, also rotated ones, regions, and everything.

USRBIN scores in meshes (types 10 and 11) and by region (type 12), where each bin is one region,
from the one in the lower card's first field to the one in the upper card's fourth. Meshes lie along
the axes; ROTPRBIN ties one to a transformation of ROT-DEFIni, which maps points of the world to
those of the mesh. ROT-DEFIni cards with one name act one after the other, each translating first:
field 1 is 100, 200 or 300 for a rotation about x, y or z by minus the azimuth in field 3 (manual,
ROT-DEFIni and 8.4.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.fluka.convert.cards import card
from kerma_engines.fluka.convert.geometry import WORLD, region_name
from kerma_engines.fluka.convert.volumes import Volume, volume
from kerma_engines.project.scoring import AllDetector, BoxDetector, CylinderDetector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.adapter.conversion import Verdict
    from kerma_engines.fluka.convert.cards import What
    from kerma_engines.geometry.csg import Layout
    from kerma_engines.project.project import Project
    from kerma_engines.project.scoring import BoxMesh, CylinderMesh, ZoneDetector

_CARTESIAN, _CYLINDRICAL, _BY_REGION = 10.0, 11.0, 12.0
_WORST = 0.01  # largest accepted relative error of an estimated volume


@dataclass(frozen=True, slots=True)
class Mesh:
    """Both halves of a USRBIN: upper limits, then lower limits and bins.

    The volume of a bin, cm3, is ``first`` at the beginning of the first axis and grows by ``step``
    from bin to bin along it. ``turned`` names a transformation.
    """

    kind: float
    upper: tuple[float, ...]
    lower: tuple[float, ...]
    first: float
    step: float = 0.0
    turned: str = ""


@dataclass(frozen=True, slots=True)
class Region:
    """One region, and its volume."""

    name: str
    volume: Volume


@dataclass(frozen=True, slots=True)
class Everywhere:
    """All regions from the first to the last."""

    first: str
    last: str


Place = Mesh | Region | Everywhere


def binning(place: Place) -> tuple[float, tuple[What, ...], tuple[What, ...]]:
    """Return the type, the last three fields of the first card, and the fields of the second."""
    if isinstance(place, Mesh):
        return place.kind, place.upper, place.lower
    first, last = (
        (place.name, place.name) if isinstance(place, Region) else (place.first, place.last)
    )
    return _BY_REGION, (last,), (first, None, None, 1.0)


class Places:
    """Detectors of a project as places, and the cards of their transformations."""

    def __init__(self, project: Project, layout: Layout | None, verdict: Verdict) -> None:
        self.cards: list[str] = []
        self._project = project
        self._layout = layout
        self._verdict = verdict
        self._known: dict[str, Place | None] = {}

    def of(self, uuid: str, path: str) -> Place | None:
        """Return the place of a detector; None when ``path``, which refers to it, was refused."""
        if uuid not in self._known:
            self._known[uuid] = self._find(uuid, path)
        return self._known[uuid]

    def _find(self, uuid: str, path: str) -> Place | None:
        data = self._project.detector(uuid).geometry_data
        if isinstance(data, BoxDetector | CylinderDetector):
            turned = self._turned(data) if not np.array_equal(data.matrix, np.eye(3)) else ""
            if isinstance(data, BoxDetector):
                return _box(data.position, data.parameters, turned)
            return _cylinder(data.position, data.parameters, turned)
        if self._layout is None:
            return None
        if isinstance(data, AllDetector):
            regions = [region_name(k) for k in range(len(self._project.zones))]
            regions += [WORLD] if self._layout.world else []
            return Everywhere(regions[0], regions[-1])
        return self._region(data, self._layout, path)

    def _turned(self, data: BoxDetector | CylinderDetector) -> str:
        """Return the name of the transformation from the world to a rotated mesh.

        It rotates the mesh about its centre.
        """
        name = f"turn{len({line[70:] for line in self.cards}) + 1}"
        x, y, z = data.position
        moved = any(data.position)
        if moved:
            self.cards.append(card("ROT-DEFI", [0.0, None, None, -x, -y, -z], name))
        for axis in (2, 1, 0):
            angle = math.remainder(data.rotation[axis], 360.0)
            if angle:
                self.cards.append(card("ROT-DEFI", [100.0 * (axis + 1), None, angle], name))
        if moved:
            self.cards.append(card("ROT-DEFI", [0.0, None, None, x, y, z], name))
        return name

    def _region(self, data: ZoneDetector, layout: Layout, path: str) -> Region | None:
        project = self._project
        owners = [(zone, region_name(k)) for k, zone in enumerate(project.zones)]
        uuid = data.parameters.zone_uuid
        found = next((pair for pair in owners if pair[0].uuid == uuid), None)
        terms = layout.zones[owners.index(found)] if found else layout.world
        zone, name = found or (project.world, WORLD)
        if not terms or (found is None and uuid != project.world.uuid):
            self._verdict.refuse(path, "the detector's zone has no points")
            return None
        if project.zone_material(zone).material.is_black_hole:
            self._verdict.refuse(path, "nothing is scored in a zone that is a black hole")
            return None
        size = volume(layout.space, terms)
        if not size.value > 0 or size.error > _WORST * size.value:
            reason = "the detector's zone is too small or too intricate to estimate its volume"
            self._verdict.refuse(path, reason)
            return None
        if size.error:
            error = 100.0 * size.error / size.value
            text = f"results are divided by an estimate of the zone's volume, {size.value:.6g} cm3"
            self._verdict.note(path, f"{text}, with a standard error of {error:.2g} %")
        return Region(name, size)


def turned_cards(place: Place, name: str) -> Iterator[str]:
    """Return the card that ties the binning of that name to the place's transformation."""
    if isinstance(place, Mesh) and place.turned:
        yield card("ROTPRBIN", [0.0, place.turned, None, name, name])


def _box(position: tuple[float, float, float], box: BoxMesh, turned: str) -> Mesh:
    sides = (box.width, box.height, box.depth)
    bins = (box.x_segments, box.y_segments, box.z_segments)
    low = [_tidy(at - 0.5 * side) for at, side in zip(position, sides, strict=True)]
    high = [_tidy(at + 0.5 * side) for at, side in zip(position, sides, strict=True)]
    each = math.prod(sides) / math.prod(bins)
    return Mesh(_CARTESIAN, tuple(high), (*low, *bins), each, turned=turned)


def _cylinder(position: tuple[float, float, float], mesh: CylinderMesh, turned: str) -> Mesh:
    # the axis of an R-Phi-Z mesh stands where a Cartesian one has limits of y and x
    x, y, z = position
    high = (mesh.radius, y, _tidy(z + 0.5 * mesh.depth))
    low = (mesh.inner_radius, x, _tidy(z - 0.5 * mesh.depth))
    width = (mesh.radius - mesh.inner_radius) / mesh.radial_segments
    slab = math.pi * width * mesh.depth / mesh.z_segments
    first = slab * (2.0 * mesh.inner_radius + width)
    step = 2.0 * slab * width if mesh.radial_segments > 1 else 0.0
    lower = (*low, mesh.radial_segments, 1, mesh.z_segments)
    return Mesh(_CYLINDRICAL, high, lower, first, step, turned)


def _tidy(value: float) -> float:
    return round(value, 9)
