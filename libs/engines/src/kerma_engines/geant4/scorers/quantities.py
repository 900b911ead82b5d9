"""Quantities and differential axes of our scorers, as formulas on one step of a particle.

Names and units are those of SHIELD-HIT12A's results. Beam qualities follow its authors
(github.com/DataMedSci/pymchelper, issues 238 and 474): Q is z^2/E, E in MeV per amu, and Q_eff is
another name of z_eff^2/beta^2. Effective charges follow Barkas (1963, "Nuclear Research Emulsions",
vol. 1): z (1 - exp(-125 beta z^(-2/3))).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

AMU = 931.49410242
"""Atomic mass unit, MeV (CODATA 2018)."""


GY_PER_MEV_PER_G = 1.602176634e-10
"""Exact since the SI of 2019."""


@dataclass(slots=True)
class Passage:
    """A particle on its way through a bin.

    ``mass`` and ``energy`` (kinetic, mean of the step) are in MeV, ``let`` in MeV/cm, ``density``
    in g/cm3, and ``cosine`` is that of the angle to the z axis; the last three are set where
    needed.
    """

    z: int
    a: int
    mass: float
    energy: float
    let: float = 0.0
    density: float = 0.0
    cosine: float = 1.0

    @property
    def beta2(self) -> float:
        """The squared velocity in units of the speed of light."""
        return 1.0 - 1.0 / (1.0 + self.energy / self.mass) ** 2 if self.mass else 1.0

    @property
    def effective_charge(self) -> float:
        """The charge minus the electrons that a slow ion carries."""
        if self.z < 1:
            return float(self.z)
        return self.z * -math.expm1(-125.0 * math.sqrt(self.beta2) * self.z ** (-2.0 / 3.0))


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a passage; ``name`` and ``unit`` are those of an axis."""

    name: str
    unit: str
    of: Callable[[Passage], float]


def _over_beta2(charge: float, passage: Passage) -> float:
    return charge * charge / passage.beta2 if passage.beta2 > 0 else 0.0


#: Differential axes by the editor's keyword.
AXES = {
    "E": Property("Kinetic energy", "MeV", lambda p: p.energy),
    "ENUC": Property("Kinetic energy per nucleon", "MeV/nucleon", lambda p: p.energy / max(p.a, 1)),
    "EAMU": Property(
        "Kinetic energy per amu", "MeV/amu", lambda p: p.energy * AMU / p.mass if p.mass else 0.0
    ),
    "Z": Property("Charge Z", "", lambda p: float(p.z)),
    "Zeff": Property("Effective charge", "", lambda p: p.effective_charge),
    "DEDX": Property("LET", "MeV/cm", lambda p: p.let),
    "MDEDX": Property(
        "Mass stopping power", "MeV cm^2/g", lambda p: p.let / p.density if p.density else 0.0
    ),
    "ANGLE": Property(
        "Angle", "deg", lambda p: math.degrees(math.acos(max(-1.0, min(1.0, p.cosine))))
    ),
    "Z2Beta2": Property("Z²/β²", "", lambda p: _over_beta2(p.z, p)),
    "Zeff2Beta2": Property("Z_eff²/β²", "", lambda p: _over_beta2(p.effective_charge, p)),
}
#: Beam quality: square of the charge over the kinetic energy per amu.
_QUALITY = Property(
    "Q", "amu/MeV", lambda p: p.z**2 * p.mass / (AMU * p.energy) if p.energy else 0.0
)
_BETA = Property("Velocity", "", lambda p: math.sqrt(p.beta2))

NEEDS_LET = {"DEDX", "MDEDX"}


@dataclass(frozen=True, slots=True)
class Average:
    """The mean of a property over particles, weighted by track length or by dose.

    The dose along a step is taken as its length times LET.
    """

    page: str
    property: Property
    by_dose: bool = False


AVERAGES = {
    "avgEnergy": Average("AVG-ENERGY", AXES["E"]),
    "avgBeta": Average("AVG-BETA", _BETA),
    "tLET": Average("TLET", AXES["DEDX"]),
    "dLET": Average("DLET", AXES["DEDX"], by_dose=True),
    "tZ2Beta2": Average("TRACK-AV-Z2BETA2", AXES["Z2Beta2"]),
    "dZ2Beta2": Average("DOSE-AV-Z2BETA2", AXES["Z2Beta2"], by_dose=True),
    "tZeff2Beta2": Average("TZEFF2BETA2", AXES["Zeff2Beta2"]),
    "dZeff2Beta2": Average("DZEFF2BETA2", AXES["Zeff2Beta2"], by_dose=True),
    "tQ": Average("TRACK-AV-Q", _QUALITY),
    "dQ": Average("DOSE-AV-Q", _QUALITY, by_dose=True),
    "tQeff": Average("TQ-EFF", AXES["Zeff2Beta2"]),
    "dQeff": Average("DQ-EFF", AXES["Zeff2Beta2"], by_dose=True),
}


@dataclass(frozen=True, slots=True)
class Total:
    """A sum over a bin: page, unit, whether it is per volume, factor to the unit."""

    page: str
    unit: str
    per_volume: bool = True
    factor: float = 1.0


TOTALS = {
    "fluence": Total("FLUENCE", "/cm^2"),  # track length
    "energy": Total("ENERGY", "MeV", per_volume=False),  # energy deposited
    "dose": Total("DOSE", "MeV/g"),  # energy deposited over density
    "doseEqv": Total("DOSE-EQV", "Sv", factor=GY_PER_MEV_PER_G),  # the same, times Q(L)
}


@dataclass(frozen=True, slots=True)
class Map:
    """A property of the geometry, not of particles: page and unit."""

    page: str
    unit: str


MAPS = {
    "material": Map("MATERIAL", ""),
    "zone": Map("ZONE", ""),
    "density": Map("RHO", "g/cm^3"),
}

KINDS = (*TOTALS, *AVERAGES, *MAPS)


def quality_factor(let: float) -> float:
    """Return Q of ICRP Publications 60 and 103 for an unrestricted LET in water, in MeV/cm.

    Q is 1 below 10 keV/um, 0.32 L - 2.2 up to 100 keV/um, and 300 over the root of L above.
    """
    kev_per_um = 0.1 * let
    if kev_per_um < 10.0:
        return 1.0
    return 0.32 * kev_per_um - 2.2 if kev_per_um <= 100.0 else 300.0 / math.sqrt(kev_per_um)


def bins_of(axes: tuple[DifferentialAxis, ...]) -> int:
    """Return the number of bins of the axes together."""
    return math.prod(axis.n for axis in axes)


@dataclass(frozen=True, slots=True)
class DifferentialAxis:
    """Bins along a property of the particle, named by its key in ``AXES``."""

    key: str
    low: float
    high: float
    n: int
    log: bool

    def bin(self, value: float) -> int:
        """Return the index of the bin, -1 outside."""
        if not self.low <= value < self.high:
            return -1
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return min(int(part * self.n), self.n - 1)
