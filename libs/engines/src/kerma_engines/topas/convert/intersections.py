"""Intersections of two bodies for which TOPAS has shapes.

Boxes along the same axes intersect in a box, coaxial cylinders in a cylinder. A cylinder and a
sphere centred on its axis intersect in a part of the cylinder and caps of the sphere:
``G4Ellipsoid`` cut by planes (TOPAS user guide, "Generic Components").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.geometry.bodies import TOLERANCE
from kerma_engines.geometry.figures import Box, Cylinder, Sphere

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from kerma_engines.geometry.bodies import Body

    Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Piece:
    """A component: its type, sizes by parameter (cm), centre and axes (as columns)."""

    type: str
    sizes: Mapping[str, float]
    centre: Array
    axes: Array


def shared(a: Body, b: Body) -> list[Piece] | None:
    """Return components that fill the intersection of both bodies, None where none are known."""
    if isinstance(a.solid, Box) and isinstance(b.solid, Box):
        return _boxes(a, b)
    if isinstance(a.solid, Cylinder) and isinstance(b.solid, Cylinder):
        return _cylinders(a, b)
    for tube, ball in ((a, b), (b, a)):
        if isinstance(tube.solid, Cylinder) and isinstance(ball.solid, Sphere):
            return _ball_in_cylinder(tube, ball)
    return None


def _boxes(a: Body, b: Body) -> list[Piece] | None:
    turned = np.abs(a.axes.T @ b.axes)
    if np.any(np.minimum(turned, np.abs(1.0 - turned)) > TOLERANCE):
        return None
    offset, half = (b.centre - a.centre) @ a.axes, turned @ b.half
    low, high = np.maximum(-a.half, offset - half), np.minimum(a.half, offset + half)
    if np.any(high - low <= TOLERANCE):
        return []
    sizes = {f"HL{axis}": float(x) for axis, x in zip("XYZ", 0.5 * (high - low), strict=True)}
    return [Piece("TsBox", sizes, a.centre + a.axes @ (0.5 * (low + high)), a.axes)]


def _on_axis(cylinder: Body, point: Array) -> float | None:
    """Return the position along the axis of a point on it, None for other points."""
    local = (point - cylinder.centre) @ cylinder.axes
    return float(local[2]) if math.hypot(local[0], local[1]) <= TOLERANCE else None


def _cylinders(a: Body, b: Body) -> list[Piece] | None:
    along = _on_axis(a, b.centre)
    if along is None or abs(float(a.axes[:, 2] @ b.axes[:, 2])) < 1.0 - TOLERANCE**2:
        return None
    low = max(-float(a.half[2]), along - float(b.half[2]))
    high = min(float(a.half[2]), along + float(b.half[2]))
    return _rod(a, float(min(a.half[0], b.half[0])), low, high)


def _rod(frame: Body, radius: float, low: float, high: float) -> list[Piece]:
    if high - low <= TOLERANCE:
        return []
    centre = frame.centre + frame.axes[:, 2] * (0.5 * (low + high))
    return [Piece("TsCylinder", {"RMax": radius, "HL": 0.5 * (high - low)}, centre, frame.axes)]


def _ball_in_cylinder(tube: Body, ball: Body) -> list[Piece] | None:
    along = _on_axis(tube, ball.centre)
    if along is None:
        return None
    radius, width = float(ball.half[0]), float(tube.half[0])
    bottom, top = -float(tube.half[2]) - along, float(tube.half[2]) - along
    # between these the cylinder is the narrower one
    waist = math.sqrt(max(radius * radius - width * width, 0.0))
    found: list[Piece] = []
    sections = [(-radius, radius)]
    if waist:
        low, high = max(bottom, -waist), min(top, waist)
        found += _rod(tube, width, along + low, along + high)
        sections = [(-radius, -waist), (waist, radius)]
    for start, stop in sections:
        low, high = max(bottom, start), min(top, stop)
        if high - low > TOLERANCE:
            sizes = {f"HL{axis}": radius for axis in "XYZ"} | {"ZBottom": low, "ZTop": high}
            found.append(Piece("G4Ellipsoid", sizes, ball.centre, tube.axes))
    return found
