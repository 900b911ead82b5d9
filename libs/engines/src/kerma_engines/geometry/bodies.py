"""Convex bodies that regions are built from, and what can be proven about pairs of them.

All tests are sound but not complete: "disjoint" and "inside" are only returned when certain.
Touching counts as disjoint and flush as inside, within ``TOLERANCE``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.geometry.figures import Box, Cylinder, Sphere

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kerma_engines.geometry.figures import Solid

    Array = NDArray[np.float64]

TOLERANCE = 1e-9  # cm; far smaller than ten columns of a card can express

_RIM = 64
_RIM_STRETCH = 1.0 / math.cos(math.pi / _RIM)  # corners of a polygon around a circle


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A convex solid. ``axes`` are its own axes as columns, ``half`` its half lengths along them.

    For a cylinder ``half`` is (radius, radius, half length), for a sphere three times its radius.
    ``low`` and ``high`` are the corners of the enclosing box along the world's axes.
    """

    solid: Solid
    centre: Array
    axes: Array
    half: Array
    low: tuple[float, ...]
    high: tuple[float, ...]


def bodies_of(solid: Solid) -> list[Body]:
    """Return the convex bodies of a solid: itself, or for a tube the full cylinder and its hole."""
    if not isinstance(solid, Cylinder):
        return [_body(solid)]
    shape = solid.parameters
    full = solid.model_copy(update={"parameters": shape.model_copy(update={"inner_radius": 0.0})})
    if not 0 < shape.inner_radius < shape.radius:
        return [_body(full)]
    bore = shape.model_copy(update={"radius": shape.inner_radius, "inner_radius": 0.0})
    return [_body(full), _body(solid.model_copy(update={"parameters": bore}))]


def _body(solid: Solid) -> Body:
    if isinstance(solid, Box):
        half = 0.5 * np.asarray(solid.sides)
    elif isinstance(solid, Cylinder):
        radius = solid.parameters.radius
        half = np.array([radius, radius, 0.5 * solid.parameters.depth])
    else:
        half = np.full(3, solid.parameters.radius)
    centre, axes = np.asarray(solid.position), solid.matrix
    extent = solid.half_extent
    low, high = (centre - extent).tolist(), (centre + extent).tolist()
    return Body(solid, centre, axes, half, tuple(low), tuple(high))


def combinatorial(body: Body) -> tuple[str, list[float]]:
    """Return the body's card of combinatorial geometry: its type and numbers.

    BOX: a corner and three edges; RCC: centre of the base, axis, radius; SPH: centre, radius.
    """
    solid = body.solid
    if isinstance(solid, Sphere):
        return "SPH", [*body.centre.tolist(), float(body.half[0])]
    if isinstance(solid, Cylinder):
        height = body.axes[:, 2] * solid.parameters.depth
        base = body.centre - 0.5 * height
        return "RCC", [*base.tolist(), *height.tolist(), float(body.half[0])]
    edges = body.axes * np.asarray(solid.sides)
    corner = body.centre - 0.5 * edges.sum(axis=1)
    return "BOX", [*corner.tolist(), *edges.T.ravel().tolist()]


def signed_distance(body: Body, points: Array) -> Array:
    """Return the distance to the surface, negative inside, shape (n,) for points of shape (n, 3).

    Exact up to the sign convention for boxes, cylinders and spheres. Between two points it changes
    by at most their distance.
    """
    local = (points - body.centre) @ body.axes
    if isinstance(body.solid, Sphere):
        ball: Array = np.linalg.norm(local, axis=1) - body.half[0]
        return ball
    if isinstance(body.solid, Box):
        over = np.abs(local) - body.half
    else:
        radial = np.hypot(local[:, 0], local[:, 1]) - body.half[0]
        over = np.stack([radial, np.abs(local[:, 2]) - body.half[2]], axis=1)
    outside = np.linalg.norm(np.maximum(over, 0.0), axis=1)
    distance: Array = outside + np.minimum(np.max(over, axis=1), 0.0)
    return distance


def _reach(body: Body, units: Array) -> Array:
    """Return the half width of the body along each unit vector, shape (n,) for (n, 3)."""
    if isinstance(body.solid, Sphere):
        return np.full(len(units), body.half[0])
    along = np.abs(units @ body.axes)
    if isinstance(body.solid, Cylinder):
        across = np.sqrt(np.clip(1.0 - along[:, 2] ** 2, 0.0, 1.0))
        round_: Array = body.half[0] * across + body.half[2] * along[:, 2]
        return round_
    square: Array = along @ body.half
    return square


def _boxes_apart(a: Body, b: Body) -> bool:
    return any(
        a.high[k] <= b.low[k] + TOLERANCE or b.high[k] <= a.low[k] + TOLERANCE for k in range(3)
    )


def is_disjoint(a: Body, b: Body) -> bool:
    """Return whether a plane separates the two bodies.

    Planes along which the bodies can be flush are tried.
    """
    if _boxes_apart(a, b):
        return True
    between = b.centre - a.centre
    directions = _directions(a, b, between)
    lengths = np.sqrt(np.sum(directions**2, axis=1))
    known = lengths > 1e-12
    units = directions[known] / lengths[known, None]
    gaps = np.abs(units @ between) - _reach(a, units) - _reach(b, units)
    return bool(np.any(gaps >= -TOLERANCE))


def _directions(a: Body, b: Body, between: Array) -> Array:
    """Return normals of planes that may separate the two, not of unit length, shape (n, 3)."""
    found = [between[None, :]]
    for body, other in ((a, b), (b, a)):
        if isinstance(body.solid, Sphere):
            found.append((other.centre - body.centre - _nearest(other, body.centre))[None, :])
            continue
        found.append(body.axes.T)
        if isinstance(body.solid, Cylinder):
            axis = body.axes[:, 2]
            found.append((between - axis * float(axis @ between))[None, :])
    if not isinstance(a.solid, Sphere) and not isinstance(b.solid, Sphere):
        found.append(np.cross(a.axes.T[:, None, :], b.axes.T[None, :, :]).reshape(-1, 3))
    return np.concatenate(found)


def _nearest(body: Body, point: Array) -> Array:
    """Return the vector from the body's point nearest to ``point`` to its centre, shape (3,)."""
    local = (point - body.centre) @ body.axes
    if isinstance(body.solid, Sphere):
        return np.zeros(3)
    if isinstance(body.solid, Box):
        clipped = np.clip(local, -body.half, body.half)
    else:
        radius = math.hypot(local[0], local[1])
        scale = min(1.0, float(body.half[0]) / radius) if radius > 0 else 1.0
        height = min(max(float(local[2]), -float(body.half[2])), float(body.half[2]))
        clipped = np.array([local[0] * scale, local[1] * scale, height])
    offset: Array = -(body.axes @ clipped)
    return offset


def is_inside(inner: Body, outer: Body) -> bool:
    """Return whether ``inner`` lies within ``outer``."""
    for k in range(3):
        if inner.low[k] < outer.low[k] - TOLERANCE or inner.high[k] > outer.high[k] + TOLERANCE:
            return False
    if isinstance(outer.solid, Sphere):
        return _farthest(inner, outer.centre) <= float(outer.half[0]) + TOLERANCE
    offset = (inner.centre - outer.centre) @ outer.axes
    flat = slice(0, 3) if isinstance(outer.solid, Box) else slice(2, 3)
    over = np.abs(offset[flat]) + _reach(inner, outer.axes.T[flat]) - outer.half[flat]
    if np.any(over > TOLERANCE):
        return False
    if isinstance(outer.solid, Box):
        return True
    return _farthest_from_axis(inner, outer) <= float(outer.half[0]) + TOLERANCE


def _corners(body: Body) -> Array:
    """Return points whose hull contains the body: corners, or polygons around a cylinder's rims."""
    if isinstance(body.solid, Box):
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        corners: Array = body.centre + (signs * body.half) @ body.axes.T
        return corners
    angles = 2.0 * math.pi * np.arange(_RIM) / _RIM
    rim = body.half[0] * _RIM_STRETCH * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    local = np.concatenate(
        [np.column_stack([rim, np.full(_RIM, z)]) for z in (-body.half[2], body.half[2])]
    )
    points: Array = body.centre + local @ body.axes.T
    return points


def _farthest(body: Body, point: Array) -> float:
    offset = body.centre - point
    if isinstance(body.solid, Sphere):
        return float(np.linalg.norm(offset)) + float(body.half[0])
    if isinstance(body.solid, Box):
        return float(np.max(np.linalg.norm(_corners(body) - point, axis=1)))
    axis = body.axes[:, 2]
    along = abs(float(offset @ axis))
    across = float(np.linalg.norm(offset - axis * float(offset @ axis)))
    return math.hypot(along + float(body.half[2]), across + float(body.half[0]))


def _farthest_from_axis(inner: Body, cylinder: Body) -> float:
    axis = cylinder.axes[:, 2]
    offset = inner.centre - cylinder.centre
    across = float(np.linalg.norm(offset - axis * float(offset @ axis)))
    if isinstance(inner.solid, Sphere):
        return across + float(inner.half[0])
    if isinstance(inner.solid, Cylinder):
        tilt = float(np.linalg.norm(np.cross(inner.axes[:, 2], axis)))
        if tilt < 1e-12:
            return across + float(inner.half[0])
    points = _corners(inner) - cylinder.centre
    away = points - np.outer(points @ axis, axis)
    return float(np.max(np.linalg.norm(away, axis=1)))
