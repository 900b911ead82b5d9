"""Projects drawn in the editor's Geant4 mode: nested figures of one material each.

The first figure is the world. A figure's position and rotation are relative to the figure around
it, as the editor draws them, and its children are cut out of it. The tree becomes the figures,
zones and world that all engines know: one zone per figure, with that figure's id, children before
the figure around them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from kerma_engines.fields import Model, Name, Whole
from kerma_engines.geometry.bodies import bodies_of, is_disjoint, is_inside
from kerma_engines.geometry.figures import Cylinder, Figure, rotation_angles
from kerma_engines.geometry.operand import Operand
from kerma_engines.physics.material_names import material_name
from kerma_engines.project.source import Material, World, Zone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.geometry.bodies import Body
    from kerma_engines.project.collect import Collector

_BY_GEANT4_NAME = {
    name: icru for icru in (*range(279), 906, 1000) if (name := material_name(icru)) is not None
}


class SimulationMaterial(Model):
    """The material of a figure: an ICRU number, Geant4's name for it, or both."""

    icru: Annotated[int, Whole, Field(ge=0, le=9999)] | None = None
    name: Name = ""
    geant4_name: Name = ""


class DrawnFigure(Figure):
    """A figure with those inside it."""

    children: tuple[DrawnFigure, ...] = ()
    simulation_material: SimulationMaterial | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """The parts of a project that a tree of figures describes.

    ``paths`` are the JSON paths of the zones' figures. ``mothers`` holds for each zone the index of
    the zone around it (None for the world) if all figures certainly lie within the figure around
    them and are disjoint from their siblings; otherwise it is empty.
    """

    figures: tuple[tuple[str, Figure], ...]
    zones: tuple[tuple[str, Zone], ...]
    world: World | None
    mothers: tuple[int | None, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Node:
    """A figure placed in the world."""

    path: str
    drawn: DrawnFigure
    figure: Figure
    bodies: list[Body]
    mother: _Node | None
    children: list[_Node] = field(default_factory=list)


def is_tree(figures: list[tuple[str, DrawnFigure]], *, geant4: bool) -> bool:
    """Return whether a project without zones is drawn as a tree of figures."""
    nests = any(figure.children or figure.simulation_material for _, figure in figures)
    return bool(figures) and (geant4 or nests)


def read_tree(read: Collector, figures: list[tuple[str, DrawnFigure]]) -> Tree:
    """Return figures, zones and world of a tree; problems are recorded in ``read``."""
    path, root = figures[0]
    for place, _ in figures[1:]:
        read.add(place, "lies outside of the world, which is the first figure")
    if isinstance(root.solid, Cylinder) and root.solid.parameters.inner_radius:
        read.add(f"{path}.geometryData.parameters.innerRadius", "the world can't be hollow")
    world = _Node(path, root, root, bodies_of(root.solid), None)
    nodes = [node for node in _placed(world) if node is not world]
    notes: list[str] = []
    # check every figure, not only up to the first that does not fit
    within = [_check_place(read, node, notes) for node in nodes]
    apart = [_check_siblings(node, notes) for node in (*nodes, world)]
    clean = all(within) and all(apart)
    indices = {id(node): k for k, node in enumerate(nodes)}
    materials = [_material(read, node) for node in (*nodes, world)]
    zones = tuple(
        (node.path, _zone(node, material))
        for node, material in zip(nodes, materials, strict=False)
        if material is not None
    )
    return Tree(
        figures=((path, root), *((node.path, node.figure) for node in nodes)),
        zones=zones,
        world=_world(root, materials[-1]),
        mothers=tuple(indices.get(id(node.mother)) for node in nodes) if clean else (),
        notes=tuple(notes),
    )


def _world(root: DrawnFigure, material: Material | None) -> World | None:
    if material is None:
        return None
    return World(
        uuid=root.uuid,
        name=root.name[:256],
        material_uuid=material.uuid,
        custom_material=material,
        geometry_data=root.solid,
    )


def _placed(node: _Node) -> Iterator[_Node]:
    """Return a tree's figures, deepest first, positioned by the figures around them."""
    around = node.figure.solid
    for k, child in enumerate(node.drawn.children):
        solid = child.solid
        if any(around.rotation):
            turned = around.matrix @ solid.matrix
            offset = around.matrix @ np.asarray(solid.position)
            rotation = rotation_angles(turned)
        else:
            offset, rotation = np.asarray(solid.position), solid.rotation
        position = tuple((np.asarray(around.position) + offset).tolist())
        moved = solid.model_copy(update={"position": position, "rotation": rotation})
        figure = Figure(uuid=child.uuid, name=child.name, geometry_data=moved)
        path = f"{node.path}.children[{k}]"
        placed = _Node(path, child, figure, bodies_of(moved), node)
        node.children.append(placed)
        yield from _placed(placed)
    yield node


def _holds(outer: _Node, inner: _Node) -> bool:
    body, *hole = outer.bodies
    return is_inside(inner.bodies[0], body) and all(is_disjoint(inner.bodies[0], h) for h in hole)


def _apart(a: _Node, b: _Node) -> bool:
    (outer, *_), (inner, *_) = a.bodies, b.bodies
    if is_disjoint(outer, inner):
        return True
    return any(is_inside(inner, hole) for hole in a.bodies[1:]) or any(
        is_inside(outer, hole) for hole in b.bodies[1:]
    )


def _check_place(read: Collector, node: _Node, notes: list[str]) -> bool:
    """Check that a figure lies within the one around it."""
    assert node.mother is not None
    if _apart(node.mother, node):
        read.add(node.path, "lies outside of the figure it is nested in")
        return False
    if not _holds(node.mother, node):
        notes.append(f"{node.path}: reaches out of the figure around it and is cut there")
        return False
    return True


def _check_siblings(mother: _Node, notes: list[str]) -> bool:
    """Check that the figures within one are disjoint."""
    children = mother.children
    corners = np.array([(node.bodies[0].low, node.bodies[0].high) for node in children])
    apart = True
    for k in range(1, len(children)):
        before = corners[:k]
        near = (before[:, 0] < corners[k, 1]) & (before[:, 1] > corners[k, 0])
        others = (children[i] for i in np.flatnonzero(near.all(axis=1)).tolist())
        if not all(_apart(other, children[k]) for other in others):
            path = children[k].path
            notes.append(f"{path}: may share points with a figure before it, which keeps them")
            apart = False
    return apart


def _material(read: Collector, node: _Node) -> Material | None:
    path = f"{node.path}.simulationMaterial"
    known = node.drawn.simulation_material
    if known is None:
        read.add(path, "is missing")
        return None
    named = _BY_GEANT4_NAME.get(known.geant4_name)
    icru = named if known.icru is None else known.icru
    if icru is None:
        read.add(path, f"{known.geant4_name or known.name!r} has no ICRU number")
        return None
    if known.geant4_name and material_name(icru) not in {None, known.geant4_name}:
        reason = f"names two materials: ICRU number {icru} is not {known.geant4_name}"
        read.add(path, reason)
        return None
    return Material(uuid=f"material of {node.figure.uuid}", name=known.name, icru=icru)


def _zone(node: _Node, material: Material) -> Zone:
    term = [Operand(mode="union", object_uuid=node.figure.uuid)]
    around, inner = node.mother, node
    while around is not None and around.mother is not None:
        if not _holds(around, inner):
            term.append(Operand(mode="intersection", object_uuid=around.figure.uuid))
        around, inner = around.mother, around
    taken = (child.figure.uuid for child in node.children)
    term += [Operand(mode="subtraction", object_uuid=uuid) for uuid in taken]
    return Zone(
        uuid=node.figure.uuid,
        name=node.drawn.name[:256],
        material_uuid=material.uuid,
        custom_material=material,
        union_operations=(tuple(term),),
    )
