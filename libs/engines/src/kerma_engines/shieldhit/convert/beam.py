"""Write beam and transport settings as ``beam.dat``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kerma_engines.adapter.conversion import check_energy, check_spot_energies, energy_range
from kerma_engines.physics.particles import Species
from kerma_engines.project.source import TAILS, Shape
from kerma_engines.project.spots import FILE, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.adapter.conversion import Verdict
    from kerma_engines.project.project import Project
    from kerma_engines.project.source import Beam, Physics

RNDSEED = 89736501
"""The base seed; tasks add their offset on the command line."""

_STRAGGLING = {"no straggling": 0, "Gaussian": 1, "Vavilov": 2}
_SCATTERING = {"no scattering": 0, "Gaussian": 1, "Moliere": 2}
_LOWEST = 0.025  # MeV per nucleon; below, particles are stopped (user's guide, DEMIN)
_MOST_ENERGY = 1e6  # MeV per nucleon; SHIELD's models of nuclear reactions end at 1 TeV
_THIN = 1e-6  # cm; a flat square with a side of 0 would be read as a circle


def check_beam(project: Project, verdict: Verdict) -> None:
    """Refuse beams that SHIELD-HIT12A can't transport."""
    beam, particle = project.beam, project.particle(project.beam.particle)
    if particle.kind.jpart is None:
        reason = f"SHIELD-HIT12A does not transport a beam of {particle.kind.label}s"
        verdict.refuse(f"beam.particle.{beam.particle.key}", reason)
    check_energy(project, verdict, "SHIELD-HIT12A", lowest=_LOWEST, highest=_MOST_ENERGY, cuts=True)
    if beam.source_type == "file":
        _check_spots(project, verdict)
    if beam.sad.type != "none" and (
        beam.sad.x <= 0 or (beam.sad.type == "double" and beam.sad.y <= 0)
    ):
        verdict.refuse("beam.sad", "distances must be greater than 0")


def _check_spots(project: Project, verdict: Verdict) -> None:
    """Refuse a list of spots that can't be interpreted; the list itself is written unchanged."""
    beam, particle = project.beam, project.particle(project.beam.particle)
    per_nucleon = particle.a if particle.is_nucleus and beam.energy_unit == "MeV" else 1
    low, _ = beam.cutoffs
    found = parse(
        beam.source_file.value,
        energies=energy_range(project, "SHIELD-HIT12A", lowest=_LOWEST, highest=_MOST_ENERGY),
        energy_sigma=beam.energy_spread / per_nucleon,
        tails=0.0 if low > 0 else TAILS,
    )
    for fault in found.faults:
        verdict.refuse("beam.sourceFile.value", str(fault))
    check_spot_energies(project, found.spots, verdict, "SHIELD-HIT12A", cuts=True)
    if beam.sad.type == "none":
        verdict.note("beam.sad", "there is none, so all spots are parallel")
    verdict.note("beam", "energies, positions and widths are those of the list of spots")


def beam_dat(project: Project, modulator: tuple[int, str] | None) -> str:
    """Return the text of ``beam.dat``; ``modulator`` is its zone's number and its file's name."""
    return "\n".join(_lines(project, modulator)) + "\n"


def _lines(project: Project, modulator: tuple[int, str] | None) -> Iterator[str]:
    beam, physics = project.beam, project.physics
    particle = project.particle(beam.particle)
    per_nucleon = particle.a if particle.is_nucleus and beam.energy_unit == "MeV" else 1
    unit = "MeV/nucl" if particle.is_nucleus else "MeV"
    yield _card("RNDSEED", RNDSEED, "random seed")
    yield _card("JPART0", particle.kind.jpart, particle.kind.label)
    if particle.species is Species.ION:
        yield _card("HIPROJ", f"{particle.a} {particle.z}", "A and Z of the ion")
    energies = f"{_number(beam.energy / per_nucleon)} {_number(beam.energy_spread / per_nucleon)}"
    yield _card("TMAX0", energies, f"energy and its standard deviation [{unit}]")
    low, high = (cutoff / per_nucleon for cutoff in beam.cutoffs)
    if low > 0 or math.isfinite(high):
        # the card takes both; above this energy there is no beam
        high = min(high, _MOST_ENERGY)
        yield _card("TCUT0", f"{_number(low)} {_number(high)}", f"cut-offs of energy [{unit}]")
    yield _card("NSTAT", f"{beam.number_of_particles} 0", "primaries, step of saving")
    yield from _physics(physics)
    if modulator is not None and project.modulator is not None:
        zone, file = modulator
        yield _card("USEBMOD", f"{zone} {file}", "zone and file of the modulator")
        sampling = project.modulator.simulation_method == "sampling"
        yield _card("BMODMC", int(sampling), "0 modulus, 1 sampling")
        vacuum = project.modulator.interpretation_mode != "material"
        yield _card("BMODTRANS", int(vacuum), "0 material, 1 vacuum")
    yield from _optics(beam)
    yield _card("DELTAE", _number(physics.energy_loss), "largest relative energy loss per step")
    if beam.source_type == "file":
        yield _card("USECBEAM", FILE, "spots of the beam")


def _physics(physics: Physics) -> Iterator[str]:
    straggling = _STRAGGLING[physics.energy_model_straggling]
    yield _card("STRAGG", straggling, "straggling: 0 off, 1 Gauss, 2 Vavilov")
    scattering = _SCATTERING[physics.multiple_scattering]
    yield _card("MSCAT", scattering, "multiple scattering: 0 off, 1 Gauss, 2 Moliere")
    yield _card("NUCRE", int(physics.enable_nuclear_reactions), "nuclear reactions")


def _optics(beam: Beam) -> Iterator[str]:
    yield _card("BEAMPOS", " ".join(map(_number, beam.position)), "position [cm]")
    polar, azimuth = angles(beam.cosines)
    yield _card("BEAMDIR", f"{_number(polar)} {_number(azimuth)}", "polar, azimuth [deg]")
    yield _card("BEAMSIGMA", _extent(beam), "+x +y Gauss, -x -y square, +1 -r circle [cm]")
    if beam.divergence.x or beam.divergence.y:
        spread = beam.divergence
        values = f"{_number(spread.x)} {_number(spread.y)} {_number(spread.distance_to_focal)}"
        yield _card("BEAMDIV", values, "divergence [mrad], distance to focus [cm]")
    if beam.sad.type == "single":
        yield _card("BEAMSAD", _number(beam.sad.x), "source to axis [cm]")
    elif beam.sad.type == "double":
        yield _card(
            "BEAMSAD", f"{_number(beam.sad.x)} {_number(beam.sad.y)}", "source to axis [cm]"
        )


def _extent(beam: Beam) -> str:
    x, y = beam.sigma.x, beam.sigma.y
    if beam.sigma.type is Shape.CIRCULAR:
        return f"1 {_number(-y)}" if y > 0 else "0 0"
    if beam.sigma.type is Shape.SQUARE and (x or y):
        return f"{_number(-max(x, _THIN))} {_number(-max(y, _THIN))}"
    return f"{_number(x)} {_number(y)}"


def angles(cosines: tuple[float, float, float]) -> tuple[float, float]:
    """Return polar angle from z (0 to 180) and azimuth from x (0 to 360) of a
    unit vector, degrees.
    """
    x, y, z = cosines
    polar = math.degrees(math.atan2(math.hypot(x, y), z))
    azimuth = math.degrees(math.atan2(y, x)) % 360.0 if math.hypot(x, y) > 0 else 0.0
    return polar, azimuth


def _card(keyword: str, value: object, comment: str) -> str:
    return f"{keyword:<12}{value!s:<16} ! {comment}"


def _number(value: float) -> str:
    return f"{value + 0.0:.12g}"
