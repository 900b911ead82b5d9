"""Ranges of protons: from a depth-dose page, and from a table for comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kerma_engines.results.estimators import FloatArray, Page

#: CSDA range of protons in liquid water: MeV, g/cm2. NIST PSTAR (ICRU Report 49), with a mean
#: excitation energy of water of 75 eV.
_PSTAR_WATER = np.array(
    [
        (50, 2.227),
        (60, 3.093),
        (70, 4.080),
        (80, 5.184),
        (90, 6.398),
        (100, 7.718),
        (125, 11.46),
        (150, 15.77),
        (175, 20.62),
        (200, 25.96),
        (225, 31.74),
        (250, 37.94),
    ]
)
PSTAR_SOURCE = "NIST PSTAR, liquid water, I = 75 eV"

_RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Range:
    """A depth in cm with its standard error, None when the page has no errors."""

    cm: float
    stderr_cm: float | None


def csda_range_in_water(energy_mev: float) -> float:
    """Return the CSDA range of a proton in water, g/cm2 (cm at unit density), for 50 to 250 MeV.

    Interpolated in the logarithms, accurate to 0.1 % between the rows of PSTAR. Raises ValueError
    outside the table.
    """
    energies, ranges = _PSTAR_WATER.T
    if not energies[0] <= energy_mev <= energies[-1]:
        raise ValueError(f"no range tabulated at {energy_mev} MeV")
    logarithm = np.interp(np.log(energy_mev), np.log(energies), np.log(ranges))
    return float(np.exp(logarithm))


def distal_range(page: Page, level: float = 0.8) -> Range:
    """Return the depth behind the peak where a depth-dose page falls to ``level`` of its peak.

    The dose is linear between bin centres. The standard error comes from resampling every bin
    within its error, always with the same random numbers. Raises ValueError for a page that is not
    a depth dose or does not fall below the level.
    """
    if len(page.axes) != 1:
        raise ValueError(f"{page.name} has {len(page.axes)} axes; a depth dose has one")
    depth = page.axes[0].centres
    found = _falls_to(depth, page.values, level)
    if page.errors is None:
        return Range(found, None)
    draws = np.random.default_rng(80).standard_normal((_RESAMPLES, depth.size))
    redrawn = page.values + draws * np.nan_to_num(page.errors)
    ranges = [_falls_to(depth, values, level) for values in redrawn]
    return Range(found, float(np.std(ranges, ddof=1)))


def _falls_to(depth: FloatArray, dose: FloatArray, level: float) -> float:
    peak = int(np.argmax(dose))
    wanted = level * dose[peak]
    below = np.flatnonzero(dose[peak:] < wanted)
    if not below.size or not wanted > 0:
        raise ValueError(f"the dose does not fall to {level:.0%} of its peak")
    after = peak + int(below[0])
    before = after - 1
    fraction = (dose[before] - wanted) / (dose[before] - dose[after])
    return float(depth[before] + fraction * (depth[after] - depth[before]))
