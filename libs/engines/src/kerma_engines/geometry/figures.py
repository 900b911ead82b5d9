"""Figures of a project: boxes, cylinders and spheres, placed and rotated.

Lengths are cm. ``rotation`` holds degrees about x, then y, then z (fixed axes), as the editor
rotates its figures. Figures are given by their centre; cylinders lie along their own z axis.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from kerma_engines.fields import Model, Number

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

LENGTH_LIMIT = 1e7  # cm; beyond this the fixed columns of the engines' cards lose digits


Coordinate = Annotated[Number, Field(ge=-LENGTH_LIMIT, le=LENGTH_LIMIT)]
Length = Annotated[Number, Field(gt=0, le=LENGTH_LIMIT)]
Angle = Annotated[Number, Field(ge=-3600, le=3600)]
Vector = tuple[Coordinate, Coordinate, Coordinate]
Angles = tuple[Angle, Angle, Angle]

_SNAP = 1e-12


def rotation_matrix(rotation: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the matrix, shape (3, 3), that rotates by degrees about fixed x, then y, then z.

    Right angles give exact zeros and ones, so that a rotated figure stays aligned.
    """
    if not any(rotation):
        return np.eye(3)
    cosines = [math.cos(math.radians(angle)) for angle in rotation]
    sines = [math.sin(math.radians(angle)) for angle in rotation]
    (cx, cy, cz), (sx, sy, sz) = cosines, sines
    turn_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    turn_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    turn_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    matrix: NDArray[np.float64] = turn_z @ turn_y @ turn_x
    nearest = np.round(matrix)
    return np.where(np.abs(matrix - nearest) < _SNAP, nearest + 0.0, matrix)


def rotation_angles(matrix: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the degrees about fixed x, then y, then z that rotate as ``matrix``, shape (3, 3)."""
    y = np.arcsin(np.clip(-matrix[2, 0], -1.0, 1.0))
    if abs(matrix[2, 0]) > 1.0 - 1e-12:
        x, z = np.arctan2(-matrix[1, 2], matrix[1, 1]), 0.0
    else:
        x = np.arctan2(matrix[2, 1], matrix[2, 2])
        z = np.arctan2(matrix[1, 0], matrix[0, 0])
    a, b, c = (float(np.degrees(angle)) + 0.0 for angle in (x, y, z))
    return (a, b, c)


class Placed(Model):
    """The position and rotation of a figure."""

    position: Vector = (0.0, 0.0, 0.0)
    rotation: Angles = (0.0, 0.0, 0.0)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Rotation from the figure's own axes to the world's, shape (3, 3)."""
        return rotation_matrix(self.rotation)

    @property
    def aligned(self) -> bool:
        """Whether the figure's axes lie along the world's (in any order or direction)."""
        return bool(np.all(np.isin(self.matrix, (-1.0, 0.0, 1.0))))

    def local(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points, shape (n, 3), in the figure's own axes about its centre."""
        moved: NDArray[np.float64] = (points - np.asarray(self.position)) @ self.matrix
        return moved


class BoxParameters(Model):
    """The full side lengths along x, y and z."""

    width: Length
    height: Length
    depth: Length


class CylinderParameters(Model):
    """The radii and full length; ``inner_radius`` > 0 makes a tube."""

    radius: Length
    inner_radius: Annotated[Coordinate, Field(ge=0)] = 0.0
    depth: Length


class SphereParameters(Model):
    """The radius of a full sphere."""

    radius: Length


class Box(Placed):
    """A box about ``position``."""

    geometry_type: Literal["BoxGeometry"]
    parameters: BoxParameters

    @property
    def sides(self) -> tuple[float, float, float]:
        """The full side lengths along the box's own axes."""
        return (self.parameters.width, self.parameters.height, self.parameters.depth)

    @property
    def half_extent(self) -> NDArray[np.float64]:
        """The half lengths of the enclosing box along the world's axes, shape (3,)."""
        extent: NDArray[np.float64] = np.abs(self.matrix) @ (0.5 * np.asarray(self.sides))
        return extent

    def contains(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which of the points, shape (n, 3), lie inside; shape (n,)."""
        inside: NDArray[np.bool_] = np.all(
            np.abs(self.local(points)) <= 0.5 * np.asarray(self.sides), axis=1
        )
        return inside


class Cylinder(Placed):
    """A cylinder or tube about ``position``, its axis along its own z."""

    geometry_type: Literal["HollowCylinderGeometry"]
    parameters: CylinderParameters

    @property
    def axis(self) -> NDArray[np.float64]:
        """The unit vector along the cylinder in the world, shape (3,)."""
        column: NDArray[np.float64] = self.matrix[:, 2]
        return column

    @property
    def half_extent(self) -> NDArray[np.float64]:
        """The half lengths of the enclosing box along the world's axes, shape (3,)."""
        axis = self.axis
        across = np.sqrt(np.clip(1.0 - axis * axis, 0.0, 1.0))
        extent: NDArray[np.float64] = (
            np.abs(axis) * (0.5 * self.parameters.depth) + across * self.parameters.radius
        )
        return extent

    def contains(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which of the points, shape (n, 3), lie inside; shape (n,)."""
        local = self.local(points)
        square = local[:, 0] ** 2 + local[:, 1] ** 2
        shape = self.parameters
        inside: NDArray[np.bool_] = (
            (np.abs(local[:, 2]) <= 0.5 * shape.depth)
            & (square <= shape.radius**2)
            & (square >= shape.inner_radius**2)
        )
        return inside


class Sphere(Placed):
    """A sphere about ``position``."""

    geometry_type: Literal["SphereGeometry"]
    parameters: SphereParameters

    @property
    def half_extent(self) -> NDArray[np.float64]:
        """The half lengths of the enclosing box along the world's axes, shape (3,)."""
        return np.full(3, self.parameters.radius)

    def contains(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which of the points, shape (n, 3), lie inside; shape (n,)."""
        square = np.sum((points - np.asarray(self.position)) ** 2, axis=1)
        inside: NDArray[np.bool_] = square <= self.parameters.radius**2
        return inside


Solid = Box | Cylinder | Sphere
Geometry = Annotated[Solid, Field(discriminator="geometry_type")]


def enlarged(solid: Solid, margin: float) -> Solid:
    """Return a full solid that is ``margin`` cm larger on every side."""
    sizes = solid.parameters.model_dump(exclude={"inner_radius"})
    grown = {
        name: size + (margin if name == "radius" else 2.0 * margin) for name, size in sizes.items()
    }
    if isinstance(solid, Cylinder):
        grown["inner_radius"] = 0.0
    return solid.model_copy(update={"parameters": solid.parameters.model_copy(update=grown)})


class Figure(Model):
    """A named solid of a project; ``children`` only in projects drawn in Geant4 mode."""

    uuid: str
    name: str = ""
    geometry_data: Geometry
    children: tuple[Figure, ...] = ()
    material_uuid: str | None = None

    @model_validator(mode="after")
    def _tube_has_a_wall(self) -> Self:
        shape = self.geometry_data.parameters
        if isinstance(shape, CylinderParameters) and shape.inner_radius >= shape.radius:
            raise ValueError("innerRadius must be smaller than radius")
        return self

    @property
    def solid(self) -> Solid:
        """The figure's geometry."""
        return self.geometry_data
