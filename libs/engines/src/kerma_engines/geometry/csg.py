"""Constructive solid geometry of a project as bodies and unions of intersections.

SHIELD-HIT12A and FLUKA describe a region as a union of terms, each an intersection of bodies taken
from inside (+) or outside (-). A zone of a project becomes such a list of alternatives term by
term. The world is what no zone covers: the intersection of the complements of all terms.
Multiplying that out doubles the number of alternatives with every zone. Here it is split instead
into alternatives that exclude each other, and empty alternatives are dropped as they appear, first
by relations between pairs of bodies (disjoint, one inside the other), then by subdividing space. As
many alternatives remain as there are cells of space between the zones, which grows with a power of
the number of bodies.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.geometry.bodies import (
    TOLERANCE,
    Body,
    bodies_of,
    is_disjoint,
    is_inside,
    signed_distance,
)
from kerma_engines.geometry.figures import enlarged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from kerma_engines.geometry.figures import Figure, Solid
    from kerma_engines.geometry.operand import Operand

Term = frozenset[int]  # body numbers from 1: positive inside, negative outside

MAX_BODIES = 1000
MAX_TERMS = 2000
_FEW_TERMS = 32  # up to here relations between pairs are enough; beyond, space is subdivided
_LEVELS = 7
_MAX_CELLS = 20_000
_WORK = 3_000_000  # distances to bodies; takes about a second


class TooEntangledError(Exception):
    """The zones have too many alternatives, or too many that can't be distinguished quickly."""


class _Pair(Enum):
    """The proven relations between two bodies."""

    APART = auto()
    INSIDE = auto()
    AROUND = auto()
    EQUAL = auto()
    UNKNOWN = auto()


_REVERSED = {_Pair.INSIDE: _Pair.AROUND, _Pair.AROUND: _Pair.INSIDE}


def _compare(a: Body, b: Body) -> _Pair:
    inside, around = is_inside(a, b), is_inside(b, a)
    if inside or around:
        return _Pair.EQUAL if inside and around else _Pair.INSIDE if inside else _Pair.AROUND
    return _Pair.APART if is_disjoint(a, b) else _Pair.UNKNOWN


def _inside_first(literal: int) -> tuple[bool, int]:
    return literal < 0, abs(literal)


class Space:
    """The bodies of a project and the known relations between pairs of them."""

    def __init__(self, solids: Iterable[tuple[str, Solid]]) -> None:
        """``solids`` are figure ids with their shapes, in project order."""
        self.bodies: list[Body] = []
        self._inside: dict[str, Term] = {}
        self._pairs: dict[tuple[int, int], _Pair] = {}
        self._work = _WORK
        for uuid, solid in solids:
            self._inside[uuid] = self.add(solid)

    @classmethod
    def of(cls, figures: Iterable[Figure]) -> Space:
        """Return the bodies of figures, in their order."""
        return cls((figure.uuid, figure.solid) for figure in figures)

    def add(self, solid: Solid) -> Term:
        """Add a solid and return the term that is its inside (a tube is one body minus another)."""
        outer, *holes = bodies_of(solid)
        self.bodies.append(outer)
        literals = [len(self.bodies)]
        for hole in holes:
            self.bodies.append(hole)
            literals.append(-len(self.bodies))
        return frozenset(literals)

    def inside(self, uuid: str) -> Term:
        """Return the term that is a figure's inside."""
        return self._inside[uuid]

    def disjoint(self, a: int, b: int) -> bool:
        """Return whether two bodies certainly share no volume."""
        return self._pair(a, b) is _Pair.APART

    def contains(self, outer: int, inner: int) -> bool:
        """Return whether ``inner`` certainly lies within ``outer``."""
        return outer == inner or self._pair(inner, outer) in (_Pair.INSIDE, _Pair.EQUAL)

    def _pair(self, a: int, b: int) -> _Pair:
        known = self._pairs.get((a, b))
        if known is None:
            known = _compare(self.bodies[a - 1], self.bodies[b - 1])
            self._pairs[(a, b)] = known
            self._pairs[(b, a)] = _REVERSED.get(known, known)
        return known

    def simplify(self, term: Iterable[int]) -> Term | None:
        """Return the term without redundant bodies, or None if it is empty."""
        simple: Term | None = frozenset()
        for literal in sorted(term, key=_inside_first):
            if simple is None:
                return None
            simple = self.extend(simple, literal)
        return simple

    def extend(self, term: Term, literal: int) -> Term | None:
        """Return a simple term intersected with one more body, simplified; None if it is empty."""
        if literal in term:
            return term
        return self._enter(term, literal) if literal > 0 else self._leave(term, -literal)

    def _enter(self, term: Term, body: int) -> Term | None:
        gone = {body}
        for other in term:
            if other > 0:
                if self.disjoint(body, other):
                    return None
                if self.contains(body, other):
                    return term
                if self.contains(other, body):
                    gone.add(other)
            elif self.contains(-other, body):
                return None
            elif self.disjoint(-other, body):
                gone.add(other)
        return term - gone | {body}

    def _leave(self, term: Term, body: int) -> Term | None:
        gone = {-body}
        redundant = False
        for other in term:
            if other > 0:
                if self.contains(body, other):
                    return None
                redundant = redundant or self.disjoint(body, other)
            elif self.contains(-other, body):
                redundant = True
            elif self.contains(body, -other):
                gone.add(other)
        return term if redundant else term - gone | {-body}

    def join(self, term: Term, others: Term) -> Term | None:
        """Return the intersection of a simple term with another one."""
        joined: Term | None = term
        for literal in sorted(others, key=_inside_first):
            if joined is None:
                return None
            joined = self.extend(joined, literal)
        return joined

    def zone(self, operations: tuple[tuple[Operand, ...], ...]) -> tuple[Term, ...]:
        """Return the alternatives of a zone that may contain points. Raises TooEntangledError."""
        terms: list[Term] = []
        for chain in operations:
            # A chain that begins with a subtraction subtracts from all of space.
            chained = [frozenset[int]()] if chain[0].mode != "union" else []
            for operand in chain:
                chained = self._apply(chained, operand)
            terms += chained
        return tuple(dict.fromkeys(terms))

    def _apply(self, terms: list[Term], operand: Operand) -> list[Term]:
        figure = self.inside(operand.object_uuid)
        if operand.mode == "union":
            return [*terms, figure]
        if operand.mode == "intersection":
            return self._product(terms, [figure])
        return self._product(terms, [frozenset([-literal]) for literal in sorted(figure)[::-1]])

    def _product(self, terms: list[Term], factors: list[Term]) -> list[Term]:
        product = [term | factor for term in terms for factor in factors]
        possible = [term for term in product if self.simplify(term) is not None]
        if len(possible) > MAX_TERMS:
            raise TooEntangledError
        return possible

    def complement(self, start: Term, zones: Iterable[Term]) -> tuple[Term, ...]:
        """Return the part of ``start`` outside all zones, as exclusive alternatives.

        Raises TooEntangledError for more than ``MAX_TERMS``, or when testing them for points
        exceeds the limit on work.
        """
        simple = self.simplify(start)
        remaining, solid = [] if simple is None else [simple], set[Term]()
        # Short ones first: they exclude most of what longer ones would split.
        for zone in sorted(zones, key=lambda term: (len(term), sorted(term))):
            remaining = [part for term in remaining for part in self._without(term, zone)]
            if len(remaining) > _FEW_TERMS:
                remaining = [t for t in remaining if t in solid or self.probe(t) is not False]
                solid = set(remaining)
                if self._work < 0 or len(remaining) > MAX_TERMS:
                    raise TooEntangledError
        return tuple(remaining)

    def without(self, terms: Iterable[Term], taken: list[Term]) -> tuple[list[Term], bool]:
        """Return the terms minus what others have taken, and whether they lost a point by that.

        Terms stay unchanged where they certainly share nothing.
        """
        kept: list[Term] = []
        lost = False
        for term in terms:
            shared: list[Term] = []
            for other in taken:
                both = self.simplify(term | other)
                found = False if both is None else self.probe(both)
                lost = lost or found is True
                if found is not False:
                    shared.append(other)
            kept += self.complement(term, shared) if shared else (term,)
        return kept, lost

    def _without(self, term: Term, zone: Term) -> list[Term]:
        """Return ``term`` minus ``zone``, split at the bodies of ``zone`` one by one."""
        if self.join(term, zone) is None:
            return [term]
        parts: list[Term] = []
        rest: Term | None = term
        for literal in sorted(zone, key=_inside_first):
            if rest is None:
                break
            part = self.extend(rest, -literal)
            if part is not None:
                parts.append(part)
            rest = self.extend(rest, literal)
        return parts

    def probe(self, term: Term) -> bool | None:
        """Return whether the term contains a point: found, or disproven, by subdividing space.

        None when neither is certain, or when the limit on work is reached.
        """
        low, high = self._box(term)
        if np.any(low >= high):
            return False
        centres, half = (0.5 * (low + high))[None, :], 0.5 * (high - low)
        bodies = [(1.0 if n > 0 else -1.0, self.bodies[abs(n) - 1]) for n in sorted(term)]
        for _ in range(_LEVELS):
            self._work -= len(centres) * len(bodies)
            if self._work < 0:
                return None
            reach = float(np.linalg.norm(half))
            met = np.ones(len(centres), dtype=bool)
            alive = np.ones(len(centres), dtype=bool)
            for sign, body in bodies:
                distance = sign * signed_distance(body, centres)
                met &= distance < -TOLERANCE
                alive &= distance < reach
            if np.any(met):
                return True
            centres = centres[alive]
            if len(centres) == 0:
                return False
            if 8 * len(centres) > _MAX_CELLS:
                return None
            half = 0.5 * half
            centres = (centres[:, None, :] + _CORNERS[None, :, :] * half).reshape(-1, 3)
        return None

    def _box(self, term: Term) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        inside = [self.bodies[n - 1] for n in term if n > 0]
        low = np.max([body.low for body in inside], axis=0)
        high = np.min([body.high for body in inside], axis=0)
        return low, high


_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)


@dataclass(frozen=True, slots=True)
class Layout:
    """A project's space divided into zones: those of the project, then the world.

    ``zones`` has one entry per project zone, in order. ``world`` is the rest of the world's body,
    whose number is ``boundary``. ``overlapping`` are the zones that lost points.
    """

    space: Space
    zones: tuple[tuple[Term, ...], ...]
    world: tuple[Term, ...]
    boundary: Term
    overlapping: tuple[int, ...] = ()


def lay_out(space: Space, zones: Iterable[tuple[Term, ...]], world: Solid) -> Layout:
    """Divide space into zones that neither overlap nor extend beyond the world.

    ``zones`` are the alternatives of the project's zones, ``world`` is the body around them. Where
    two overlap, the first keeps the points; a zone that has no points left has no alternatives.
    Raises TooEntangledError.
    """
    boundary = space.add(enlarged(world, 0.0))
    taken: list[Term] = []
    cut: list[tuple[Term, ...]] = []
    lost: list[int] = []
    for k, terms in enumerate(zones):
        clipped = tuple(_clip(space, terms, boundary))
        kept, overlaps = space.without(clipped, taken)
        cut.append(tuple(kept))
        if overlaps:
            lost.append(k)
        taken += kept
    return Layout(space, tuple(cut), space.complement(boundary, taken), boundary, tuple(lost))


def _clip(space: Space, terms: tuple[Term, ...], boundary: Term) -> Iterator[Term]:
    outside = frozenset(-literal for literal in boundary)
    for term in terms:
        if space.simplify(term | boundary) is None:
            continue
        reaches_out = space.simplify(term | outside) is not None
        yield term | boundary if reaches_out else term
