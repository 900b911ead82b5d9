"""Write the beam as BEAM, HI-PROPE, BEAMPOS and BEAMAXES cards."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kerma_engines.adapter.conversion import check_energy, check_transport
from kerma_engines.fluka.convert.cards import card
from kerma_engines.physics.particles import Species
from kerma_engines.project.source import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.adapter.conversion import Verdict
    from kerma_engines.fluka.convert.cards import What
    from kerma_engines.project.project import Project
    from kerma_engines.project.source import Beam

FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""The full width at half maximum of a Gaussian of unit standard deviation."""

_LOWEST = (
    0.1  # MeV per nucleon; below, DEFAULTS HADROTHE stops charged particles (manual, chapter 7)
)
_HIGHEST = 2e7  # MeV per nucleon: 20 TeV, above which FLUKA needs DPMJET (manual, chapter 1)
_LINE = 1e-6  # cm
_NUCLEON = 931.494  # MeV, atomic mass unit
_MASSES = {  # MeV, Particle Data Group
    Species.NEUTRON: 939.565,
    Species.PROTON: 938.272,
    Species.PION_MINUS: 139.570,
    Species.PION_PLUS: 139.570,
    Species.PION_ZERO: 134.977,
    Species.ANTIPROTON: 938.272,
    Species.KAON_MINUS: 493.677,
    Species.KAON_PLUS: 493.677,
    Species.KAON_ZERO: 497.611,
    Species.ANTIKAON_ZERO: 497.611,
    Species.MUON_MINUS: 105.658,
    Species.MUON_PLUS: 105.658,
    Species.DEUTERON: 1875.613,
    Species.TRITON: 2808.921,
    Species.HELIUM3: 2808.391,
    Species.HELIUM4: 3727.379,
    Species.ELECTRON: 0.510999,
    Species.POSITRON: 0.510999,
    Species.PHOTON: 0.0,
}


def check_beam(project: Project, verdict: Verdict) -> None:
    """Refuse beams that FLUKA's BEAM card can't express."""
    check_energy(project, verdict, "FLUKA", lowest=_LOWEST, highest=_HIGHEST)
    check_transport(project, verdict, "FLUKA")
    beam = project.beam
    if beam.source_type == "file":
        verdict.refuse(
            "beam.sourceType", "CERN's FLUKA needs a compiled routine to read spots from a file"
        )
    if beam.divergence.x != beam.divergence.y:
        verdict.refuse("beam.divergence", "FLUKA's beam spreads the same in x and y")
    if not project.physics.enable_nuclear_reactions:
        reason = "FLUKA always transports with nuclear reactions"
        verdict.refuse("physic.enableNuclearReactions", reason)


def beam_cards(project: Project) -> Iterator[str]:
    """Return the source's cards.

    Energies are in GeV, for ions other than d, t and He per nuclear mass unit.
    """
    beam, particle = project.beam, project.particle(project.beam.particle)
    ion = particle.species is Species.ION
    total = beam.energy * (particle.a if beam.energy_unit == "MeV/nucl" else 1)
    spread = beam.energy_spread * (particle.a if beam.energy_unit == "MeV/nucl" else 1)
    mass = particle.a * _NUCLEON if ion else _MASSES[particle.species]
    scale = 1e-3 / (particle.a if ion else 1)
    whats: list[What] = [-total * scale, _momentum_spread(total, spread, mass) * scale]
    whats += [-FWHM * beam.divergence.x, *_extent(beam)]
    yield card("BEAM", whats, particle.kind.fluka)
    if ion:
        yield card("HI-PROPE", [particle.z, particle.a])
    yield from _place(beam)


def _momentum_spread(energy: float, spread: float, mass: float) -> float:
    """Return minus the momentum's full width at half maximum, MeV/c: dp = dE (E + m) / p."""
    momentum = math.sqrt(energy * (energy + 2.0 * mass))
    return -FWHM * spread * (energy + mass) / momentum + 0.0


def _extent(beam: Beam) -> tuple[float, float, float]:
    x, y = beam.sigma.x, beam.sigma.y
    if beam.sigma.type is Shape.CIRCULAR:
        return (y, 0.0, -1.0) if y > 0 else (0.0, 0.0, 1.0)
    if x > 0.0 and y == 0.0:
        y = _LINE  # to FLUKA no width in y means the width in x (manual, BEAM, default of WHAT(5))
    if beam.sigma.type is Shape.SQUARE:
        return (2.0 * x, 2.0 * y, 1.0)
    return (-FWHM * x + 0.0, -FWHM * y + 0.0, 1.0)


def _place(beam: Beam) -> Iterator[str]:
    x, y, z = beam.cosines
    along_z = math.hypot(x, y) == 0.0
    wide = bool(beam.sigma.x or beam.sigma.y or beam.divergence.x)
    if along_z or not wide:
        text = "NEGATIVE" if z < 0 else ""
        yield card("BEAMPOS", [*beam.position, x, y], text)
        return
    # Shape and divergence are those of a beam along z: rotate its axes by polar angle, then
    # azimuth.
    across = math.hypot(x, y)
    yield card("BEAMAXES", [z * x / across, z * y / across, -across, x, y, z])
    yield card("BEAMPOS", [*beam.position, 0.0, 0.0])
