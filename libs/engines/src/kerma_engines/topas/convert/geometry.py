"""Write figures and zones as components and materials."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.geometry.figures import Box, Cylinder
from kerma_engines.physics.composition import ELEMENTS, composition
from kerma_engines.physics.material_names import material_name
from kerma_engines.project.scoring import BoxDetector, CylinderDetector
from kerma_engines.project.source import material_path
from kerma_engines.topas.convert.intersections import shared
from kerma_engines.topas.convert.layers import NotLayeredError, paint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kerma_engines.adapter.conversion import Verdict
    from kerma_engines.geometry.bodies import Body
    from kerma_engines.geometry.csg import Layout
    from kerma_engines.project.project import Project
    from kerma_engines.project.scoring import Detector
    from kerma_engines.project.source import Overrides, ZoneMaterial
    from kerma_engines.topas.convert.intersections import Piece
    from kerma_engines.topas.convert.layers import Layer, Painting

_ROOM = 10.0  # cm of vacuum around everything that is placed
_TAILS = 10.0  # standard deviations of the beam that start within the world


class Components:
    """Places the bodies of a project, and defines their materials."""

    def __init__(self, project: Project, layout: Layout, verdict: Verdict) -> None:
        self._project = project
        self._layout = layout
        self._verdict = verdict
        self._owners = [project.zone_material(zone) for zone in project.zones]
        self._owners.append(project.zone_material(project.world))
        self._paths = [*project.zone_paths, project.world_path]
        self._materials: dict[tuple[int, Overrides], str] = {}
        self._definitions: list[str] = []
        self.world = layout.space.bodies[next(iter(layout.boundary)) - 1]
        self.zones: dict[str, str] = {}
        """Components by the id of their zone, for zones that are a single component."""

    def lines(self) -> list[str]:
        """Return parameters of materials, world and components; problems are recorded."""
        keys = [(used.material.icru, used.overrides) for used in self._owners]
        colours = [keys.index(key) for key in keys]
        try:
            painting = paint(self._layout, colours)
        except NotLayeredError as error:
            named = [self._name(zone) for zone in sorted(error.zones) if zone >= 0]
            said = f": {', '.join(named)}" if named else ""
            self._verdict.refuse("zoneManager.zones", f"{error}{said}")
            return []
        placed = list(self._components(painting))
        return [*self._definitions, *self._world(), *placed]

    def _name(self, zone: int) -> str:
        return self._project.zones[zone].name or f"zone {zone + 1}"

    def _world(self) -> Iterator[str]:
        reach = np.maximum(np.abs(self.world.low), np.abs(self.world.high))
        beam = self._project.beam
        start = np.abs(beam.position) + _TAILS * max(beam.sigma.x, beam.sigma.y)
        for corner in (start, *map(_reach, self._project.detectors)):
            reach = np.maximum(reach, corner)
        yield 's:Ge/World/Type = "TsBox"'
        yield 's:Ge/World/Material = "Vacuum"'
        for axis, length in zip("XYZ", reach, strict=True):
            yield f"d:Ge/World/HL{axis} = {number(length + _ROOM)} cm"

    def _components(self, painting: Painting) -> Iterator[str]:
        surroundings = self._owners[-1]
        # Nothing returns from outside a convex body, so vacuum there acts as a black hole.
        name = "World"
        if surroundings.material.is_black_hole:
            self._check_black_hole(painting)
        else:
            name = "Surroundings"
            material = self._material(-1)
            yield from place(name, "World", None, self.world)
            yield f's:Ge/{name}/Material = "{material}"'
            if painting.nested and painting.rest == {-1}:
                self.zones[self._project.world.uuid] = name
        outermost = None if name == "World" else self.world
        names: list[str] = []
        for k, layer in enumerate(painting.layers):
            body = self._layout.space.bodies[layer.body - 1]
            own = f"Body{layer.body}"
            material = f's:Ge/{own}/Material = "{self._material(layer.zone)}"'
            if layer.within is not None:
                for piece in self._shared(layer):
                    names.append(f"{own}_{layer.within}_{len(names)}")
                    yield from _piece(names[-1], piece)
                    yield material.replace(f"/{own}/", f"/{names[-1]}/")
                continue
            if self._is_zone(painting, k):
                self.zones[self._project.zones[layer.zone].uuid] = own
            if not painting.nested:
                names.append(own)
                yield from place(own, "World", None, body)
                yield material
                yield f'b:Ge/{own}/IsParallel = "True"'
                continue
            around = self._around(painting, k)
            holder = outermost if around is None else self._layout.space.bodies[around - 1]
            parent = name if around is None else f"Body{around}"
            yield from place(own, parent, holder, body)
            yield material
        if names:
            listed = " ".join(f'"{name}"' for name in names)
            yield f"sv:Ph/Default/LayeredMassGeometryWorlds = {len(names)} {listed}"

    def _is_zone(self, painting: Painting, k: int) -> bool:
        """Return whether the visible part of the ``k``-th body, and nothing else, is one zone.

        A component scores outside the components within it, but also where another parallel world
        overlaps.
        """
        layer = painting.layers[k]
        if layer.zones != {layer.zone} or layer.zone < 0 or layer.zone in painting.rest:
            return False
        if any(layer.zone in other.zones for other in painting.layers if other is not layer):
            return False
        above = painting.layers[k + 1 :]
        apart = self._layout.space.disjoint
        return painting.nested or all(
            any(apart(layer.body, body) for body in other.bodies) for other in above
        )

    def _shared(self, layer: Layer) -> list[Piece]:
        first, second = (self._layout.space.bodies[body - 1] for body in layer.bodies)
        return shared(first, second) or []

    def _around(self, painting: Painting, k: int) -> int | None:
        """Return the topmost body below the ``k``-th that contains it."""
        inner = painting.layers[k].body
        for layer in reversed(painting.layers[:k]):
            if self._layout.space.contains(layer.body, inner):
                return layer.body
        return None

    def _check_black_hole(self, painting: Painting) -> None:
        """Check a black hole: vacuum may replace it only around one body containing all others."""
        space = self._layout.space
        hull = painting.layers[0].body if painting.layers else None
        if hull is None or not all(space.contains(hull, layer.body) for layer in painting.layers):
            reason = "TOPAS has no black hole; it can only end the world around a single figure"
            self._verdict.refuse(material_path(self._paths[-1]), reason)

    def _material(self, index: int) -> str:
        used = self._owners[index]
        key = (used.material.icru, used.overrides)
        if key not in self._materials:
            self._materials[key] = self._define(self._paths[index], used)
        return self._materials[key]

    def _define(self, path: str, used: ZoneMaterial) -> str:
        overrides = used.overrides
        if overrides.custom_stopping_power:
            place_ = f"{path}.materialPropertiesOverrides.customStoppingPower"
            self._verdict.refuse(place_, "TOPAS calculates its own stopping powers")
        if used.material.is_vacuum:
            return "Vacuum"
        base = material_name(used.material.icru)
        if used.material.is_black_hole or base is None:
            reason = (
                "TOPAS has no black hole"
                if used.material.is_black_hole
                else f"TOPAS has no material of ICRU number {used.material.icru}"
            )
            self._verdict.refuse(material_path(path), reason)
            return "Vacuum"
        if overrides.density is None and overrides.average_ionisation_potential is None:
            return base
        return self._variant(path, used)

    def _variant(self, path: str, used: ZoneMaterial) -> str:
        made_of = composition(used.material.icru)
        if made_of is None:
            reason = f"the composition of ICRU material {used.material.icru} is not known"
            self._verdict.refuse(material_path(path), reason)
            return "Vacuum"
        density = used.overrides.density or made_of.density
        potential = used.overrides.average_ionisation_potential or made_of.excitation
        name = f"Variant{len(self._materials) + 1}"
        elements = " ".join(f'"{ELEMENTS[z - 1]}"' for z, _ in made_of.fractions)
        fractions = " ".join(number(fraction) for _, fraction in made_of.fractions)
        count = len(made_of.fractions)
        self._definitions += [
            f"sv:Ma/{name}/Components = {count} {elements}",
            f"uv:Ma/{name}/Fractions = {count} {fractions}",
            f"d:Ma/{name}/Density = {number(density)} g/cm3",
            f"d:Ma/{name}/MeanExcitationEnergy = {number(potential)} eV",
        ]
        return name


def _reach(detector: Detector) -> NDArray[np.float64]:
    """Return the farthest a detector may be from the origin along any axis, shape (3,)."""
    data = detector.geometry_data
    half = 0.0
    if isinstance(data, BoxDetector):
        half = 0.5 * math.hypot(
            data.parameters.width, data.parameters.height, data.parameters.depth
        )
    elif isinstance(data, CylinderDetector):
        half = math.hypot(data.parameters.radius, 0.5 * data.parameters.depth)
    farthest: NDArray[np.float64] = np.abs(data.position) + half
    return farthest


def number(value: float) -> str:
    """Format a number for TOPAS."""
    return f"{value + 0.0:.12g}"


def place(name: str, parent: str, holder: Body | None, body: Body) -> Iterator[str]:
    """Return parameters of one component: type, size, position and rotation within its parent.

    ``holder`` is the parent's body, None for the world, whose axes are those of the project.
    """
    solid = body.solid
    if isinstance(solid, Box):
        yield f's:Ge/{name}/Type = "TsBox"'
        for axis, half in zip("XYZ", body.half, strict=True):
            yield f"d:Ge/{name}/HL{axis} = {number(half)} cm"
    elif isinstance(solid, Cylinder):
        yield f's:Ge/{name}/Type = "TsCylinder"'
        yield f"d:Ge/{name}/RMax = {number(body.half[0])} cm"
        yield f"d:Ge/{name}/HL = {number(body.half[2])} cm"
    else:
        yield f's:Ge/{name}/Type = "TsSphere"'
        yield f"d:Ge/{name}/RMax = {number(body.half[0])} cm"
    yield f's:Ge/{name}/Parent = "{parent}"'
    if holder is None:
        yield from position(name, body.centre, body.axes)
    else:
        centre = (body.centre - holder.centre) @ holder.axes
        yield from position(name, centre, holder.axes.T @ body.axes)


def _piece(name: str, piece: Piece) -> Iterator[str]:
    """Return parameters of a component in a parallel world of its own."""
    yield f's:Ge/{name}/Type = "{piece.type}"'
    for size, value in piece.sizes.items():
        yield f"d:Ge/{name}/{size} = {number(value)} cm"
    yield f's:Ge/{name}/Parent = "World"'
    yield from position(name, piece.centre, piece.axes)
    yield f'b:Ge/{name}/IsParallel = "True"'


def position(name: str, centre: NDArray[np.float64], axes: NDArray[np.float64]) -> Iterator[str]:
    """Return position and rotation of a component whose own axes are the columns of ``axes``."""
    for axis, value in zip("XYZ", centre, strict=True):
        yield f"d:Ge/{name}/Trans{axis} = {number(value)} cm"
    for axis, angle in zip("XYZ", turns(axes), strict=True):
        yield f"d:Ge/{name}/Rot{axis} = {number(angle)} deg"


def turns(axes: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return angles about x, y and z, degrees, that rotate a component to the given ``axes``.

    Geant4 rotates the parent's frame instead of the component: the matrix from the angles, first
    about x, then y, then z, is the inverse of the component's rotation.
    """
    matrix = axes.T
    sine = -float(matrix[2, 0])
    if abs(sine) > 1.0 - 1e-12:
        about_y = math.copysign(90.0, sine)
        about_x = math.degrees(math.atan2(-matrix[1, 2], matrix[1, 1]))
        return (about_x, about_y, 0.0)
    about_x = math.degrees(math.atan2(matrix[2, 1], matrix[2, 2]))
    about_z = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
    return (about_x, math.degrees(math.asin(sine)), about_z)
