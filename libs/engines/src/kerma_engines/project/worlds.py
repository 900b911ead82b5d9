"""The world of projects that never gave it a size.

The editor works the world out from the figures only when it is asked to (``autoCalculate``: the
enclosing box, ``marginMultiplier`` times as large), and saves a world of size 0 until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kerma_engines.geometry.figures import Figure

MARGIN = 1.1
"""Sizes of the world over those of the figures together, where the project has no factor."""

_SIZES = ("width", "height", "depth", "radius")


def is_unsized(world: Mapping[str, Any]) -> bool:
    """Whether all sizes of the world's solid are 0."""
    geometry = world.get("geometryData")
    parameters = geometry.get("parameters") if isinstance(geometry, Mapping) else None
    if not isinstance(parameters, Mapping):
        return False
    sizes = [parameters[name] for name in _SIZES if name in parameters]
    return bool(sizes) and all(type(size) in (int, float) and size == 0 for size in sizes)


def margin_of(world: Mapping[str, Any]) -> float:
    """The world's ``marginMultiplier`` if it is one, else ``MARGIN``."""
    factor = world.get("marginMultiplier")
    if not isinstance(factor, int | float) or isinstance(factor, bool):
        return MARGIN
    return float(factor) if 1.0 <= factor <= 100.0 else MARGIN


def around(figures: Sequence[Figure], margin: float) -> dict[str, Any]:
    """Geometry data of a box, ``margin`` times the one that encloses ``figures``."""
    solids = [figure.geometry_data for figure in figures]
    low = np.min([np.asarray(s.position) - s.half_extent for s in solids], axis=0)
    high = np.max([np.asarray(s.position) + s.half_extent for s in solids], axis=0)
    width, height, depth = (float(side) for side in margin * (high - low))
    return {
        "geometryType": "BoxGeometry",
        "parameters": {"width": width, "height": height, "depth": depth},
        "position": [float(value) for value in 0.5 * (low + high)],
        "rotation": [0, 0, 0],
    }
