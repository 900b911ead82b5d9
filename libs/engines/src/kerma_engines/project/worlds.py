"""The world of projects without a world size.

The editor computes the world from the figures only on request (``autoCalculate``: the enclosing
box, enlarged by ``marginMultiplier``), and saves a world of size 0 until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kerma_engines.geometry.figures import Figure

MARGIN = 1.1
"""Size of the world relative to the enclosing box, for projects without a factor."""

_SIZES = ("width", "height", "depth", "radius")


def is_unsized(world: Mapping[str, Any]) -> bool:
    """Return whether all sizes of the world's solid are 0."""
    geometry = world.get("geometryData")
    parameters = geometry.get("parameters") if isinstance(geometry, Mapping) else None
    if not isinstance(parameters, Mapping):
        return False
    sizes = [parameters[name] for name in _SIZES if name in parameters]
    return bool(sizes) and all(type(size) in (int, float) and size == 0 for size in sizes)


def margin_of(world: Mapping[str, Any]) -> float:
    """Return the world's ``marginMultiplier`` if it is valid, else ``MARGIN``."""
    factor = world.get("marginMultiplier")
    if not isinstance(factor, int | float) or isinstance(factor, bool):
        return MARGIN
    return float(factor) if 1.0 <= factor <= 100.0 else MARGIN


def around(figures: Sequence[Figure], margin: float) -> dict[str, Any]:
    """Return the geometry of a box ``margin`` times the one that encloses ``figures``."""
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
