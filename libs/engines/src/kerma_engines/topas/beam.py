"""The source and physics as parameters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.conversion import check_energy, check_transport
from kerma_engines.particles import Species
from kerma_engines.source import Shape
from kerma_engines.topas.geometry import number, position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kerma_engines.conversion import Verdict
    from kerma_engines.particles import Particle
    from kerma_engines.project import Project
    from kerma_engines.source import Beam

SOURCE = "Beam"
"""Name of the source of converted projects."""

_THIN = 1e-9  # cm
_FAR = 10.0  # standard deviations at which Gaussians are cut off

_WITH_NUCLEI = (
    "g4em-standard_opt4",
    "g4h-phy_QGSP_BIC_HP",
    "g4decay",
    "g4ion-binarycascade",
    "g4h-elastic_HP",
    "g4stopping",
)
_WITHOUT_NUCLEI = ("g4em-standard_opt4", "g4decay")


def check_beam(project: Project, verdict: Verdict) -> None:
    """Refuses what TOPAS's beam can't say."""
    check_energy(project, verdict)
    check_transport(project, verdict, "TOPAS")
    if project.beam.source_type == "file":
        verdict.refuse("beam.sourceType", "TOPAS does not read lists of spots")


def beam_lines(project: Project) -> Iterator[str]:
    """Parameters of the source, all of whose numbers are those of the whole job."""
    beam, particle = project.beam, project.particle(project.beam.particle)
    nucleons = particle.a if beam.energy_unit == "MeV/nucl" else 1
    yield 's:Ge/BeamPosition/Parent = "World"'
    yield 's:Ge/BeamPosition/Type = "Group"'
    yield from position("BeamPosition", np.asarray(beam.position), beam_axes(beam.cosines))
    yield f's:So/{SOURCE}/Type = "Beam"'
    yield f's:So/{SOURCE}/Component = "BeamPosition"'
    yield f's:So/{SOURCE}/BeamParticle = "{_name(particle)}"'
    yield f"d:So/{SOURCE}/BeamEnergy = {number(beam.energy * nucleons)} MeV"
    yield f"u:So/{SOURCE}/BeamEnergySpread = {number(100.0 * beam.energy_spread / beam.energy)}"
    yield from _extent(beam)
    yield from _divergence(beam)
    yield f"i:So/{SOURCE}/NumberOfHistoriesInRun = {beam.number_of_particles}"


def _name(particle: Particle) -> str:
    """TOPAS's name of a particle of the beam, bare when it is an ion.

    The user guide says that an ion's charge may be left out, but TOPAS takes none for a charge of 0.
    """
    if particle.species is Species.ION:
        return f"GenericIon({particle.z},{particle.a},{particle.z})"
    return particle.kind.geant4


def beam_axes(cosines: tuple[float, float, float]) -> NDArray[np.float64]:
    """Axes of the beam as columns, shape (3, 3): z along it, turned by polar angle and azimuth."""
    x, y, z = cosines
    across = math.hypot(x, y)
    cos, sin = (x / across, y / across) if across > 0 else (1.0, 0.0)
    return np.array([[z * cos, -sin, x], [z * sin, cos, y], [-across, 0.0, z]])


def _extent(beam: Beam) -> Iterator[str]:
    x, y = beam.sigma.x, beam.sigma.y
    if beam.sigma.type is Shape.CIRCULAR:
        x = y
    if not (x or y):
        yield f's:So/{SOURCE}/BeamPositionDistribution = "None"'
        return
    shape = "Ellipse" if beam.sigma.type is not Shape.SQUARE else "Rectangle"
    gauss = beam.sigma.type is Shape.GAUSSIAN
    yield f's:So/{SOURCE}/BeamPositionDistribution = "{"Gaussian" if gauss else "Flat"}"'
    yield f's:So/{SOURCE}/BeamPositionCutoffShape = "{shape}"'
    # a beam of no width in one direction; zero would be divided by
    for axis, size in (("X", max(x, _THIN)), ("Y", max(y, _THIN))):
        yield f"d:So/{SOURCE}/BeamPositionCutoff{axis} = {number(_FAR * size if gauss else size)} cm"
        if gauss:
            yield f"d:So/{SOURCE}/BeamPositionSpread{axis} = {number(size)} cm"


def _divergence(beam: Beam) -> Iterator[str]:
    if not (beam.divergence.x or beam.divergence.y):
        yield f's:So/{SOURCE}/BeamAngularDistribution = "None"'
        return
    yield f's:So/{SOURCE}/BeamAngularDistribution = "Gaussian"'
    for axis, spread in (("X", beam.divergence.x), ("Y", beam.divergence.y)):
        yield f"d:So/{SOURCE}/BeamAngularCutoff{axis} = 90 deg"
        yield f"d:So/{SOURCE}/BeamAngularSpread{axis} = {number(abs(spread) * 1e-3)} rad"


def physics_lines(project: Project) -> Iterator[str]:
    """The physics list: with nuclear reactions or without."""
    modules = _WITH_NUCLEI if project.physics.enable_nuclear_reactions else _WITHOUT_NUCLEI
    listed = " ".join(f'"{module}"' for module in modules)
    yield 's:Ph/ListName = "Default"'
    yield 's:Ph/Default/Type = "Geant4_Modular"'
    yield f"sv:Ph/Default/Modules = {len(modules)} {listed}"
