"""Lists of spots: beams delivered as many pencil beams, one per line.

The format is that of SHIELD-HIT12A's ``USECBEAM`` file, commonly ``sobp.dat``. The columns are
named in the header lines that pymchelper's and dicomexport's writers of ``sobp.dat`` print:

  ====== ==================================================
  5      energy, x, y, FWHM, weight
  6      energy, x, y, FWHM in x, FWHM in y, weight
  7      energy, its sigma, x, y, FWHM in x, FWHM in y, weight
  ====== ==================================================

Energies and their standard deviations are GeV, per nucleon for nuclei; positions and widths cm;
weights in any unit. Lines that begin with ``*`` or ``#`` are comments. Lists with more columns, for
angles, are refused: OpenShieldHIT (``docs``, ``beam.dat`` reference) puts the weight last there,
while the writers intend it to be seventh.

Positions refer to the isocentre plane, at the distance of the origin; BEAMPOS only sets where on
the axis primaries start (OpenShieldHIT, same reference, for SHIELD-HIT12A's convention). With
source-to-axis distances a spot follows the ray from the two focal lines through its position, and
starts where that ray meets the starting plane. SHIELD-HIT12A's own result of the editor's example
of 6069 spots (start 50 cm upstream, distances 200 and 256 cm) confirms this: the field at the
isocentre is as wide as in the list, and widens with depth by 1/200 per cm.

Assumed: the width of a spot does not depend on where it starts, and its primaries are parallel. In
that result spots are 1.05 +- 0.01 times as wide at the isocentre as listed; parallel ones in Geant4
are 1.03 +- 0.015, which is scattering. A fan from the start would make them 1.33 and 1.24.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.project.energies import EnergyRange

FILE = "sobp.dat"
"""The name of a project's list among the input files."""

MOST_SPOTS = 200_000
MOST_FAULTS = 20
"""The number of faulty lines that are reported one by one."""

_SIGMA_PER_FWHM = 1.0 / (2.0 * math.sqrt(2.0 * math.log(2.0)))
_NUMBERS = re.compile(r"[-+0-9.eE\s]+")
_COMMENTS = ("*", "#")
_COLUMNS = (5, 6, 7)
_FARTHEST = 1e5  # cm, of positions and widths
_HEAVIEST = 1e30
_LONGEST = 1000  # characters of a line


@dataclass(frozen=True, slots=True)
class Spot:
    """One pencil beam at the isocentre.

    ``energy`` and ``energy_sigma`` are in MeV, per nucleon for nuclei; ``energy_sigma`` is None
    where the list has no such column. Position ``x``, ``y`` and Gaussian widths are in cm.
    """

    energy: float
    energy_sigma: float | None
    x: float
    y: float
    sigma_x: float
    sigma_y: float
    weight: float


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a list; ``line`` counts from 1 and is 0 for a fault of the whole list."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}" if self.line else self.reason


@dataclass(frozen=True, slots=True)
class SpotList:
    """The spots of a list, or why it is refused."""

    spots: tuple[Spot, ...]
    faults: tuple[Fault, ...]

    @property
    def tells_energy_sigma(self) -> bool:
        """Whether the list has a column for the energy spread."""
        return bool(self.spots) and self.spots[0].energy_sigma is not None


@dataclass(frozen=True, slots=True)
class _Limits:
    """Energies; default spread, MeV; number of sigmas that must stay above zero energy."""

    energies: EnergyRange
    sigma: float
    tails: float


class _BadLineError(ValueError):
    pass


def parse(
    text: str, *, energies: EnergyRange, energy_sigma: float = 0.0, tails: float = 0.0
) -> SpotList:
    """Return the spots of a list, or none of them unless all are valid.

    ``energies`` are those that the engine transports and ``energy_sigma`` the spread for lists
    without such a column, both in MeV, per nucleon for nuclei. ``tails`` is the number of standard
    deviations that must stay above zero energy.
    """
    limits = _Limits(energies, energy_sigma, tails)
    spots: list[Spot] = []
    faults: list[Fault] = []
    columns = more = 0
    for number, line in _lines(text):
        try:
            values = _values(line)
            columns = columns or len(values)
            if len(values) != columns:
                raise _BadLineError(f"{len(values)} columns, where lines before have {columns}")
            spots.append(_spot(values, limits))
        except _BadLineError as bad:
            if len(faults) < MOST_FAULTS:
                faults.append(Fault(number, str(bad)))
            else:
                more += 1
        if len(spots) > MOST_SPOTS:
            faults.append(Fault(number, f"more than {MOST_SPOTS} spots"))
            break
    if more:
        faults.append(Fault(0, f"{more} more lines like these"))
    if not spots and not faults:
        faults.append(Fault(0, "there are no spots"))
    elif not faults and not any(spot.weight for spot in spots):
        faults.append(Fault(0, "the weights are all zero"))
    return SpotList(() if faults else tuple(spots), tuple(faults))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with content, without comments, numbered from 1."""
    for number, line in enumerate(text.split("\n"), start=1):
        for mark in _COMMENTS:
            if mark in line:
                line = line[: line.index(mark)]
        if line.strip():
            yield number, line


def _values(line: str) -> list[float]:
    if len(line) > _LONGEST:
        raise _BadLineError(f"more than {_LONGEST} characters")
    if not _NUMBERS.fullmatch(line):
        raise _BadLineError("holds something else than numbers")
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        raise _BadLineError("holds something else than numbers") from None
    if len(values) not in _COLUMNS:
        raise _BadLineError(f"{len(values)} columns; 5, 6 or 7 are taken")
    return values


def _spot(values: list[float], limits: _Limits) -> Spot:
    energy, *between, weight = values
    sigma = between.pop(0) if len(values) == 7 else None
    x, y, width, *other = between
    height = other[0] if other else width
    mega = 1000.0 * energy
    if reason := limits.energies.problem(mega):
        raise _BadLineError(reason)
    spread = limits.sigma if sigma is None else 1000.0 * sigma
    if not 0.0 <= spread <= limits.energies.highest:
        raise _BadLineError(f"a spread of the energy of {spread / 1000:g} GeV")
    if limits.tails * spread >= mega:
        reason = f"the spread of the energy must be less than a {limits.tails:g}th of it"
        raise _BadLineError(reason)
    if not max(abs(x), abs(y)) <= _FARTHEST:
        raise _BadLineError(f"lies more than {_FARTHEST:g} cm off the axis")
    if not 0.0 <= min(width, height) <= max(width, height) <= _FARTHEST:
        raise _BadLineError(f"widths are from 0 to {_FARTHEST:g} cm")
    if not 0.0 <= weight <= _HEAVIEST:
        raise _BadLineError(f"weights are from 0 to {_HEAVIEST:g}")
    widths = width * _SIGMA_PER_FWHM, height * _SIGMA_PER_FWHM
    return Spot(mega, None if sigma is None else spread, x, y, *widths, weight)
