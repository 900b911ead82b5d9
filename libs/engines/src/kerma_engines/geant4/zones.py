"""Zones of a project as boolean expressions over figures, made disjoint.

Zones are sets of points; where two overlap, the one that comes first keeps the points. Geant4
needs volumes that do not overlap, so a later zone loses what an earlier one may share with it.
Most zones are apart by construction (one subtracts a figure the other is made of, or their
enclosing boxes do not meet), and then nothing is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.geometry import Cylinder, Sphere

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from kerma_engines.geometry import Figure, Solid
    from kerma_engines.source import Operand, Zone

_TOLERANCE = 1e-9  # cm; solids that only touch are apart


@dataclass(frozen=True, slots=True)
class Leaf:
    """One figure."""

    figure: Figure


@dataclass(frozen=True, slots=True)
class Everything:
    """All of the world: what a term that begins with a subtraction takes from."""


@dataclass(frozen=True, slots=True)
class Combination:
    """Two expressions joined by ``union``, ``subtraction`` or ``intersection``."""

    operation: str
    first: Expression
    second: Expression


Expression = Leaf | Everything | Combination


@dataclass(frozen=True, slots=True)
class Literals:
    """What is known of a term: figures it lies inside of, figures it lies outside of."""

    inside: frozenset[str]
    outside: frozenset[str]


@dataclass(frozen=True, slots=True)
class Region:
    """A zone's points: its expression, and per term the literals and the enclosing box."""

    expression: Expression
    terms: tuple[tuple[Literals, NDArray[np.float64]], ...]

    @property
    def box(self) -> NDArray[np.float64]:
        """Enclosing box, shape (2, 3): low and high corner; infinite where unbounded."""
        boxes = np.stack([box for _, box in self.terms])
        return np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])


def bounds(solid: Solid) -> NDArray[np.float64]:
    """Enclosing box of a figure, shape (2, 3): low and high corner."""
    centre = np.asarray(solid.position)
    return np.stack([centre - solid.half_extent, centre + solid.half_extent])


def region(zone: Zone, figures: Mapping[str, Figure]) -> Region:
    """The points of a zone alone, without regard to other zones."""
    terms = [_term(operands, figures) for operands in zone.union_operations]
    expression = terms[0][0]
    for other, _, _ in terms[1:]:
        expression = Combination("union", expression, other)
    return Region(expression, tuple((literals, box) for _, literals, box in terms))


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
            # joined by a figure, the set is inside of nothing in particular any more
            inside, outside = frozenset(), frozenset()
            box = _span(box, bounds(figure.solid))
    return expression, Literals(inside, outside), box


def _meet(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.maximum(a[0], b[0]), np.minimum(a[1], b[1])])


def _span(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.minimum(a[0], b[0]), np.maximum(a[1], b[1])])


def apart(one: Region, other: Region) -> bool:
    """Whether two regions certainly share no volume."""
    return all(_terms_apart(*term, *other_term) for term in one.terms for other_term in other.terms)


def _terms_apart(
    a: Literals, box_a: NDArray[np.float64], b: Literals, box_b: NDArray[np.float64]
) -> bool:
    if a.inside & b.outside or b.inside & a.outside:
        return True
    low, high = _meet(box_a, box_b)
    return bool(np.any(high - low <= _TOLERANCE))


def disjoint(regions: Iterable[Region]) -> list[Expression]:
    """Expressions in the same order, each without the points of those before it."""
    result: list[Expression] = []
    before: list[Region] = []
    for this in regions:
        expression = this.expression
        for earlier in before:
            if not apart(this, earlier):
                expression = Combination("subtraction", expression, earlier.expression)
        result.append(expression)
        before.append(this)
    return result


def within(box: NDArray[np.float64], world: Solid) -> bool:
    """Whether a box certainly lies inside the (convex) world."""
    if not np.all(np.isfinite(box)):
        return False
    corners = np.array([[x, y, z] for x in box[:, 0] for y in box[:, 1] for z in box[:, 2]])
    return bool(np.all(world.contains(corners)))


def figure_within(solid: Solid, world: Solid) -> bool:
    """Whether a figure certainly lies inside the (convex) world."""
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
