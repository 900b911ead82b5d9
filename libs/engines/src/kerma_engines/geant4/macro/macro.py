"""Geant4 macros: the commands that a user may give, and what they declare.

A macro is data: it is parsed line by line, never executed as a file, and only commands of an
allow-list are accepted, in canonical form (``macro.canonical``). Anything that reaches a shell, a
file, a macro loop or a viewer is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kerma_engines.errors import MAX_PROBLEMS, InvalidInput, Problem
from kerma_engines.geant4.macro.canonical import check_arguments, command_of
from kerma_engines.geant4.macro.commands import DROPPED, PASSED, PASSED_WITH_SPOTS, REFUSED
from kerma_engines.geant4.macro.energies import SourceEnergy, energy_range
from kerma_engines.geant4.macro.numbers import NAME, floats
from kerma_engines.geant4.macro.scoring import ScoringReader
from kerma_engines.geant4.macro.spots import SPOTS, SpotCommands
from kerma_engines.geant4.scorers import neutrals
from kerma_engines.geant4.scorers.grammar import Refused
from kerma_engines.geant4.scorers.native import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from kerma_engines.geant4.macro.spots import SpotBeam
    from kerma_engines.geant4.scorers.meshes import Mesh
    from kerma_engines.project.energies import EnergyRange

#: Beam spread from a point, which Geant4's source lacks; implemented by our runner.
DIVERGENCE = "/kerma/divergence"

#: Transport without nuclear reactions; implemented by our runner.
NUCLEAR_OFF = "/kerma/nuclearReactions off"

PARTICLES = ("proton", "deuteron", "triton", "He3", "alpha", "ion")
#: Particles that need data sets: cross sections of neutrons, photons and electrons.
FULL_PARTICLES = (*PARTICLES, "neutron", "gamma", "e-", "e+", "mu-", "mu+", "pi-", "pi+")

MAX_PRIMARIES = 10**12
_QUANTITY = "/score/quantity/"


@dataclass(frozen=True, slots=True)
class Macro:
    """A checked macro: commands to apply before the run, what it scores, number of primaries.

    ``energies`` are those that Geant4 transports of its particle. ``notes`` are for users.
    """

    commands: tuple[str, ...]
    meshes: tuple[Mesh, ...]
    primaries: int
    energies: EnergyRange
    nuclear: bool = True
    divergence: tuple[float, float] | None = None
    beam_frame: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    spots: SpotBeam | None = None
    notes: tuple[str, ...] = ()


def parse(text: str, *, file: str, particles: tuple[str, ...] = PARTICLES) -> Macro:
    """Check every line. Raises InvalidInput with the problems, each at ``file:line``."""
    reader = _Reader(particles)
    problems: list[Problem] = []
    count = 0
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            reader.line(number, line)
        except Refused as refusal:
            count += 1
            if count <= MAX_PROBLEMS:
                problems.append(Problem(f"{file}:{number}", str(refusal)))
    if (fault := reader.energy.fault(reader.spots.particle, reader.spots.nucleons)) is not None:
        count += 1
        problems.append(Problem(f"{file}:{fault[0]}", fault[1]))
    try:
        reader.finish()
    except Refused as refusal:
        count += 1
        problems.append(Problem(file, str(refusal)))
    if problems:
        raise InvalidInput(problems, count)
    return Macro(
        commands=tuple(reader.commands),
        meshes=tuple(reader.scoring.meshes),
        primaries=reader.primaries,
        energies=energy_range(reader.spots.particle),
        nuclear=reader.nuclear,
        divergence=reader.divergence,
        beam_frame=reader.frame,
        spots=reader.spots.beam(),
        notes=tuple(_notes(reader.scoring.meshes, file)),
    )


def _one_particle(arguments: list[str]) -> None:
    """Results are per primary, and a primary is one particle."""
    if int(arguments[0]) != 1:
        raise Refused("/gps/number must be 1: a primary is one particle; raise /run/beamOn instead")


def _one_vertex(arguments: list[str]) -> None:
    if arguments and arguments[0].lower() in {"y", "yes", "1", "t", "true"}:
        raise Refused(
            "/gps/source/multiplevertex: a primary is one particle, of one of the sources"
        )


def _notes(meshes: list[Mesh], file: str) -> list[str]:
    return [
        f"{file}:{scorer.line}: {scorer.name} {neutrals.NOTE}"
        for mesh in meshes
        for scorer in mesh.scorers
        if scorer.neutral
    ]


class _Reader:
    def __init__(self, particles: tuple[str, ...]) -> None:
        self.particles = particles
        self.commands: list[str] = []
        self.primaries = 0
        self.nuclear = True
        self.divergence: tuple[float, float] | None = None
        self.frame: dict[str, tuple[float, float, float]] = {}
        self.spots = SpotCommands()
        self.energy = SourceEnergy()
        self.scoring = ScoringReader(full="neutron" in particles)
        self._source: list[str] = []  # replaced by a list of spots
        self._handlers: dict[str, Callable[[list[str]], None]] = {
            "/gps/particle": self._particle,
            "/gps/ion": self._ion,
            "/gps/ionLvl": self._ion,
            "/gps/number": _one_particle,
            "/gps/source/multiplevertex": _one_vertex,
            "/gps/position": self._frame("centre"),
            "/gps/pos/centre": self._frame("centre"),
            "/gps/pos/rot1": self._frame("rot1"),
            "/gps/pos/rot2": self._frame("rot2"),
        }

    def line(self, number: int, line: str) -> None:
        found = command_of(line)
        if found is None:
            return
        command, arguments = found
        if command in REFUSED:
            raise Refused(f"{command} {REFUSED[command]}")
        if command in DROPPED:
            self._check_file(command, arguments)
            return
        if command != "/run/beamOn" and self.primaries:
            raise Refused(f"{command}: only dumps may follow /run/beamOn")
        self.scoring.line = number
        if command.startswith("/kerma/"):
            if driver := self._own(command, arguments):
                self.commands.append(driver)
            return
        if self._dispatch(command, arguments):
            self.commands.append(" ".join([command, *arguments]))

    def _own(self, command: str, arguments: list[str]) -> str:
        """Read one of Kerma's commands; return the command for Geant4 in its place, if any."""
        if [command, *arguments] == NUCLEAR_OFF.split():
            self.nuclear = False
        elif command == DIVERGENCE:
            x, y = floats(arguments, 2, unit=True)
            if not x or not y:
                raise Refused("distances to the source must not be zero")
            self.divergence = (x, y)
            self._source.append(command)
        elif command.startswith(SPOTS):
            self.spots.command(command.removeprefix(SPOTS), arguments, floats)
        else:
            return self.scoring.own(command, arguments)
        return ""

    def _dispatch(self, command: str, arguments: list[str]) -> bool:
        """Read one of Geant4's commands; return whether it is passed on to Geant4."""
        if command == "/run/beamOn":
            self._beam_on(arguments)
            return False
        quantity = command.removeprefix(_QUANTITY) if command.startswith(_QUANTITY) else ""
        if command not in PASSED and quantity not in QUANTITIES:
            raise Refused(f"the command {command} is not allowed")
        check_arguments(command, arguments)
        self.energy.command(command, arguments, self.scoring.line)
        if command.startswith("/gps/") and command not in PASSED_WITH_SPOTS:
            self._source.append(command)
        if handler := self._handlers.get(command):
            handler(arguments)
        elif command.startswith("/score/"):
            self.scoring.command(command, arguments)
        return True

    def finish(self) -> None:
        if not self.primaries:
            raise Refused("there is no /run/beamOn, so the number of primaries is unknown")
        self.scoring.finish()
        if self.spots.check(self.frame) and self._source:
            raise Refused(f"{self._source[0]} has no meaning beside {SPOTS}file")

    def _check_file(self, command: str, arguments: list[str]) -> None:
        name = arguments[-1] if arguments else ""
        if command.startswith("/score/dump") and not NAME.fullmatch(name):
            raise Refused("a dump must name a plain file, without folders")

    def _beam_on(self, arguments: list[str]) -> None:
        if self.primaries:
            raise Refused("/run/beamOn may be given once only")
        if len(arguments) != 1 or not arguments[0].isascii() or not arguments[0].isdigit():
            raise Refused("/run/beamOn needs a whole number of primaries")
        self.primaries = int(arguments[0][:20])
        if not 1 <= self.primaries <= MAX_PRIMARIES:
            self.primaries = 1
            raise Refused(f"/run/beamOn needs 1 to {MAX_PRIMARIES} primaries")

    def _particle(self, arguments: list[str]) -> None:
        (name,) = arguments
        self.spots.particle = name
        if name in self.particles:
            return
        if name in FULL_PARTICLES:
            raise Refused(
                f"a beam of {name} needs Geant4's data sets, which are not installed: without "
                "them neutrons do not interact and photons and electrons are incomplete"
            )
        raise Refused(f"unknown particle {name!r}; known are {', '.join(self.particles)}")

    def _ion(self, arguments: list[str]) -> None:
        charge, mass = int(arguments[0]), int(arguments[1])
        if not 1 <= charge <= mass <= 300:
            raise Refused("/gps/ion needs charge and mass number, 1 <= Z <= A")
        self.spots.ion_nucleons = mass

    def _frame(self, key: str) -> Callable[[list[str]], None]:
        def remember(arguments: list[str]) -> None:
            x, y, z = floats(arguments, 3, unit=key == "centre")
            self.frame[key] = (x, y, z)

        return remember
