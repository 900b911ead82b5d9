"""Write detectors as components: meshes in parallel worlds, zones as their one component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.geometry.figures import rotation_matrix
from kerma_engines.project.scoring import (
    AllDetector,
    BoxDetector,
    CylinderDetector,
    Keyword,
    ZoneDetector,
)
from kerma_engines.topas.convert.geometry import number, place, position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.adapter.conversion import Verdict
    from kerma_engines.geometry.bodies import Body
    from kerma_engines.project.project import Project
    from kerma_engines.project.scoring import BoxMesh, CylinderMesh
    from kerma_engines.topas.convert.geometry import Components

WITHOUT_VOLUME = (Keyword.ENERGY, Keyword.AVG_ENERGY, Keyword.DLET, Keyword.TLET)
"""Quantities that can be scored everywhere: they are not divided by volume or mass."""


class Scoreboards:
    """The component that each used detector scores on, and the parameters of those added for it."""

    def __init__(self, project: Project, components: Components | None, verdict: Verdict) -> None:
        self.names: dict[str, str] = {}
        self.lines: list[str] = []
        self.everywhere: set[str] = set()
        used = {output.detector_uuid for output in project.outputs}
        for k, detector in enumerate(project.detectors):
            if detector.uuid not in used:
                continue
            name, data = f"Detector{k + 1}", detector.geometry_data
            if isinstance(data, BoxDetector | CylinderDetector):
                mesh = (
                    _box(name, data.parameters)
                    if isinstance(data, BoxDetector)
                    else _cylinder(name, data.parameters)
                )
                centre, axes = np.asarray(data.position), rotation_matrix(data.rotation)
                self.lines += [*mesh, *_parallel(name), *position(name, centre, axes)]
            elif components is not None and isinstance(data, AllDetector):
                self.everywhere.add(detector.uuid)
                self.lines += _whole(name, components.world)
            elif components is not None and isinstance(data, ZoneDetector):
                place_ = f"{project.places[detector.uuid]}.geometryData.parameters.zoneUuid"
                name = _zone(components, data.parameters.zone_uuid, place_, verdict)
            self.names[detector.uuid] = name


def _zone(components: Components, uuid: str, path: str, verdict: Verdict) -> str:
    name = components.zones.get(uuid)
    if name is None:
        reason = (
            "TOPAS scores in components, and this zone is not one: it is made of several figures, "
            "shares one with another zone, is partly covered, or is nothing but vacuum"
        )
        verdict.refuse(path, reason)
    return name or ""


def _whole(name: str, world: Body) -> Iterator[str]:
    """Return a parallel component of the world's shape."""
    yield from place(name, "World", None, world)
    yield f'b:Ge/{name}/IsParallel = "True"'


def _parallel(name: str) -> Iterator[str]:
    yield f's:Ge/{name}/Parent = "World"'
    yield f'b:Ge/{name}/IsParallel = "True"'


def _box(name: str, box: BoxMesh) -> Iterator[str]:
    yield f's:Ge/{name}/Type = "TsBox"'
    sides = (box.width, box.height, box.depth)
    bins = (box.x_segments, box.y_segments, box.z_segments)
    for axis, side, count in zip("XYZ", sides, bins, strict=True):
        yield f"d:Ge/{name}/HL{axis} = {number(0.5 * side)} cm"
        yield f"i:Ge/{name}/{axis}Bins = {count}"


def _cylinder(name: str, mesh: CylinderMesh) -> Iterator[str]:
    yield f's:Ge/{name}/Type = "TsCylinder"'
    yield f"d:Ge/{name}/RMin = {number(mesh.inner_radius)} cm"
    yield f"d:Ge/{name}/RMax = {number(mesh.radius)} cm"
    yield f"d:Ge/{name}/HL = {number(0.5 * mesh.depth)} cm"
    yield f"i:Ge/{name}/RBins = {mesh.radial_segments}"
    yield f"i:Ge/{name}/PhiBins = 1"
    yield f"i:Ge/{name}/ZBins = {mesh.z_segments}"
