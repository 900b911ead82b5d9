"""Geant4's callbacks: geometry, primaries, and volumes that end tracks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import geant4_pybind as g4

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.geant4.reporter import Reporter


class Detector(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
    """Returns the world that was read from GDML."""

    def __init__(self, world: Any) -> None:
        super().__init__()
        self.world = world

    def Construct(self) -> Any:  # noqa: N802 - Geant4's name
        return self.world


class _Source(g4.G4VUserPrimaryGeneratorAction):  # type: ignore[misc]
    """The general particle source, which counts primaries and spreads divergent beams from a point.

    With a list of spots, a ``SpotSource`` replaces it.
    """

    def __init__(self, reporter: Reporter, task: dict[str, Any]) -> None:
        super().__init__()
        self.reporter = reporter
        self.general = self.source = g4.G4GeneralParticleSource()
        divergence = task.get("divergence")
        self.spread = _Spread(**divergence) if divergence else None
        if task.get("spots"):
            from kerma_engines.geant4.transport.spot_source import SpotSource

            self.source = SpotSource(task["spots"], self.general)

    def GeneratePrimaries(self, event: Any) -> None:  # noqa: N802 - Geant4's name
        self.reporter.next_primary()
        self.source.GeneratePrimaryVertex(event)
        if self.spread:
            vertex = event.GetPrimaryVertex()
            vertex.GetPrimary().SetMomentumDirection(self.spread.direction(vertex.GetPosition()))


class _Spread:
    """Directions away from a line or point source upstream of the beam's position.

    ``centre`` in mm, ``axes`` three orthogonal unit vectors (two across the beam, one along it),
    ``tilt`` the change of direction per mm off the axis, for both axes across.
    """

    def __init__(
        self, centre: list[float], axes: list[list[float]], tilt: tuple[float, float]
    ) -> None:
        self.centre = g4.G4ThreeVector(*centre)
        self.u, self.v, self.along = (g4.G4ThreeVector(*axis) for axis in axes)
        self.tilt_u, self.tilt_v = tilt

    def direction(self, position: Any) -> Any:
        """Return the unit vector of flight of a primary that starts at ``position``."""
        off = position - self.centre
        across_u = self.u * (off.dot(self.u) * self.tilt_u)
        across_v = self.v * (off.dot(self.v) * self.tilt_v)
        return (self.along + across_u + across_v).unit()


class Actions(g4.G4VUserActionInitialization):  # type: ignore[misc]
    """Registers the source."""

    def __init__(self, reporter: Reporter, task: dict[str, Any]) -> None:
        super().__init__()
        self.reporter = reporter
        self.task = task

    def Build(self) -> None:  # noqa: N802 - Geant4's name
        self.SetUserAction(_Source(self.reporter, self.task))


def kill_tracks_in(material: str, world: Any) -> list[Any]:
    """Return limits that end every track on its first step inside volumes of a material."""
    unlimited = least_energy = sys.float_info.max
    limits = []
    for logical in _logical_volumes(world.GetLogicalVolume()) if material else ():
        if logical.GetMaterial().GetName() == material:
            limit = g4.G4UserLimits(unlimited, unlimited, unlimited, least_energy, 0.0)
            logical.SetUserLimits(limit)
            limits.append(limit)
    return limits


def _logical_volumes(top: Any) -> Iterator[Any]:
    """Yield a logical volume and all below it, each once."""
    seen, waiting = set(), [top]
    while waiting:
        logical = waiting.pop()
        if logical.GetInstanceID() in seen:
            continue
        seen.add(logical.GetInstanceID())
        yield logical
        waiting += [
            logical.GetDaughter(k).GetLogicalVolume() for k in range(logical.GetNoDaughters())
        ]
