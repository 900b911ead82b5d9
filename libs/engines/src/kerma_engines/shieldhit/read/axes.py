"""Axes of SHIELD-HIT12A detectors, shared by its three binary formats."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kerma_engines.results.estimators import Axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kerma_engines.results.binary import BinaryFile

_CARTESIAN = ("Position (X)", "Position (Y)", "Position (Z)")
_CYLINDRICAL = ("Radius (R)", "Angle (PHI)", "Position (Z)")
_ZONES = ("Zone number", "", "")


def is_zone(geometry: str) -> bool:
    """Return whether detectors of this geometry type score per zone."""
    return geometry in ("ZONE", "DZONE")


def axis_names(geometry: str) -> tuple[str, str, str]:
    """Return the names of the three axes of a geometry type such as MSH, CYL or ZONE."""
    if geometry in ("CYL", "DCYL"):
        return _CYLINDRICAL
    return _ZONES if is_zone(geometry) else _CARTESIAN


def axis_units(geometry: str) -> tuple[str, str, str]:
    """Return the units of the three axes, for formats that don't store them."""
    if geometry in ("CYL", "DCYL"):
        return ("cm", "rad", "cm")
    return ("", "", "") if is_zone(geometry) else ("cm", "cm", "cm")


def make_axis(
    file: BinaryFile, name: str, unit: str, start: float, stop: float, n: int, *, log: bool
) -> Axis:
    """Return an axis of ``n`` >= 2 bins. Raises ReadError for impossible limits."""
    if not (math.isfinite(start) and math.isfinite(stop) and start < stop):
        raise file.error(f"axis {name!r} runs from {start} to {stop}")
    if not log:
        return Axis.linear(name, unit, start, stop, n)
    if start <= 0:
        raise file.error(f"logarithmic axis {name!r} starts at {start}")
    return Axis.log(name, unit, start, stop, n)


def mesh_axes(
    file: BinaryFile,
    geometry: str,
    units: Sequence[str],
    start: Sequence[float],
    stop: Sequence[float],
    bins: Sequence[int],
) -> list[Axis]:
    """Return geometric axes with more than one bin; a negative number of bins means logarithmic."""
    axes = []
    for index, name in enumerate(axis_names(geometry)):
        n, low, high = abs(bins[index]), start[index], stop[index]
        if n < 2:
            continue
        if is_zone(geometry) and high - low == n - 1:
            low, high = low - 0.5, high + 0.5  # first and last number, not edges
        axes.append(make_axis(file, name, units[index], low, high, n, log=bins[index] < 0))
    return axes
