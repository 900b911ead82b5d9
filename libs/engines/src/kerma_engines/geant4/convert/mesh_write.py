"""Write detectors of a project as scoring meshes: position, rotation and bins."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.geant4.convert.gdml_write import number, unrotation
from kerma_engines.geant4.scorers.grammar import RINGS
from kerma_engines.geometry.figures import Box, BoxParameters, Cylinder, CylinderParameters
from kerma_engines.project.scoring import AllDetector, BoxDetector, CylinderDetector, CylinderMesh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kerma_engines.project.project import Project
    from kerma_engines.project.scoring import Detector

#: The most rings of equal width that Geant4 is asked for to match a detector's own.
MAX_RINGS = 2000
_EXACT = 1e-9  # of the radius


def rings(mesh: CylinderMesh) -> tuple[int, int, int] | None:
    """Return rings of equal width about the axis: how many, how many left out, how many per bin.

    Geant4 always counts rings from the axis. A detector with an inner radius is divided into rings
    that fill both that radius and its bins. None if there is no such width.
    """
    width = (mesh.radius - mesh.inner_radius) / mesh.radial_segments
    ratio = Fraction(mesh.inner_radius / width).limit_denominator(MAX_RINGS)
    left_out, grouped = ratio.numerator, ratio.denominator
    count = left_out + grouped * mesh.radial_segments
    fits = abs(left_out * mesh.radius / count - mesh.inner_radius) <= _EXACT * mesh.radius
    return (count, left_out, grouped) if fits and count <= MAX_RINGS else None


def regrouped(detector: Detector) -> bool:
    """Return whether a detector's bins combine several of Geant4's rings, which we must add up."""
    data = detector.geometry_data
    found = rings(data.parameters) if isinstance(data, CylinderDetector) else None
    return found is not None and found[2] > 1


def rings_within(detector: Detector) -> int:
    """Return how many rings of a detector's own width are scored within its inner radius.

    They are dropped when the results are read.
    """
    data = detector.geometry_data
    found = rings(data.parameters) if isinstance(data, CylinderDetector) else None
    return found[1] if found is not None and found[2] == 1 else 0


def mesh_commands(project: Project, detector: Detector, name: str) -> list[str]:
    """Return the commands that declare the mesh of a detector."""
    data = detector.geometry_data
    place = "/score/mesh/translate/xyz " + " ".join(number(x) for x in data.position) + " cm"
    if isinstance(data, CylinderDetector):
        mesh = data.parameters
        count, left_out, grouped = rings(mesh) or (mesh.radial_segments, 0, 1)
        return [
            f"/score/create/cylinderMesh {name}",
            f"/score/mesh/cylinderSize {number(mesh.radius)} {number(0.5 * mesh.depth)} cm",
            f"/score/mesh/nBin {count} {mesh.z_segments} 1",
            *([f"{RINGS} {left_out} {grouped}"] if grouped > 1 else []),
            place,
            *_turns(data),
        ]
    if isinstance(data, BoxDetector):
        box = data.parameters
        half = (0.5 * box.width, 0.5 * box.height, 0.5 * box.depth)
        bins = (box.x_segments, box.y_segments, box.z_segments)
        return [*_box(name, half, bins, place), *_turns(data)]
    if isinstance(data, AllDetector):
        world = project.world.geometry_data
        centre = " ".join(number(x) for x in world.position)
        place = f"/score/mesh/translate/xyz {centre} cm"
        return _box(name, tuple(float(x) for x in world.half_extent), (1, 1, 1), place)
    return [f"/score/create/realWorldLogVol {name}"]


def _box(name: str, half: tuple[float, ...], bins: tuple[int, int, int], place: str) -> list[str]:
    return [
        f"/score/create/boxMesh {name}",
        "/score/mesh/boxSize " + " ".join(number(x) for x in half) + " cm",
        "/score/mesh/nBin " + " ".join(str(n) for n in bins),
        place,
    ]


def _turns(data: CylinderDetector | BoxDetector) -> Iterator[str]:
    """Return the rotations of the mesh, about x, then y, then z.

    As in GDML, they rotate the world's axes into the mesh's own.
    """
    for axis, angle in zip("XYZ", unrotation(data.matrix), strict=True):
        if angle:
            yield f"/score/mesh/rotate/rotate{axis} {number(angle)} deg"


def detector_boxes(project: Project) -> list[NDArray[np.float64]]:
    """Return enclosing boxes, shape (2, 3), of the detectors that outputs use."""
    boxes = []
    used = {output.detector_uuid for output in project.outputs}
    for detector in project.detectors:
        data = detector.geometry_data
        if detector.uuid not in used:
            continue
        solid: Box | Cylinder
        place = {"position": data.position, "rotation": data.rotation}
        if isinstance(data, CylinderDetector):
            mesh = data.parameters
            tube = CylinderParameters(radius=mesh.radius, depth=mesh.depth)
            solid = Cylinder(geometry_type="HollowCylinderGeometry", parameters=tube, **place)
        elif isinstance(data, BoxDetector):
            box = data.parameters
            sides = BoxParameters(width=box.width, height=box.height, depth=box.depth)
            solid = Box(geometry_type="BoxGeometry", parameters=sides, **place)
        else:
            continue
        centre = np.asarray(data.position)
        boxes.append(np.stack([centre - solid.half_extent, centre + solid.half_extent]))
    return boxes
