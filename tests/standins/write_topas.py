"""Write TOPAS' CSV files for tests."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass
class Scorer:
    """A scorer: statistics by name, each of shape (x, y, z) or (x, y, z, bins).

    ``binned`` (name, unit, start, stop, bins after the last) adds an axis.
    """

    name: str
    statistics: dict[str, NDArray[np.float64]]
    quantity: str = "DoseToMedium"
    unit: str = "Gy"
    axes: tuple[tuple[str, float, str], ...] = (
        ("X", 0.1, "cm"),
        ("Y", 0.2, "cm"),
        ("Z", 0.5, "cm"),
    )
    """Name, bin width and unit of each mesh axis; empty without mesh."""
    binned: tuple[str, str, float, float, int] | None = None


def csv(scorer: Scorer, parameters: str) -> str:
    """Return the text of a result file which names the parameter file ``parameters``."""
    arrays = list(scorer.statistics.values())
    shape = arrays[0].shape[:3] if scorer.axes else ()
    lines = [
        "# TOPAS Version: 3.9",
        f"# Parameter File: {parameters}",
        f"# Results for scorer: {scorer.name}",
        "# Scored in component: Phantom",
    ]
    for (name, width, unit), n in zip(scorer.axes, shape, strict=True):
        lines.append(f"# {name} in {n} {'bins' if n > 1 else 'bin '} of {width:g} {unit}")
    unit = f"( {scorer.unit} ) " if scorer.unit else ""
    lines.append(f"# {scorer.quantity} {unit}: {'   '.join(scorer.statistics)}   ")
    if scorer.binned:
        what, unit, start, stop, _ = scorer.binned
        n = arrays[0].shape[-1]
        width = (stop - start) / n
        lines.append(
            f"# Binned by {what} in {n} bins of {width:g} {unit} from {start:g} {unit} to {stop:g} {unit}"
        )
        lines.append("# First bin is underflow, last bin is overflow.")
    rows = (", ".join(_row(scorer, place, arrays)) for place in product(*map(range, shape)))
    return "\n".join([*lines, *rows]) + "\n"


def _row(scorer: Scorer, place: tuple[int, ...], arrays: list[NDArray[np.float64]]) -> list[str]:
    if scorer.binned is None:
        return [*map(str, place), *(repr(float(array[place])) for array in arrays)]
    outside = ["-1.0"] * len(arrays)
    bins = [
        repr(float(array[(*place, at)])) for at in range(arrays[0].shape[-1]) for array in arrays
    ]
    return [*outside, *bins, *outside * scorer.binned[4]]
