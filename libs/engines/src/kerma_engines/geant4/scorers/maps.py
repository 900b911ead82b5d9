"""Maps of the geometry on a scoring mesh: what is at the centre of each bin.

The task numbers zones and materials. Rings of a cylinder are sampled along the mesh's own x axis.
Nothing is simulated for maps, and every task finds the same.
"""

from __future__ import annotations

from array import array
from typing import Any

import geant4_pybind as g4

_DENSITY = g4.g / g4.cm3


class Surveyor:
    """Finds volumes at points of the world."""

    def __init__(self, world: Any, numbering: dict[str, dict[str, int]]) -> None:
        self.navigator = g4.G4Navigator()
        self.navigator.SetWorldVolume(world)
        self.numbering = numbering

    def survey(self, kind: str, place: dict[str, Any]) -> array[float]:
        """Return values in C order over the bins of a mesh.

        ``place`` holds the mesh's ``centre`` (mm), its unit vectors as ``axes``, and, slowest index
        first, the centres of its bins along them, in mm, as ``middles``.
        """
        values = array("d")
        origin = g4.G4ThreeVector(*place["centre"])
        (first, a), (second, b), (third, c) = (
            (g4.G4ThreeVector(*place["axes"][axis]), middles) for axis, middles in place["middles"]
        )
        for x in a:
            for y in b:
                start = origin + first * x + second * y
                values.extend(self._value(kind, start + third * z) for z in c)
        return values

    def _value(self, kind: str, point: Any) -> float:
        volume = self.navigator.LocateGlobalPointAndSetup(point, None, False, True)
        if volume is None:
            return 0.0
        logical = volume.GetLogicalVolume()
        if kind == "density":
            density: float = logical.GetMaterial().GetDensity() / _DENSITY
            return density
        name = logical.GetName() if kind == "zone" else logical.GetMaterial().GetName()
        return float(self.numbering[kind].get(name, 0))
