"""Zones of a project as boolean expressions over figures, made disjoint.

Zones are sets of points; where two overlap, the first one keeps the points. Geant4 needs volumes
that do not overlap, so a later zone loses the points that an earlier one may share. Most zones are
disjoint by construction (one subtracts a figure the other is made of, or their enclosing boxes do
not meet), and then nothing is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.geometry.figures import Cylinder, Sphere

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from kerma_engines.geometry.figures import Figure, Solid
    from kerma_engines.geometry.operand import Operand
    from kerma_engines.project.source import Zone

_TOLERANCE = 1e-9  # cm; solids that only touch are disjoint


MAX_OPERATIONS = 200
MAX_ALL_OPERATIONS = 5000


class TooManyOperations(Exception):  # noqa: N818 - becomes a Problem
    """Zone number ``index``, or all zones together, exceed the limit of operations."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(
            "has, with the zones it overlaps, too many operations for Geant4: at most "
            f"{MAX_OPERATIONS} in a zone and {MAX_ALL_OPERATIONS} in all"
        )


@dataclass(frozen=True, slots=True)
class Leaf:
    """One figure."""

    figure: Figure


@dataclass(frozen=True, slots=True)
class Everything:
    """The whole world: the minuend of a term that begins with a subtraction."""


@dataclass(frozen=True, slots=True)
class Combination:
    """Two expressions joined by ``union``, ``subtraction`` or ``intersection``."""

    operation: str
    first: Expression
    second: Expression


Expression = Leaf | Everything | Combination


@dataclass(frozen=True, slots=True)
class Literals:
    """What is known of a term: figures that contain it, and figures that it is outside of."""

    inside: frozenset[str]
    outside: frozenset[str]


@dataclass(frozen=True, slots=True)
class Region:
    """A zone's points: its expression, and per term the literals and the enclosing box."""

    expression: Expression
    terms: tuple[tuple[Literals, NDArray[np.float64]], ...]
    operations: int

    @property
    def box(self) -> NDArray[np.float64]:
        """The enclosing box, shape (2, 3): low and high corner; infinite where unbounded."""
        boxes = np.stack([box for _, box in self.terms])
        return np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])


def bounds(solid: Solid) -> NDArray[np.float64]:
    """Return the enclosing box of a figure, shape (2, 3): low and high corner."""
    centre = np.asarray(solid.position)
    return np.stack([centre - solid.half_extent, centre + solid.half_extent])


def region(zone: Zone, figures: Mapping[str, Figure]) -> Region:
    """Return the points of a zone alone, without regard to other zones."""
    terms = [_term(operands, figures) for operands in zone.union_operations]
    expression = terms[0][0]
    for other, _, _ in terms[1:]:
        expression = Combination("union", expression, other)
    operations = sum(len(operands) for operands in zone.union_operations)
    return Region(expression, tuple((literals, box) for _, literals, box in terms), operations)


def _term(
    operands: Sequence[Operand], figures: Mapping[str, Figure]
) -> tuple[Expression, Literals, NDArray[np.float64]]:
    everywhere = np.array([[-np.inf] * 3, [np.inf] * 3])
    expression: Expression = Everything()
    inside: frozenset[str] = frozenset()
    outside: frozenset[str] = frozenset()
    box = everywhere
    for position, operand in enumerate(operands):
        figure = figures[operand.object_uuid]
        this = frozenset({operand.object_uuid})
        if position == 0 and operand.mode != "subtraction":
            expression, inside, box = Leaf(figure), this, bounds(figure.solid)
            continue
        expression = Combination(operand.mode, expression, Leaf(figure))
        if operand.mode == "subtraction":
            outside |= this
        elif operand.mode == "intersection":
            inside |= this
            box = _meet(box, bounds(figure.solid))
        else:
            # after a union with a figure, the set need not be inside any figure
            inside, outside = frozenset(), frozenset()
            box = _span(box, bounds(figure.solid))
    return expression, Literals(inside, outside), box


def _meet(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.maximum(a[0], b[0]), np.minimum(a[1], b[1])])


def _span(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.minimum(a[0], b[0]), np.maximum(a[1], b[1])])


def apart(one: Region, other: Region) -> bool:
    """Return whether two regions certainly share no volume."""
    a, b = (np.stack([box for _, box in this.terms]) for this in (one, other))
    shared = np.minimum(a[:, None, 1], b[None, :, 1]) - np.maximum(a[:, None, 0], b[None, :, 0])
    for i, j in np.argwhere(np.all(shared > _TOLERANCE, axis=2)).tolist():
        mine, theirs = one.terms[i][0], other.terms[j][0]
        if not (mine.inside & theirs.outside or theirs.inside & mine.outside):
            return False
    return True


def disjoint(regions: Sequence[Region]) -> list[Expression]:
    """Return expressions in the same order, each without the points of those before it.

    Raises TooManyOperations when Geant4 could not navigate in the result.
    """
    boxes = np.array([this.box for this in regions]).reshape(-1, 2, 3)
    result: list[Expression] = []
    total = 0
    for position, this in enumerate(regions):
        expression, operations = this.expression, this.operations
        lows, highs = boxes[:position, 0], boxes[:position, 1]
        shared = np.minimum(highs, boxes[position, 1]) - np.maximum(lows, boxes[position, 0])
        for index in np.flatnonzero(np.all(shared > _TOLERANCE, axis=1)).tolist():
            if not apart(this, regions[index]):
                expression = Combination("subtraction", expression, regions[index].expression)
                operations += 1
            if operations > MAX_OPERATIONS or total + operations > MAX_ALL_OPERATIONS:
                break
        total += operations
        if operations > MAX_OPERATIONS or total > MAX_ALL_OPERATIONS:
            raise TooManyOperations(position)
        result.append(expression)
    return result


def within(box: NDArray[np.float64], world: Solid) -> bool:
    """Return whether a box certainly lies inside the (convex) world."""
    if not np.all(np.isfinite(box)):
        return False
    corners = np.array([[x, y, z] for x in box[:, 0] for y in box[:, 1] for z in box[:, 2]])
    return bool(np.all(world.contains(corners)))


def figure_within(solid: Solid, world: Solid) -> bool:
    """Return whether a figure certainly lies inside the (convex) world."""
    if within(bounds(solid), world):
        return True
    offset = np.asarray(solid.position) - np.asarray(world.position)
    if isinstance(world, Sphere) and isinstance(solid, Sphere):
        room = world.parameters.radius - solid.parameters.radius
        return bool(np.linalg.norm(offset) <= room)
    if isinstance(world, Cylinder) and isinstance(solid, Cylinder | Sphere):
        return _upright(world) and _upright(solid) and _fits_cylinder(solid, world, offset)
    return False


def _upright(solid: Solid) -> bool:
    return isinstance(solid, Sphere) or bool(solid.rotation[:2] == (0.0, 0.0))


def _fits_cylinder(solid: Cylinder | Sphere, world: Cylinder, offset: NDArray[np.float64]) -> bool:
    half = float(solid.half_extent[2])
    across = float(np.hypot(offset[0], offset[1])) + solid.parameters.radius
    along = abs(float(offset[2])) + half
    return across <= world.parameters.radius and along <= 0.5 * world.parameters.depth
