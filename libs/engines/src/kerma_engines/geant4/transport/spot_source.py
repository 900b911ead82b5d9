"""Primaries of a list of spots, drawn by weight with Geant4's own random numbers.

Every task draws independently, so any split of a job is a sample of the same beam.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geant4_pybind as g4

from kerma_engines.geant4.transport.spot_list import read

if TYPE_CHECKING:
    from kerma_engines.project.spots import Spot


class SpotSource:
    """A replacement for ``G4GeneralParticleSource`` with a ``SpotBeam`` as a JSON object.

    Raises ValueError for an invalid list.
    """

    def __init__(self, beam: dict[str, Any], general: Any) -> None:
        text = Path(beam["file"]).read_text()
        found = read(text, beam["energy_sigma"])
        if found.faults:
            raise ValueError(f"{beam['file']}: {found.faults[0]}")
        self._beam, self._spots = beam, found.spots
        self._rays: dict[int, _Ray] = {}  # of drawn spots only: short tasks draw few
        self._sums = list(accumulate(spot.weight for spot in found.spots))
        # rounding at the very end must not draw a spot without weight
        self._last = bisect_left(self._sums, self._sums[-1])
        self._general = general  # holds the settings of /gps/particle and /gps/ion
        self._gun = g4.G4ParticleGun(1)
        self._particle: Any = None

    def GeneratePrimaryVertex(self, event: Any) -> None:  # noqa: N802 - Geant4's name
        """Add one primary to the event."""
        if self._particle is None:
            self._particle = self._general.GetParticleDefinition()
            self._gun.SetParticleDefinition(self._particle)
        drawn = g4.G4UniformRand() * self._sums[-1]
        ray = self._ray(bisect_right(self._sums, drawn, hi=self._last))
        self._gun.SetParticlePosition(ray.position())
        self._gun.SetParticleMomentumDirection(ray.direction)
        self._gun.SetParticleEnergy(ray.energy())
        self._gun.GeneratePrimaryVertex(event)

    def _ray(self, index: int) -> _Ray:
        ray = self._rays.get(index)
        if ray is None:
            ray = self._rays[index] = _Ray(self._spots[index], self._beam)
        return ray


class _Ray:
    """A spot in the world: mm and MeV."""

    __slots__ = ("_energy", "_energy_sigma", "_start", "_x", "_y", "direction")

    def __init__(self, spot: Spot, beam: dict[str, Any]) -> None:
        u, v, along = (g4.G4ThreeVector(*axis) for axis in beam["axes"])
        slopes = (0.0, 0.0)
        if beam["sad"] is not None:
            slopes = (spot.x / beam["sad"][0], spot.y / beam["sad"][1])
        back = beam["isocentre"]
        across = u * (10.0 * (spot.x - slopes[0] * back)) + v * (10.0 * (spot.y - slopes[1] * back))
        self._start = g4.G4ThreeVector(*(10.0 * x for x in beam["centre"])) + across
        self._x, self._y = u * (10.0 * spot.sigma_x), v * (10.0 * spot.sigma_y)
        self.direction = (along + u * slopes[0] + v * slopes[1]).unit()
        sigma = beam["energy_sigma"] if spot.energy_sigma is None else spot.energy_sigma
        self._energy = float(spot.energy * beam["nucleons"])
        self._energy_sigma = float(sigma * beam["nucleons"])

    def position(self) -> Any:
        """Return where the next primary starts."""
        shoot = g4.G4RandGauss.shoot
        return self._start + self._x * shoot(0.0, 1.0) + self._y * shoot(0.0, 1.0)

    def energy(self) -> float:
        """Return the kinetic energy of the next primary."""
        if not self._energy_sigma:
            return self._energy
        energy = -1.0
        while energy <= 0:  # once in millions
            energy = g4.G4RandGauss.shoot(self._energy, self._energy_sigma)
        return energy
