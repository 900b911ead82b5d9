"""Write the beam of a project as commands of Geant4's general particle source."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.adapter.conversion import Verdict, check_energy
from kerma_engines.errors import Problem
from kerma_engines.geant4.convert import spot_beam
from kerma_engines.geant4.convert.gdml_write import number
from kerma_engines.geant4.macro.macro import DIVERGENCE, NUCLEAR_OFF
from kerma_engines.geant4.transport.spot_list import LEAST_ENERGY, MOST_ENERGY
from kerma_engines.physics.particles import Species
from kerma_engines.project.source import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kerma_engines.physics.particles import Particle
    from kerma_engines.project.project import Project
    from kerma_engines.project.source import Beam

_BEAMS = {
    Species.PROTON,
    Species.DEUTERON,
    Species.TRITON,
    Species.HELIUM3,
    Species.HELIUM4,
    Species.ION,
}
_FULL_BEAMS = {
    Species.NEUTRON,
    Species.PHOTON,
    Species.ELECTRON,
    Species.POSITRON,
    Species.MUON_MINUS,
    Species.MUON_PLUS,
    Species.PION_MINUS,
    Species.PION_PLUS,
}


def problems(project: Project, *, full: bool) -> Iterator[Problem]:
    """Return the beam and physics settings that Geant4 can't express."""
    beam = project.beam
    yield from _particle_problems(project.particle(beam.particle), full=full)
    energy = Verdict()
    check_energy(project, energy, "Geant4", lowest=LEAST_ENERGY, highest=MOST_ENERGY)
    yield from energy.problems
    if beam.source_type == "file":
        yield from spot_beam.problems(project)
    else:
        for axis in _sad_axes(beam):
            if getattr(beam.sad, axis) == 0:
                yield Problem(f"beam.sad.{axis}", "a source-to-axis distance must not be zero")
    if beam.divergence.x or beam.divergence.y:
        reason = "angular spread can't be used with Geant4; set a source-to-axis distance (sad)"
        yield Problem("beam.divergence", reason)
    if project.physics.energy_model_straggling == "no straggling":
        yield Problem("physic.energyModelStraggling", "Geant4 can't switch straggling off")
    if project.physics.multiple_scattering == "no scattering":
        yield Problem("physic.multipleScattering", "Geant4 can't switch scattering off")
    for name in project.special:
        reason = "modulators, CT volumes and other special components can't be used with Geant4"
        yield Problem(f"specialComponentsManager.{name}", reason)


def _particle_problems(particle: Particle, *, full: bool) -> Iterator[Problem]:
    name = particle.kind.label
    if particle.species in _BEAMS or (full and particle.species in _FULL_BEAMS):
        return
    if particle.species in _FULL_BEAMS:
        yield Problem(
            "beam.particle",
            f"beams of {name}s need Geant4's data sets, which are not installed: without them "
            "neutrons do not interact and photons, electrons and mesons are incomplete",
        )
    else:
        yield Problem("beam.particle", f"beams of {name}s can't be simulated with Geant4")


def commands(project: Project) -> list[str]:
    """Return source commands, in an order that Geant4 accepts."""
    beam = project.beam
    particle = project.particle(beam.particle)
    lines = []
    if not project.physics.enable_nuclear_reactions:
        lines.append(NUCLEAR_OFF)
    if particle.species is Species.ION:
        lines += ["/gps/particle ion", f"/gps/ion {particle.z} {particle.a} {particle.z}"]
    else:
        lines.append(f"/gps/particle {particle.kind.geant4}")
    if beam.source_type == "file":
        return [*lines, *_frame(beam), *spot_beam.commands(project)]
    per_nucleon = beam.energy_unit == "MeV/nucl" and particle.is_nucleus
    scale = particle.a if per_nucleon else 1
    lines += _energy(beam.energy * scale, beam.energy_spread * scale)
    lines += _position(beam)
    lines.append(f"/gps/direction {_vector(beam.cosines)}")
    axes = _sad_axes(beam)
    if axes:
        x, y = getattr(beam.sad, axes[0]), getattr(beam.sad, axes[-1])
        lines.append(f"{DIVERGENCE} {number(x)} {number(y)} cm")
    return lines


def _sad_axes(beam: Beam) -> tuple[str, ...]:
    return {"none": (), "single": ("x",), "double": ("x", "y")}[beam.sad.type]


def _energy(energy: float, spread: float) -> list[str]:
    if not spread:
        return [f"/gps/energy {number(energy)} MeV"]
    return [
        "/gps/ene/type Gauss",
        f"/gps/ene/mono {number(energy)} MeV",
        f"/gps/ene/sigma {number(spread)} MeV",
    ]


def axes_across(direction: tuple[float, float, float]) -> tuple[tuple[float, ...], ...]:
    """Return two unit vectors across a beam: x and y rotated as z is rotated into the beam.

    The rotation is by the polar angle about y, then by the azimuth about z.
    """
    x, y, z = direction
    polar, azimuth = math.acos(max(-1.0, min(1.0, z))), math.atan2(y, x)
    cp, sp, ca, sa = math.cos(polar), math.sin(polar), math.cos(azimuth), math.sin(azimuth)
    first = (cp * ca, cp * sa, -sp)
    second = (-sa, ca, 0.0)
    return tuple(tuple(round(value, 15) + 0.0 for value in vector) for vector in (first, second))


def start_box(project: Project) -> NDArray[np.float64]:
    """Return where primaries start, shape (2, 3): lowest and highest corner in cm."""
    beam = project.beam
    if beam.source_type == "file":
        box = spot_beam.start_box(project, axes_across(beam.cosines))
        if box is not None:
            return box
    centre = np.asarray(beam.position)
    reach = 6.0 * max(beam.sigma.x, beam.sigma.y)
    return np.stack([centre - reach, centre + reach])


def _frame(beam: Beam) -> list[str]:
    centre = f"/gps/pos/centre {_vector(beam.position)} cm"
    first, second = axes_across(beam.cosines)
    return [centre, f"/gps/pos/rot1 {_vector(first)}", f"/gps/pos/rot2 {_vector(second)}"]


def _position(beam: Beam) -> list[str]:
    frame = _frame(beam)
    x, y = number(beam.sigma.x), number(beam.sigma.y)
    if beam.sigma.type is Shape.GAUSSIAN and (beam.sigma.x or beam.sigma.y):
        size = [f"/gps/pos/sigma_x {x} cm", f"/gps/pos/sigma_y {y} cm"]
        return ["/gps/pos/type Beam", *frame, *size]
    if beam.sigma.type is Shape.SQUARE and (beam.sigma.x or beam.sigma.y):
        size = [f"/gps/pos/halfx {x} cm", f"/gps/pos/halfy {y} cm"]
        return ["/gps/pos/type Plane", "/gps/pos/shape Rectangle", *frame, *size]
    if beam.sigma.type is Shape.CIRCULAR and beam.sigma.y:
        return ["/gps/pos/type Plane", "/gps/pos/shape Circle", *frame, f"/gps/pos/radius {y} cm"]
    return ["/gps/pos/type Point", *frame]


def _vector(values: tuple[float, ...]) -> str:
    return " ".join(number(value) for value in values)
