"""Write the source and physics as parameters.

After the TOPAS user guide ("Beam Sources", "Emittance Sources"). Divergent Gaussian beams are
emittance sources, whose angles are Gaussian without conversion. Beam sources convert angular
spreads to Marsaglia coordinates in single precision, which is accurate only from a few mrad
upwards; only beam sources have flat shapes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.adapter.conversion import check_energy, check_transport
from kerma_engines.physics.particles import Species
from kerma_engines.project.source import TAILS, Cut, Shape
from kerma_engines.topas.convert.geometry import number, position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kerma_engines.adapter.conversion import Verdict
    from kerma_engines.physics.particles import Particle
    from kerma_engines.project.project import Project
    from kerma_engines.project.source import Beam

SOURCE = "Beam"
"""The name of the source in converted projects."""

_THIN = 1e-9  # cm or rad
_FAR = 10.0  # standard deviations at which Gaussians are truncated
_POINTS = 201  # points of a truncated spectrum
_LOWEST = 1e-4  # MeV per nucleon: 100 eV, where Geant4's tables of stopping powers begin
_HIGHEST = 1e8  # MeV per nucleon: 100 TeV, where Geant4's hadronic models end
_SINGLE_PRECISION = 2.0  # mrad below which flat beams are off by more than a percent

# User guide, "Time Features" and "Time mode": a Step function may change a source and its number of
# histories between runs, or, with one run per history, at random.
_NO_SPOTS = (
    "TOPAS delivers spots one after the other, each a run with a number of histories of its own; "
    "such runs can't be split into tasks yet"
)
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
    """Refuse beams that TOPAS's sources can't express."""
    check_energy(project, verdict, "TOPAS", lowest=_LOWEST, highest=_HIGHEST, cuts=True)
    check_transport(project, verdict, "TOPAS")
    beam = project.beam
    spread = min((abs(x) for x in (beam.divergence.x, beam.divergence.y) if x), default=0.0)
    if 0 < spread < _SINGLE_PRECISION and not _is_emittance(beam):
        text = f"TOPAS rounds the spread of angles of flat beams below {_SINGLE_PRECISION:g} mrad"
        verdict.note("beam.divergence", text)
    if project.beam.source_type == "file":
        verdict.refuse("beam.sourceType", _NO_SPOTS)


def beam_lines(project: Project) -> Iterator[str]:
    """Return the source's parameters; its numbers are those of the whole job."""
    beam, particle = project.beam, project.particle(project.beam.particle)
    nucleons = particle.a if beam.energy_unit == "MeV/nucl" else 1
    yield 's:Ge/BeamPosition/Parent = "World"'
    yield 's:Ge/BeamPosition/Type = "Group"'
    yield from position("BeamPosition", np.asarray(beam.position), beam_axes(beam.cosines))
    yield f's:So/{SOURCE}/Type = "{"Emittance" if _is_emittance(beam) else "Beam"}"'
    yield f's:So/{SOURCE}/Component = "BeamPosition"'
    yield f's:So/{SOURCE}/BeamParticle = "{_name(particle)}"'
    yield from _energy(beam, nucleons)
    if _is_emittance(beam):
        yield from _emittance(beam)
    else:
        yield from _extent(beam)
        yield from _divergence(beam)
    yield f"i:So/{SOURCE}/NumberOfHistoriesInRun = {beam.number_of_particles}"


def _name(particle: Particle) -> str:
    """Return TOPAS's name of a beam particle; ions are fully stripped.

    The user guide says that an ion's charge may be left out, but TOPAS then takes it as 0.
    """
    if particle.species is Species.ION:
        return f"GenericIon({particle.z},{particle.a},{particle.z})"
    return particle.kind.geant4


def beam_axes(cosines: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the beam's axes as columns, shape (3, 3).

    z is along the beam; the axes are rotated by polar angle and azimuth.
    """
    x, y, z = cosines
    across = math.hypot(x, y)
    cos, sin = (x / across, y / across) if across > 0 else (1.0, 0.0)
    return np.array([[z * cos, -sin, x], [z * sin, cos, y], [-across, 0.0, z]])


def _is_emittance(beam: Beam) -> bool:
    diverges = bool(beam.divergence.x or beam.divergence.y)
    extended = bool(beam.sigma.x or beam.sigma.y)
    return diverges and (beam.sigma.type is Shape.GAUSSIAN or not extended)


def _emittance(beam: Beam) -> Iterator[str]:
    """Return parameters of Gaussian positions and angles without correlation."""
    yield f's:So/{SOURCE}/Distribution = "BiGaussian"'
    for axis, size, spread in (
        ("X", beam.sigma.x, beam.divergence.x),
        ("Y", beam.sigma.y, beam.divergence.y),
    ):
        yield f"d:So/{SOURCE}/Sigma{axis} = {number(size)} cm"
        yield f"u:So/{SOURCE}/Sigma{axis}prime = {number(abs(spread) * 1e-3)}"
        yield f"u:So/{SOURCE}/Correlation{axis} = 0"


def _energy(beam: Beam, nucleons: int) -> Iterator[str]:
    """Return parameters of a Gaussian, or of a truncated one as straight lines between points.

    Spectra of TOPAS rise from zero at 0; a point without weight makes them begin at the cut.
    """
    low, high = beam.cutoffs
    tail = TAILS * beam.energy_spread
    low, high = max(low, beam.energy - tail), min(high, beam.energy + tail)
    if beam.cut is not Cut.PART or not beam.energy_spread:
        yield f"d:So/{SOURCE}/BeamEnergy = {number(beam.energy * nucleons)} MeV"
        yield f"u:So/{SOURCE}/BeamEnergySpread = {number(100.0 * beam.energy_spread / beam.energy)}"
        return
    energies = np.linspace(low, high, _POINTS)
    weights = np.exp(-0.5 * ((energies - beam.energy) / beam.energy_spread) ** 2)
    values = np.concatenate([[low * (1.0 - 1e-9)], energies]) * nucleons
    listed = " ".join(map(number, values))
    shares = " ".join(map(number, (0.0, *(weights / weights.sum()))))
    yield f's:So/{SOURCE}/BeamEnergySpectrumType = "Continuous"'
    yield f"dv:So/{SOURCE}/BeamEnergySpectrumValues = {values.size} {listed} MeV"
    yield f"uv:So/{SOURCE}/BeamEnergySpectrumWeights = {values.size} {shares}"


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
    # A beam without width in one direction would make TOPAS divide by zero.
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
        # TOPAS refuses zero.
        yield f"d:So/{SOURCE}/BeamAngularSpread{axis} = {number(max(abs(spread) * 1e-3, _THIN))} rad"


def physics_lines(project: Project) -> Iterator[str]:
    """Return parameters of the physics list: with nuclear reactions or without."""
    modules = _WITH_NUCLEI if project.physics.enable_nuclear_reactions else _WITHOUT_NUCLEI
    listed = " ".join(f'"{module}"' for module in modules)
    yield 's:Ph/ListName = "Default"'
    yield 's:Ph/Default/Type = "Geant4_Modular"'
    yield f"sv:Ph/Default/Modules = {len(modules)} {listed}"
