"""Kerma's macro commands for beams that are lists of spots.

  ===================================== ==========================================================
  ``/kerma/spots/file NAME``            the list, a file beside the macro (``project.spots``)
  ``/kerma/spots/isocentre L unit``     from the centre of the beam downstream to the isocentre
  ``/kerma/spots/sad X Y unit``         from the focal lines to the isocentre; default: parallel
  ``/kerma/spots/energySpread S MeV``   sigma for lists without that column, per nucleon for nuclei
  ===================================== ==========================================================

``/gps/particle``, ``/gps/ion``, ``/gps/pos/centre``, ``/gps/pos/rot1`` and ``/gps/pos/rot2`` set
the particle and orientation of the spots: x along rot1, y in the plane of rot1 and rot2, the
direction of flight along their cross product.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kerma_engines.geant4.scorers.grammar import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    Vector = tuple[float, float, float]

    class Floats(Protocol):
        """Reads a given count of numbers, with a unit of length; returns cm."""

        def __call__(
            self, arguments: list[str], count: int, *, unit: bool
        ) -> tuple[float, ...]: ...


SPOTS = "/kerma/spots/"
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,90}\.(?:dat|txt)")
_NUCLEONS = {"deuteron": 2, "triton": 3, "He3": 3, "alpha": 4}


@dataclass(frozen=True, slots=True)
class SpotBeam:
    """How a list becomes primaries: lengths in cm, ``energy_sigma`` in MeV per nucleon.

    ``axes`` are three orthonormal vectors, the last one along the beam; ``isocentre`` is the
    distance downstream of ``centre``; ``sad`` is None for parallel spots.
    """

    file: str
    centre: Vector
    axes: tuple[Vector, Vector, Vector]
    isocentre: float
    sad: tuple[float, float] | None
    energy_sigma: float
    nucleons: int


@dataclass(slots=True)
class SpotCommands:
    """The commands about spots in a macro."""

    particle: str = ""
    ion_nucleons: int = 1
    _file: str = ""
    _isocentre: float = 0.0
    _sad: tuple[float, float] | None = None
    _energy_sigma: float = 0.0
    _given: set[str] = field(default_factory=set)
    _beam: SpotBeam | None = None

    @property
    def nucleons(self) -> int:
        """The number of nucleons of the particle; 1 for a particle without any."""
        return self.ion_nucleons if self.particle == "ion" else _NUCLEONS.get(self.particle, 1)

    def command(self, name: str, arguments: list[str], floats: Floats) -> None:
        """Read one of the commands. Raises Refused."""
        if name in self._given:
            raise Refused(f"{SPOTS}{name} may be given once only")
        self._given.add(name)
        if name == "file":
            if len(arguments) != 1 or not _FILE.fullmatch(arguments[0]):
                raise Refused("a list of spots is a file NAME.dat or NAME.txt, without folders")
            self._file = arguments[0]
        elif name == "isocentre":
            (self._isocentre,) = floats(arguments, 1, unit=True)
        elif name == "sad":
            x, y = floats(arguments, 2, unit=True)
            if min(x, y) <= 0:
                raise Refused("source-to-axis distances must be greater than 0")
            self._sad = (x, y)
        elif name == "energySpread":
            (self._energy_sigma,) = floats(arguments, 1, unit=False)
            if self._energy_sigma < 0 or arguments[1:] != ["MeV"]:
                raise Refused("an energy spread is a number from 0 and MeV")
        else:
            raise Refused(f"unknown command {SPOTS}{name}")

    def check(self, frame: Mapping[str, Vector]) -> bool:
        """Return whether the beam consists of spots. Raises Refused for commands that don't fit."""
        if not self._given:
            return False
        if not self._file:
            raise Refused(f"{SPOTS}file is missing")
        if self._sad is not None and min(self._sad) <= self._isocentre:
            raise Refused("the beam starts upstream of where its spots come from")
        self._beam = SpotBeam(
            file=self._file,
            centre=frame.get("centre", (0.0, 0.0, 0.0)),
            axes=_axes(frame.get("rot1", (1.0, 0.0, 0.0)), frame.get("rot2", (0.0, 1.0, 0.0))),
            isocentre=self._isocentre,
            sad=self._sad,
            energy_sigma=self._energy_sigma,
            nucleons=self.nucleons,
        )
        return True

    def beam(self) -> SpotBeam | None:
        """Return the beam, if ``check`` found one."""
        return self._beam


def _axes(first: Vector, second: Vector) -> tuple[Vector, Vector, Vector]:
    along = _unit(_cross(first, second))
    across = _unit(first)
    return across, _cross(along, across), along


def _cross(a: Vector, b: Vector) -> Vector:
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


def _unit(vector: Vector) -> Vector:
    length = math.hypot(*vector)
    if length < 1e-9:
        raise Refused("/gps/pos/rot1 and /gps/pos/rot2 must not be zero or parallel")
    x, y, z = (component / length for component in vector)
    return (x, y, z)
