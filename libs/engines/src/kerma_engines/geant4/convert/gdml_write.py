"""Write the geometry of a project as GDML: the world, zones as boolean solids, materials.

Lengths are cm, angles degrees. Volume names are ``World`` (a vacuum around everything, as large as
beam and detectors need), ``world_zone`` and one ``zone_<n>_<name>`` per zone in project order.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.errors import Problem
from kerma_engines.geant4.convert import zones
from kerma_engines.geometry.figures import (
    Box,
    Cylinder,
    CylinderParameters,
    Sphere,
    rotation_angles,
)
from kerma_engines.physics.material_names import (
    BLACK_HOLE,
    VACUUM,
    material_density,
    material_name,
)
from kerma_engines.project.source import material_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from kerma_engines.geometry.figures import Solid
    from kerma_engines.project.project import Project
    from kerma_engines.project.source import World, Zone

WORLD_ZONE = "world_zone"
_MARGIN = 1.0  # cm of vacuum around everything
_ZERO = (0.0, 0.0, 0.0)


def zone_volume(project: Project, uuid: str) -> str:
    """Return the name of the volume of a zone."""
    for number, zone in enumerate(project.zones, start=1):
        if zone.uuid == uuid:
            return f"zone_{number}_{clean(zone.name)}".rstrip("_")
    return WORLD_ZONE


def clean(name: str) -> str:
    """Return a name without anything that XML or a macro could misread.

    Geant4 drops everything from ``0x`` on in names.
    """
    return re.sub(r"[^A-Za-z0-9]+", "_", name).replace("0x", "0_x").strip("_")[:40]


def number(value: float) -> str:
    """Format a number so that it reads back the same to 15 digits."""
    return f"{value:.15g}"


def unrotation(matrix: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return degrees about fixed x, then y, then z that undo the rotation ``matrix``, shape (3, 3).

    GDML places a volume by the rotation of its mother's axes into its own, the inverse of the
    figure's rotation.
    """
    return rotation_angles(matrix.T)


class _Placed:
    """A solid in the file, and its position in the frame of the world zone."""

    def __init__(
        self, ref: str, position: tuple[float, ...] = _ZERO, rotation: tuple[float, ...] = _ZERO
    ) -> None:
        self.ref = ref
        self.position = position
        self.rotation = rotation
        self.matrix: NDArray[np.float64] = np.eye(3)


class GeometryWriter:
    """Builds one GDML document; ``problems`` collects what can't be expressed."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.problems: list[Problem] = []
        self.root = ET.Element("gdml")
        self.define = ET.SubElement(self.root, "define")
        self.materials = ET.SubElement(self.root, "materials")
        self.solids = ET.SubElement(self.root, "solids")
        self.structure = ET.SubElement(self.root, "structure")
        self.world = project.world.geometry_data
        self.origin = np.asarray(self.world.position)
        self._figures: dict[str, str] = {}
        self._combined: dict[int, _Placed] = {}
        self._materials: dict[tuple[int, float | None, float | None], str] = {}
        self._names = 0

    def write(self, needed: Iterable[NDArray[np.float64]]) -> str:
        """Return the document; the outer vacuum contains the boxes ``needed`` (shape (2, 3))."""
        tree = self.project.tree
        mothers = tree.mothers if tree else ()
        placed = self._nested(mothers) if mothers else self._combined_zones()
        world_solid = self._world_solid()
        refs = [
            self._material(zone, self.project.zone_paths[index])
            for index, zone in enumerate(self.project.zones)
        ]
        names = [zone_volume(self.project, zone.uuid) for zone in self.project.zones]
        volumes = [
            self._volume(name, material, solid.ref)
            for name, material, solid in zip(names, refs, placed, strict=True)
        ]
        world = self._volume(
            WORLD_ZONE, self._material(self.project.world, self.project.world_path), world_solid
        )
        for k, (name, solid) in enumerate(zip(names, placed, strict=True)):
            around = mothers[k] if mothers else None
            self._place(world if around is None else volumes[around], name, solid)
        self._outer(needed)
        ET.indent(self.root)
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(self.root, "unicode") + "\n"

    def _combined_zones(self) -> list[_Placed]:
        """Write zones as disjoint boolean solids, all placed in the world zone."""
        figures = {figure.uuid: figure for figure in self.project.figures}
        regions = [zones.region(zone, figures) for zone in self.project.zones]
        return [
            self._inside_world(region, self._emit(expression))
            for region, expression in zip(regions, self._disjoint(regions), strict=True)
        ]

    def _nested(self, mothers: tuple[int | None, ...]) -> list[_Placed]:
        """Write nested figures, each placed in the one around it."""
        figures = {figure.uuid: figure.solid for figure in self.project.figures}
        solids = [figures[zone.uuid] for zone in self.project.zones]
        placed: list[_Placed] = []
        for solid, around, zone in zip(solids, mothers, self.project.zones, strict=True):
            origin, axes = self.origin, np.eye(3)
            if around is not None:
                origin, axes = np.asarray(solids[around].position), solids[around].matrix
            offset = axes.T @ (np.asarray(solid.position) - origin)
            label = f"figure_{len(placed) + 1}_{clean(zone.name)}".rstrip("_")
            here = _Placed(self._solid(label, solid), tuple(offset.tolist()))
            if not isinstance(solid, Sphere):
                here.matrix = axes.T @ solid.matrix
                here.rotation = rotation_angles(here.matrix)
            placed.append(here)
        return placed

    def _disjoint(self, regions: list[zones.Region]) -> list[zones.Expression]:
        try:
            return zones.disjoint(regions)
        except zones.TooManyOperations as error:
            self.problems.append(Problem(self.project.zone_paths[error.index], str(error)))
            return [zones.Everything() for _ in regions]

    def _outer(self, needed: Iterable[NDArray[np.float64]]) -> None:
        boxes = np.stack([zones.bounds(self.world), *needed])
        half = np.abs(boxes).max(axis=(0, 1)) + _MARGIN
        self._box("surroundings", 2 * half)
        outer = self._volume("World", VACUUM, "surroundings")
        place = _Placed("", tuple(float(x) for x in self.origin))
        self._place(outer, WORLD_ZONE, place)
        setup = ET.SubElement(self.root, "setup", name="Default", version="1.0")
        ET.SubElement(setup, "world", ref="World")

    def _inside_world(self, region: zones.Region, placed: _Placed) -> _Placed:
        expression = region.expression
        if isinstance(expression, zones.Leaf):
            fits = zones.figure_within(expression.figure.solid, self._plain_world())
        else:
            fits = zones.within(region.box, self._plain_world())
        return placed if fits else self._combine("intersection", placed, self._world_placed())

    def _plain_world(self) -> Solid:
        """Return the world without the meaningless inner radius that the editor leaves there."""
        world = self.world
        if isinstance(world, Cylinder) and world.parameters.inner_radius:
            solid = CylinderParameters(radius=world.parameters.radius, depth=world.parameters.depth)
            return world.model_copy(update={"parameters": solid})
        return world

    def _world_placed(self) -> _Placed:
        ref = self._figures.get("world") or self._solid("world", self._plain_world())
        self._figures["world"] = ref
        return _Placed(ref, _ZERO, self.world.rotation)

    def _world_solid(self) -> str:
        """Write the solid of the world zone about its position, without rotation."""
        world = self._world_placed()
        if world.rotation == _ZERO:
            return world.ref
        half = zones.bounds(self.world)[1] - self.origin
        self._box("world_frame", 2 * half)
        return self._combine("intersection", _Placed("world_frame"), world).ref

    def _emit(self, expression: zones.Expression) -> _Placed:
        if isinstance(expression, zones.Everything):
            return self._world_placed()
        if isinstance(expression, zones.Leaf):
            figure = expression.figure
            if figure.uuid not in self._figures:
                label = f"figure_{len(self._figures) + 1}_{clean(figure.name)}".rstrip("_")
                self._figures[figure.uuid] = self._solid(label, figure.solid)
            offset = np.asarray(figure.solid.position) - self.origin
            position = tuple(float(x) for x in offset)
            rotation = _ZERO if isinstance(figure.solid, Sphere) else figure.solid.rotation
            placed = _Placed(self._figures[figure.uuid], position, rotation)
            placed.matrix = figure.solid.matrix
            return placed
        # zones that overlap several others are needed again: one solid serves them all
        if id(expression) not in self._combined:
            first, second = self._emit(expression.first), self._emit(expression.second)
            self._combined[id(expression)] = self._combine(expression.operation, first, second)
        return self._combined[id(expression)]

    def _combine(self, operation: str, first: _Placed, second: _Placed) -> _Placed:
        self._names += 1
        name = f"{operation}_{self._names}"
        element = ET.SubElement(self.solids, operation, name=name)
        ET.SubElement(element, "first", ref=first.ref)
        ET.SubElement(element, "second", ref=second.ref)
        for tag, values, unit in (
            ("position", second.position, "cm"),
            ("rotation", second.rotation, "deg"),
            ("firstposition", first.position, "cm"),
            ("firstrotation", first.rotation, "deg"),
        ):
            if any(values):
                self._vector(element, tag, f"{name}_{tag}", values, unit)
        return _Placed(name)

    def _vector(
        self, parent: ET.Element, tag: str, name: str, values: Iterable[float], unit: str
    ) -> None:
        x, y, z = (number(value) for value in values)
        ET.SubElement(parent, tag, name=name, x=x, y=y, z=z, unit=unit)

    def _solid(self, name: str, solid: Solid) -> str:
        if isinstance(solid, Box):
            self._box(name, solid.sides)
        elif isinstance(solid, Cylinder):
            shape = solid.parameters
            ET.SubElement(
                self.solids,
                "tube",
                name=name,
                lunit="cm",
                aunit="deg",
                rmin=number(shape.inner_radius),
                rmax=number(shape.radius),
                z=number(shape.depth),
                deltaphi="360",
            )
        else:
            radius = number(solid.parameters.radius)
            ET.SubElement(self.solids, "orb", name=name, lunit="cm", r=radius)
        return name

    def _box(self, name: str, sides: Iterable[float]) -> None:
        x, y, z = (number(float(side)) for side in sides)
        ET.SubElement(self.solids, "box", name=name, lunit="cm", x=x, y=y, z=z)

    def _volume(self, name: str, material: str, solid: str) -> ET.Element:
        volume = ET.SubElement(self.structure, "volume", name=name)
        ET.SubElement(volume, "materialref", ref=material)
        ET.SubElement(volume, "solidref", ref=solid)
        return volume

    def _place(self, mother: ET.Element, volume: str, placed: _Placed) -> None:
        element = ET.SubElement(mother, "physvol", name=volume)
        ET.SubElement(element, "volumeref", ref=volume)
        if any(placed.position):
            self._vector(element, "position", f"{volume}_position", placed.position, "cm")
        if any(placed.rotation):
            angles = unrotation(placed.matrix)
            self._vector(element, "rotation", f"{volume}_rotation", angles, "deg")

    def _material(self, zone: Zone | World, path: str) -> str:
        found = self.project.zone_material(zone)
        icru, overrides = found.material.icru, found.overrides
        if overrides.custom_stopping_power:
            place = f"{path}.materialPropertiesOverrides.customStoppingPower"
            reason = "own stopping power tables can't be used with Geant4"
            self.problems.append(Problem(place, reason))
        name = material_name(icru)
        if name is None:
            reason = f"Geant4 has no material with the ICRU number {icru}"
            self.problems.append(Problem(material_path(path), reason))
            return VACUUM
        if name == BLACK_HOLE:
            return self._black_hole()
        density, potential = overrides.density, overrides.average_ionisation_potential
        if name == VACUUM or (density is None and potential is None):
            return name
        return self._custom(icru, name, density, potential)

    def _custom(self, icru: int, name: str, density: float | None, potential: float | None) -> str:
        key = (icru, density, potential)
        if key not in self._materials:
            own = f"{name}_{len(self._materials) + 1}"
            self._materials[key] = own
            element = ET.SubElement(self.materials, "material", name=own)
            if potential is not None:
                ET.SubElement(element, "MEE", unit="eV", value=number(potential))
            own_density = material_density(icru) if density is None else density
            ET.SubElement(element, "D", unit="g/cm3", value=number(own_density))
            ET.SubElement(element, "fraction", n="1", ref=name)
        return self._materials[key]

    def _black_hole(self) -> str:
        key = (0, None, None)
        if key not in self._materials:
            self._materials[key] = BLACK_HOLE
            element = ET.SubElement(self.materials, "material", name=BLACK_HOLE)
            ET.SubElement(element, "D", unit="g/cm3", value="1")
            ET.SubElement(element, "fraction", n="1", ref="G4_H")
        return BLACK_HOLE
