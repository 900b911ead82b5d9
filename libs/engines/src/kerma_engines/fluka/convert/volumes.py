"""Volumes of regions: FLUKA does not calculate them, nor divide region binnings by them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.geometry.bodies import signed_distance
from kerma_engines.geometry.figures import Box, Sphere

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from kerma_engines.geometry.bodies import Body
    from kerma_engines.geometry.csg import Space, Term

_CELLS, _POINTS = 64, 4  # most cells along each axis, points in each cell
_WORK = 2e7  # distances to bodies; some seconds at worst
_MOST_PAIRS = 100  # most alternatives or holes of which every pair is tested
_SEED = 1


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume in cm3, with a standard error of zero where it is exact."""

    value: float
    error: float = 0.0


def volume(space: Space, terms: Iterable[Term]) -> Volume:
    """Return the volume of a region given by alternatives.

    Exact where they exclude each other and each is one body minus others that are disjoint within
    it. Otherwise an estimate by stratified sampling of the enclosing box, always with the same
    random numbers: four points in each of 64^3 cells, fewer cells where there are many bodies.
    """
    simple = [found for found in map(space.simplify, terms) if found is not None]
    if not simple:
        return Volume(0.0)
    few = len(simple) <= _MOST_PAIRS
    apart = few and all(space.simplify(a | b) is None for a, b in itertools.combinations(simple, 2))
    exact = [_exact(space, term) for term in simple]
    if apart and None not in exact:
        return Volume(math.fsum(value for value in exact if value is not None))
    return _estimate(space, simple)


def _exact(space: Space, term: Term) -> float | None:
    inside = [literal for literal in term if literal > 0]
    holes = [-literal for literal in term if literal < 0]
    if len(inside) != 1 or len(holes) > _MOST_PAIRS:
        return None
    if not all(space.contains(inside[0], hole) for hole in holes):
        return None
    if not all(space.disjoint(a, b) for a, b in itertools.combinations(holes, 2)):
        return None
    bodies = space.bodies
    taken = math.fsum(_of(bodies[hole - 1]) for hole in holes)
    return _of(bodies[inside[0] - 1]) - taken


def _of(body: Body) -> float:
    a, b, c = (float(half) for half in body.half)
    if isinstance(body.solid, Box):
        return 8.0 * a * b * c
    if isinstance(body.solid, Sphere):
        return 4.0 / 3.0 * math.pi * a**3
    return 2.0 * math.pi * a * a * c


def _estimate(space: Space, terms: list[Term]) -> Volume:
    boxes = [_box(space, term) for term in terms]
    low = np.min([box[0] for box in boxes], axis=0)
    size = np.max([box[1] for box in boxes], axis=0) - low
    random = np.random.default_rng(_SEED)
    points_at_most = _WORK / sum(map(len, terms)) / _POINTS
    count = max(min(_CELLS, int(points_at_most ** (1.0 / 3.0))), 2)
    step = size / count
    across = np.stack(np.meshgrid(*[np.arange(count)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    met = spread = 0.0
    for layer in range(count):
        cells = np.column_stack([np.full(len(across), layer), across])
        shares = np.zeros(len(cells))
        for _ in range(_POINTS):
            points = low + (cells + random.random(cells.shape)) * step
            shares += _held(space, terms, points)
        shares /= _POINTS
        met += float(shares.sum())
        spread += float((shares * (1.0 - shares)).sum()) / (_POINTS - 1)
    cell = float(np.prod(step))
    return Volume(met * cell, math.sqrt(spread + 1.0) * cell)  # at least one cell


def _box(space: Space, term: Term) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    inside = [space.bodies[literal - 1] for literal in term if literal > 0]
    low = np.max([body.low for body in inside], axis=0)
    high = np.min([body.high for body in inside], axis=0)
    return low, np.maximum(low, high)


def _held(space: Space, terms: list[Term], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    held = np.zeros(len(points), dtype=bool)
    for term in terms:
        met = ~held
        for literal in term:
            at = np.flatnonzero(met)
            distance = signed_distance(space.bodies[abs(literal) - 1], points[at])
            met[at] = distance <= 0.0 if literal > 0 else distance > 0.0
        held |= met
    return held
