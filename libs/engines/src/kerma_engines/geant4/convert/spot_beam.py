"""A project's list of spots as Geant4's beam: problems, notes, commands and starting points.

The isocentre is the origin of the project: SHIELD-HIT12A's lists refer to the plane z = 0 (see
``kerma_engines.project.spots``). A rotated beam keeps its own x and y, like other beams here; its
position must be on the line through the origin, since the list determines what is off that line.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kerma_engines.adapter.conversion import Verdict, check_spot_energies, energy_range
from kerma_engines.errors import Problem
from kerma_engines.geant4.convert.gdml_write import number
from kerma_engines.geant4.macro.spots import SPOTS
from kerma_engines.geant4.transport.spot_list import LEAST_ENERGY, MOST_ENERGY, read
from kerma_engines.project.spots import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kerma_engines.project.project import Project
    from kerma_engines.project.source import Beam
    from kerma_engines.project.spots import SpotList

_PATH = "beam.sourceFile.value"
_ON_AXIS = 1e-6  # cm
_REACH = 6.0  # standard deviations


def spot_list(project: Project) -> SpotList:
    """Return the spots of a project's list."""
    energies = energy_range(project, "Geant4", lowest=LEAST_ENERGY, highest=MOST_ENERGY)
    return read(project.beam.source_file.value, energy_sigma(project), energies)


def energy_sigma(project: Project) -> float:
    """Return the sigma for lists without that column, MeV per nucleon: that of the beam."""
    beam, particle = project.beam, project.particle(project.beam.particle)
    nucleons = particle.a if particle.is_nucleus and beam.energy_unit == "MeV" else 1
    return beam.energy_spread / nucleons


def isocentre(beam: Beam) -> float:
    """Return the distance from the beam's position downstream to the isocentre, cm."""
    return -math.fsum(p * d for p, d in zip(beam.position, beam.cosines, strict=True))


def problems(project: Project) -> Iterator[Problem]:
    """Return the properties of a beam of spots that Geant4 can't express."""
    beam = project.beam
    found = spot_list(project)
    yield from (Problem(_PATH, str(fault)) for fault in found.faults)
    ahead = isocentre(beam)
    off = [p + ahead * d for p, d in zip(beam.position, beam.cosines, strict=True)]
    if math.hypot(*off) > _ON_AXIS:
        reason = "spots lie about the origin: the position must be on the line through it"
        yield Problem("beam.position", reason)
    distances = _sad(beam)
    if distances is not None and min(distances) <= 0:
        yield Problem("beam.sad", "distances must be greater than 0")
    elif distances is not None and min(distances) <= ahead:
        reason = f"the beam starts {ahead:g} cm upstream of the isocentre, beyond its source"
        yield Problem("beam.sad", reason)
    energies = Verdict()
    check_spot_energies(project, found.spots, energies, "Geant4")
    yield from energies.problems


def notes(project: Project) -> Iterator[str]:
    """Return notes on settings that the list overrides."""
    yield "beam: energies, positions and widths are those of the list of spots"
    if project.beam.sad.type == "none":
        yield "beam.sad: there is none, so all spots are parallel"


def commands(project: Project) -> list[str]:
    """Return the commands in addition to those of particle, centre and axes."""
    beam = project.beam
    lines = [f"{SPOTS}file {FILE}", f"{SPOTS}isocentre {number(isocentre(beam))} cm"]
    distances = _sad(beam)
    if distances is not None:
        lines.append(f"{SPOTS}sad {number(distances[0])} {number(distances[1])} cm")
    sigma = energy_sigma(project)
    if sigma and not spot_list(project).tells_energy_sigma:
        lines.append(f"{SPOTS}energySpread {number(sigma)} MeV")
    return lines


def start_box(
    project: Project, across: tuple[tuple[float, ...], ...]
) -> NDArray[np.float64] | None:
    """Return where primaries start, shape (2, 3): low and high corner in cm; None without spots.

    ``across`` are the two unit vectors across the beam.
    """
    beam, spots = project.beam, spot_list(project).spots
    distances = _sad(beam) or (math.inf, math.inf)
    if not spots or min(distances) <= 0:
        return None
    shrink = [1.0 - isocentre(beam) / distance for distance in distances]
    x = [(s.x * shrink[0], _REACH * s.sigma_x) for s in spots]
    y = [(s.y * shrink[1], _REACH * s.sigma_y) for s in spots]
    corners: list[NDArray[Any]] = [
        np.asarray(beam.position)
        + end(centre + sign * reach for centre, reach in x) * np.asarray(across[0])
        + other(centre + mark * reach for centre, reach in y) * np.asarray(across[1])
        for end, sign in ((min, -1), (max, 1))
        for other, mark in ((min, -1), (max, 1))
    ]
    return np.stack([np.min(corners, axis=0), np.max(corners, axis=0)])


def _sad(beam: Beam) -> tuple[float, float] | None:
    if beam.sad.type == "none":
        return None
    return beam.sad.x, beam.sad.y if beam.sad.type == "double" else beam.sad.x
