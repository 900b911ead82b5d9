"""Write zones as bodies painted over each other, each of one material.

TOPAS has no boolean shapes, only single solids (user guide, "Generic Components"): a point belongs
to the body placed last. The bodies cut space into cells. A body can be painted on top when all its
cells that no body above it covers are of one material. Removing bodies from the top in this way
finds an order whenever there is one. Where no body can be removed, the intersection of two of them
may be, if it has a shape of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from kerma_engines.geometry.csg import TooEntangledError
from kerma_engines.topas.convert.intersections import shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kerma_engines.geometry.csg import Layout, Space, Term

MAX_CELLS = 2000


class NotLayeredError(Exception):
    """No order of painting produces the zones; the message says why.

    ``zones`` are indices of those without an order, where known; -1 is the world.
    """

    def __init__(self, reason: str, zones: frozenset[int] = frozenset()) -> None:
        super().__init__(reason)
        self.zones = zones


_NO_ORDER = (
    "TOPAS has no boolean shapes, and these zones can't be made by placing figures over each "
    "other, each of one material"
)
_REACHES_OUT = "TOPAS can't cut figures where they reach out of the world"


@dataclass(frozen=True, slots=True)
class Layer:
    """A body and the index of the zone whose material it takes; -1 is the world.

    ``zones`` are all zones that contain a visible part of the body. With ``within`` the layer is
    only the body's intersection with that one.
    """

    body: int
    zone: int
    zones: frozenset[int]
    within: int | None = None

    @property
    def bodies(self) -> tuple[int, ...]:
        """All bodies that contain the layer."""
        return (self.body,) if self.within is None else (self.body, self.within)


@dataclass(frozen=True, slots=True)
class Painting:
    """Layers from the bottom up, whether they nest without crossing, and the rest of the zones."""

    layers: tuple[Layer, ...]
    nested: bool
    rest: frozenset[int]


def paint(layout: Layout, colours: Sequence[int]) -> Painting:
    """Return an order of painting. Zones of equal material share a colour; the world's is last.

    Raises NotLayeredError.
    """
    try:
        return _paint(layout, colours)
    except TooEntangledError:
        raise NotLayeredError(_NO_ORDER) from None


def _paint(layout: Layout, colours: Sequence[int]) -> Painting:
    world = next(iter(layout.boundary))
    bodies = [n for n in range(1, len(layout.space.bodies) + 1) if n != world]
    cells = _cells(layout, bodies)
    owners = {cell: _owner(layout, cell) for cell in cells}
    layers: list[Layer] = []
    while bodies:
        top = next((b for b in bodies if len(_colours((b,), owners, colours)) <= 1), None)
        peeled = (top,) if top is not None else _pair(layout.space, bodies, owners, colours)
        if peeled is None:
            raise NotLayeredError(_NO_ORDER, frozenset(owners.values()))
        covered = [cell for cell in owners if cell.issuperset(peeled)]
        if covered:
            zones = frozenset(owners[cell] for cell in covered)
            layers.append(Layer(peeled[0], owners[covered[0]], zones, *peeled[1:]))
        for cell in covered:
            del owners[cell]
        if top is not None:
            bodies.remove(top)
    left = frozenset(owner for owner in owners.values() if colours[owner] != colours[-1])
    if left:
        raise NotLayeredError(_NO_ORDER, left)
    if not all(any(layout.space.contains(world, b) for b in layer.bodies) for layer in layers):
        raise NotLayeredError(_REACHES_OUT)
    layers.reverse()
    return Painting(tuple(layers), _nest(layout.space, layers), frozenset(owners.values()))


def _colours(bodies: tuple[int, ...], owners: dict[Term, int], colours: Sequence[int]) -> set[int]:
    """Return the colours of the cells that lie in all ``bodies``."""
    return {colours[owner] for cell, owner in owners.items() if cell.issuperset(bodies)}


def _pair(
    space: Space, bodies: list[int], owners: dict[Term, int], colours: Sequence[int]
) -> tuple[int, int] | None:
    """Return two bodies whose intersection is of one material and has shapes.

    Pairs whose removal frees a body come first: they need the fewest layers.
    """
    possible: list[tuple[int, int]] = []
    for pair in combinations(bodies, 2):
        if len(_colours(pair, owners, colours)) != 1:
            continue
        first, second = (space.bodies[body - 1] for body in pair)
        if shared(first, second) is None:
            continue
        left = {cell: owner for cell, owner in owners.items() if not cell.issuperset(pair)}
        if any(len(_colours((body,), left, colours)) <= 1 for body in pair):
            return pair
        possible.append(pair)
    return possible[0] if possible else None


def _cells(layout: Layout, bodies: list[int]) -> list[Term]:
    """Return each combination of inside and outside of the bodies that some point may have."""
    space = layout.space
    cells = [layout.boundary]
    for body in bodies:
        split: list[Term] = []
        for cell in cells:
            sides = [cell | {body}, cell | {-body}]
            possible = [side for side in sides if space.simplify(side) is not None]
            if len(possible) == len(sides):
                possible = [side for side in possible if space.probe(side) is not False]
            split += possible
        if len(split) > MAX_CELLS:
            raise NotLayeredError(_NO_ORDER)
        cells = split
    return cells


def _owner(layout: Layout, cell: Term) -> int:
    for index, terms in enumerate(layout.zones):
        if any(term <= cell for term in terms):
            return index
    return -1


def _nest(space: Space, layers: list[Layer]) -> bool:
    if any(layer.within is not None for layer in layers):
        return False
    for k, above in enumerate(layers):
        for below in layers[:k]:
            apart = space.disjoint(above.body, below.body)
            if not apart and not space.contains(below.body, above.body):
                return False
    return True
