"""Code that all converters share: problems and notes, names that engines accept, zones and bodies."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.adapter.port import Output as MappedOutput
from kerma_engines.adapter.port import OutputQuantity
from kerma_engines.errors import InvalidInput, Problem
from kerma_engines.geometry.bodies import TOLERANCE
from kerma_engines.geometry.csg import MAX_BODIES, Layout, Space, TooEntangledError, lay_out
from kerma_engines.geometry.figures import enlarged
from kerma_engines.physics.particles import Species
from kerma_engines.project.energies import COLDEST, EnergyRange
from kerma_engines.project.source import TAILS, Cut, Side

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kerma_engines.geometry.csg import Term
    from kerma_engines.project.project import Project
    from kerma_engines.project.scoring import Quantity
    from kerma_engines.project.source import Beam
    from kerma_engines.project.spots import Spot

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(slots=True)
class Verdict:
    """The problems that refuse a project, and notes on what an engine does differently."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, path: str, reason: str) -> None:
        """Record that the engine can't express what is at ``path``."""
        self.problems.append(Problem(path, reason))

    def note(self, path: str, text: str) -> None:
        """Record a note for the user: the engine treats what is at ``path`` differently."""
        self.notes.append(f"{path}: {text}")

    def close(self) -> None:
        """Raise InvalidInput if anything was refused."""
        if self.problems:
            raise InvalidInput(tuple(self.problems))


class Names:
    """Unique names of plain ASCII letters, digits, ``_``, ``.`` and ``-``."""

    def __init__(self, *, longest: int = 60, reserved: tuple[str, ...] = ()) -> None:
        self._longest = longest
        self._taken = {name.casefold() for name in reserved}

    def give(self, wanted: str, fallback: str) -> str:
        """Return an unused name as close to ``wanted`` as possible."""
        ascii_only = unicodedata.normalize("NFKD", wanted).encode("ascii", "ignore").decode()
        base = _UNSAFE.sub("_", ascii_only).strip("_.-")[: self._longest] or fallback
        name, count = base, 1
        while name.casefold() in self._taken:
            count += 1
            suffix = f"_{count}"
            name = base[: self._longest - len(suffix)] + suffix
        self._taken.add(name.casefold())
        return name


def one_line(text: str, longest: int) -> str:
    """Return ``text`` as one line of printable ASCII."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(ascii_only.split())[:longest].strip()


def fixed(value: float, width: int) -> str:
    """Return the closest decimal in at most ``width`` columns, with a point if there is room."""
    value = value + 0.0  # no negative zero
    for digits in range(width, 0, -1):
        text = f"{value:.{digits}g}"
        if "e" in text:
            mantissa, exponent = text.split("e")
            point = mantissa if "." in mantissa else f"{mantissa}.0"
            text = f"{point}E{int(exponent)}"
        elif "." not in text:
            text = next((text + end for end in (".0", ".") if len(text + end) <= width), text)
        if len(text) <= width:
            return text
    raise ValueError(f"{value} does not fit {width} columns")


def check_common(
    project: Project, verdict: Verdict, engine: str, *, families: bool = False
) -> None:
    """Refuse what only Geant4 can express, and note how the project was interpreted.

    ``families`` is set by engines that check filters of several kinds of particles themselves.
    """
    verdict.notes += project.notes
    used = {quantity.filter for output in project.outputs for quantity in output.quantities}
    for known in project.filters:
        if known.particles and known.uuid in used and not families:
            path = f"{project.places[known.uuid]}.data.particleTypes"
            verdict.refuse(path, f"{engine} filters one kind of particle at a time")
    if not project.outputs:
        verdict.refuse("scoringManager.outputs", "nothing is scored")
    for name in project.special:
        if name != "modulator" or engine != "SHIELD-HIT12A":
            verdict.refuse(f"specialComponentsManager.{name}", f"is not supported for {engine}")


def check_layout(project: Project, verdict: Verdict, engine: str) -> Layout | None:
    """Return the zones as unions of bodies, or None with problems recorded if that can't be done."""
    if len(project.figures) > MAX_BODIES:
        reason = f"{len(project.figures)} figures; at most {MAX_BODIES} are taken for {engine}"
        verdict.refuse("figureManager.figures", reason)
        return None
    space = Space.of(project.figures)
    zones: list[tuple[Term, ...]] = []
    for k, zone in enumerate(project.zones):
        try:
            zones.append(space.zone(zone.union_operations))
        except TooEntangledError:
            path = f"{project.zone_paths[k]}.unionOperations"
            verdict.refuse(path, f"has too many alternatives for {engine}")
    if len(zones) < len(project.zones):
        return None
    try:
        layout = lay_out(space, zones, project.world.geometry_data)
    except TooEntangledError:
        reason = f"the zones, or what they leave, have too many alternatives for {engine}"
        verdict.refuse(project.world_path, reason)
        return None
    for k in layout.overlapping:
        verdict.note(project.zone_paths[k], "overlaps a zone before it, which keeps the points")
    for k, terms in enumerate(layout.zones):
        if not terms:
            reason = "has no points: none at all, outside the world, or within zones before it"
            verdict.refuse(project.zone_paths[k], reason)
    return layout


_SOFTEST = 1e-3
"""MeV: photons below 1 keV are outside of the common cross section tables (EPDL97)."""


def energy_range(project: Project, engine: str, *, lowest: float, highest: float) -> EnergyRange:
    """Return the energies of a project's primaries that an engine transports.

    ``lowest`` and ``highest`` bound those of charged particles, in MeV per nucleon, or in MeV for a
    particle without nucleons.
    """
    particle = project.particle(project.beam.particle)
    if particle.species is Species.NEUTRON:
        lowest = min(lowest, COLDEST)
    elif particle.species is Species.PHOTON:
        lowest = min(lowest, _SOFTEST)
    unit = "MeV per nucleon" if particle.a > 0 else "MeV"
    return EnergyRange(engine, lowest, highest, unit)


def check_energy(
    project: Project,
    verdict: Verdict,
    engine: str,
    *,
    lowest: float,
    highest: float,
    cuts: bool = False,
) -> None:
    """Refuse a beam whose energies the engine can't produce or transport.

    ``lowest`` and ``highest`` are those of ``energy_range``. ``cuts`` says whether the engine can
    truncate a spectrum. Energies from a list of spots are checked when it is parsed, and by
    ``check_spot_energies``.
    """
    beam, particle = project.beam, project.particle(project.beam.particle)
    if beam.energy_unit == "MeV/nucl" and particle.a < 1:
        verdict.refuse("beam.energyUnit", f"a {particle.kind.label} has no nucleons")
        return
    if beam.source_type == "file":
        return
    per_nucleon = particle.a if beam.energy_unit == "MeV" and particle.a > 1 else 1
    energies = energy_range(project, engine, lowest=lowest, highest=highest)
    if reason := energies.problem(beam.energy / per_nucleon):
        verdict.refuse("beam.energy", reason)
    _check_spectrum(beam, verdict, engine, cuts=cuts)


def _check_spectrum(beam: Beam, verdict: Verdict, engine: str, *, cuts: bool) -> None:
    problem = _cut_problem(beam, engine, beam.energy, beam.energy_spread, "beam", cuts=cuts)
    if problem is not None:
        verdict.problems.append(problem)
    low, _ = beam.cutoffs
    if beam.energy_spread * TAILS >= beam.energy and not (cuts and low > 0):
        reason = f"must be less than a {TAILS:g}th of the energy, or energies below 0 are drawn"
        verdict.refuse("beam.energySpread", reason)


def check_spot_energies(
    project: Project, spots: Iterable[Spot], verdict: Verdict, engine: str, *, cuts: bool = False
) -> None:
    """Refuse cut-offs that leave nothing of a spot, or a part that the engine can't cut.

    ``cuts`` says whether it can truncate a spectrum. One problem per cut-off is recorded.
    """
    beam, particle = project.beam, project.particle(project.beam.particle)
    scale = particle.a if particle.is_nucleus and beam.energy_unit == "MeV" else 1
    found: dict[str, Problem] = {}
    for spot in spots:
        spread = beam.energy_spread if spot.energy_sigma is None else spot.energy_sigma * scale
        energy = spot.energy * scale
        problem = _cut_problem(beam, engine, energy, spread, "spot", cuts=cuts)
        if problem is not None:
            found.setdefault(problem.path, problem)
    verdict.problems += found.values()


def _cut_problem(
    beam: Beam, engine: str, energy: float, spread: float, what: str, *, cuts: bool
) -> Problem | None:
    cut, side = beam.cut_of(energy, spread)
    low, high = beam.cutoffs
    value, unit = (low if side is Side.LOW else high), beam.energy_unit
    path = f"beam.{side.value}"
    if cut is Cut.ALL and low >= high:
        return Problem(path, f"must be less than the high cut-off, {high:g} {unit}")
    if cut is Cut.ALL:
        beyond = "above" if side is Side.LOW else "below"
        reason = f"{value:g} {unit} is {beyond} the whole {what}, {energy:g} {unit}"
        return Problem(path, f"{reason}, of which nothing is left")
    if cut is Cut.PART and not cuts:
        reason = f"{engine} can't cut the {what}'s spectrum off at {value:g} {unit}"
        return Problem(path, f"{reason}, within {TAILS:g} standard deviations of its energy")
    return None


def check_transport(project: Project, verdict: Verdict, engine: str) -> None:
    """Refuse settings that an engine with its own models lacks; note those that it replaces."""
    beam, physics = project.beam, project.physics
    if beam.divergence.distance_to_focal:
        verdict.refuse("beam.divergence.distanceToFocal", f"{engine}'s beam has no focus")
    if beam.sad.type != "none":
        text = f"{engine}'s beam is parallel; the source-to-axis distance is not used"
        verdict.note("beam.sad", text)
    if physics.energy_model_straggling == "no straggling":
        verdict.refuse("physic.energyModelStraggling", f"{engine} always has straggling")
    if physics.multiple_scattering == "no scattering":
        verdict.refuse("physic.multipleScattering", f"{engine} always has multiple scattering")
    verdict.note("physic", f"{engine} uses its own models of straggling, scattering, energy loss")


def check_start(project: Project, verdict: Verdict) -> None:
    """Refuse a beam that starts in the black hole around the world, where nothing is transported."""
    world = enlarged(project.world.geometry_data, TOLERANCE)
    if not world.contains(np.array([project.beam.position]))[0]:
        verdict.refuse("beam.position", "the beam starts outside of the world")


def map_output(
    output_id: str, name: str, file: str, quantities: tuple[Quantity, ...], filters: dict[str, str]
) -> MappedOutput:
    """Return an entry of the output map. ``filters`` are labels by id."""
    return MappedOutput(
        output_id,
        name,
        file,
        tuple(
            OutputQuantity(
                number,
                quantity.name or str(quantity.keyword),
                str(quantity.keyword),
                filters.get(quantity.filter or "", ""),
            )
            for number, quantity in enumerate(quantities)
        ),
    )
