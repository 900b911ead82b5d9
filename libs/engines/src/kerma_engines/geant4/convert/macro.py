"""Geant4 macros: which commands a user may give, and what they declare.

A macro is data to us: it is read line by line, never executed as a file, and only commands of an
allow-list pass. Anything that reaches a shell, a file, a macro loop or a viewer is refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kerma_engines.errors import MAX_PROBLEMS, InvalidInput, Problem
from kerma_engines.geant4.convert.commands import (
    DROPPED,
    IGNORED_BY_GEANT4,
    PASSED,
    PASSED_EXACTLY,
    PASSED_WITH_SPOTS,
    REFUSED,
)
from kerma_engines.geant4.convert.spot_macro import SPOTS, SpotCommands
from kerma_engines.geant4.scorers.grammar import (
    FILTER,
    QUANTITY,
    RINGS,
    Refused,
    parse_quantity,
    parse_rings,
    parse_rules,
)
from kerma_engines.geant4.scorers.meshes import Mesh, Scorer
from kerma_engines.geant4.scorers.quantities import MAPS, TOTALS, bins_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kerma_engines.geant4.convert.spot_macro import SpotBeam

#: Beam spread from a point, which Geant4's source can't do; carried out by our runner.
DIVERGENCE = "/kerma/divergence"

#: Transport without nuclear reactions; carried out by our runner.
NUCLEAR_OFF = "/kerma/nuclearReactions off"

PARTICLES = ("proton", "deuteron", "triton", "He3", "alpha", "ion")
#: Need data sets: cross sections of neutrons, photons and electrons.
FULL_PARTICLES = (*PARTICLES, "neutron", "gamma", "e-", "e+", "mu-", "mu+", "pi-", "pi+")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}")
_LENGTHS_CM = {"mm": 0.1, "cm": 1.0, "m": 100.0, "um": 1e-4}
_ANGLES = {"deg": 1.0, "rad": 180.0 / math.pi}
_SHAPES = {"boxMesh": "box", "cylinderMesh": "cylinder", "realWorldLogVol": "volume"}
MAX_BINS = 20_000_000
#: Of one scorer of ours, which keeps five numbers per bin in memory.
MAX_OWN_BINS = 5_000_000
MAX_PRIMARIES = 10**12


@dataclass(frozen=True, slots=True)
class Macro:
    """A checked macro: what to apply before the run, what it scores, how many primaries."""

    commands: tuple[str, ...]
    meshes: tuple[Mesh, ...]
    primaries: int
    nuclear: bool = True
    divergence: tuple[float, float] | None = None
    beam_frame: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    spots: SpotBeam | None = None


def parse(text: str, *, file: str, particles: tuple[str, ...] = PARTICLES) -> Macro:
    """Check every line. Raises InvalidInput with the problems, each at ``file:line``."""
    reader = _Reader(particles)
    problems: list[Problem] = []
    count = 0
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            reader.line(line)
        except Refused as refusal:
            count += 1
            if count <= MAX_PROBLEMS:
                problems.append(Problem(f"{file}:{number}", str(refusal)))
    try:
        reader.finish()
    except Refused as refusal:
        count += 1
        problems.append(Problem(file, str(refusal)))
    if problems:
        raise InvalidInput(problems, count)
    return Macro(
        commands=tuple(reader.commands),
        meshes=tuple(reader.meshes),
        primaries=reader.primaries,
        nuclear=reader.nuclear,
        divergence=reader.divergence,
        beam_frame=reader.frame,
        spots=reader.spots.beam(),
    )


class _Reader:
    def __init__(self, particles: tuple[str, ...]) -> None:
        self.particles = particles
        self.commands: list[str] = []
        self.meshes: list[Mesh] = []
        self.primaries = 0
        self.nuclear = True
        self.divergence: tuple[float, float] | None = None
        self.frame: dict[str, tuple[float, float, float]] = {}
        self.spots = SpotCommands()
        self._source: list[str] = []  # what a list of spots would tell instead
        self._open = False
        # names are looked up here: macros may declare thousands
        self._mesh_names: set[str] = set()
        self._scorer_names: set[str] = set()  # of the mesh that is open
        self._handlers: dict[str, Callable[[list[str]], None]] = {
            "/gps/particle": self._particle,
            "/gps/ion": self._ion,
            "/score/close": self._close,
            "/score/mesh/boxSize": self._box_size,
            "/score/mesh/cylinderSize": self._cylinder_size,
            "/score/mesh/nBin": self._bins,
            "/score/mesh/translate/xyz": self._translate,
            "/score/mesh/rotate/rotateX": self._turn("X"),
            "/score/mesh/rotate/rotateY": self._turn("Y"),
            "/score/mesh/rotate/rotateZ": self._turn("Z"),
            "/gps/position": self._frame("centre"),
            "/gps/pos/centre": self._frame("centre"),
            "/gps/pos/rot1": self._frame("rot1"),
            "/gps/pos/rot2": self._frame("rot2"),
        }

    def line(self, line: str) -> None:
        if not line.isprintable() and not line.replace("\t", " ").isprintable():
            raise Refused("control characters are not allowed")
        words = line.split("#", 1)[0].split()
        if not words:
            return
        if any(mark in line for mark in "{}") or words[-1] in {"_", "\\"}:
            raise Refused("aliases and continued lines are not allowed")
        command, arguments = words[0], words[1:]
        if command in DROPPED:
            self._check_file(command, arguments)
            return
        if command != "/run/beamOn" and self.primaries:
            raise Refused(f"{command}: only dumps may follow /run/beamOn")
        if command.startswith("/kerma/"):
            self._own(command, arguments)
            return
        self._dispatch(command, arguments)

    def _own(self, command: str, arguments: list[str]) -> None:
        if [command, *arguments] == NUCLEAR_OFF.split():
            self.nuclear = False
        elif command == DIVERGENCE:
            x, y = self._floats(arguments, 2, unit=True)
            if not x or not y:
                raise Refused("distances to the source must not be zero")
            self.divergence = (x, y)
            self._source.append(command)
        elif command == QUANTITY:
            self._own_quantity(arguments)
        elif command == FILTER:
            self._own_filter(arguments)
        elif command == RINGS:
            self._mesh().left_out, self._mesh().grouped = parse_rings(arguments)
        elif command.startswith(SPOTS):
            self.spots.command(command.removeprefix(SPOTS), arguments, self._floats)
        else:
            raise Refused(f"unknown command {command}")

    def _dispatch(self, command: str, arguments: list[str]) -> None:
        if command == "/run/beamOn":
            self._beam_on(arguments)
            return
        allowed = command in PASSED_EXACTLY or command.startswith(PASSED)
        if not allowed or command.startswith(REFUSED):
            raise Refused(f"the command {command} is not allowed")
        if command in IGNORED_BY_GEANT4:
            raise Refused(f"Geant4 bins as if {command} were not there")
        if command.startswith("/gps/") and command not in PASSED_WITH_SPOTS:
            self._source.append(command)
        if handler := self._handlers.get(command):
            handler(arguments)
        elif command.startswith("/score/create/"):
            self._create(command.removeprefix("/score/create/"), arguments)
        elif command.startswith("/score/quantity/"):
            self._quantity(command.removeprefix("/score/quantity/"), arguments)
        elif command.startswith("/score/filter/"):
            self._filter(command, arguments)
        self.commands.append(" ".join([command, *arguments]))

    def finish(self) -> None:
        if not self.primaries:
            raise Refused("there is no /run/beamOn, so the number of primaries is unknown")
        if not any(mesh.scorers for mesh in self.meshes):
            raise Refused("nothing is scored: there is no /score/quantity command")
        if self._open:
            raise Refused("the last mesh is not closed with /score/close")
        if self.spots.check(self.frame) and self._source:
            raise Refused(f"{self._source[0]} has no meaning beside {SPOTS}file")

    def _check_file(self, command: str, arguments: list[str]) -> None:
        name = arguments[-1] if arguments else ""
        if command.startswith("/score/dump") and not _NAME.fullmatch(name):
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
        name = arguments[0] if arguments else ""
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
        numbers = [word for word in arguments[:2] if word.isascii() and word.isdigit()]
        if len(numbers) != 2 or not 1 <= int(numbers[0][:4]) <= int(numbers[1][:4]) <= 300:
            raise Refused("/gps/ion needs charge and mass number, 1 <= Z <= A")
        self.spots.ion_nucleons = int(numbers[1])

    def _mesh(self) -> Mesh:
        if not self._open:
            raise Refused("no mesh is open: /score/create/... must come before")
        return self.meshes[-1]

    def _create(self, kind: str, arguments: list[str]) -> None:
        if kind not in _SHAPES:
            raise Refused(f"/score/create/{kind} is not supported; use boxMesh or cylinderMesh")
        name = arguments[0] if arguments else ""
        if not _NAME.fullmatch(name) or name in self._mesh_names:
            raise Refused(f"{name!r} is no usable mesh name, or is used twice")
        if self._open:
            raise Refused("the mesh before is not closed with /score/close")
        self._mesh_names.add(name)
        self._scorer_names.clear()
        self.meshes.append(Mesh(name, _SHAPES[kind]))
        self._open = True

    def _close(self, _arguments: list[str]) -> None:
        mesh = self._mesh()
        self._open = False
        if mesh.shape != "volume" and not mesh.size:
            raise Refused(f"mesh {mesh.name} has no size")
        self._check_rings(mesh)
        for scorer in mesh.scorers:
            if not scorer.own:
                continue
            total = TOTALS.get(scorer.kind)
            if mesh.shape == "volume" and total and total.per_volume:
                raise Refused(f"{QUANTITY} {scorer.kind} needs a mesh, whose volume is known")
            if math.prod(mesh.bins) * bins_of(scorer.axes) > MAX_OWN_BINS:
                raise Refused(f"{scorer.name} has more than {MAX_OWN_BINS} bins")

    def _check_rings(self, mesh: Mesh) -> None:
        if not mesh.regrouped:
            return
        rings = mesh.bins[0] - mesh.left_out
        if mesh.shape != "cylinder" or rings < 1 or rings % mesh.grouped:
            raise Refused(f"{RINGS} needs a cylinder whose rings it leaves none over")
        if not all(scorer.own for scorer in mesh.scorers):
            raise Refused(f"{RINGS} needs quantities that are all given with {QUANTITY}")

    def _turn(self, axis: str) -> Callable[[list[str]], None]:
        def turn(arguments: list[str]) -> None:
            if len(arguments) != 2 or arguments[1] not in _ANGLES:
                raise Refused(f"needs a number and a unit of angle: {', '.join(_ANGLES)}")
            (angle,) = self._floats(arguments, 1, unit=False)
            self._mesh().turns.append((axis, angle * _ANGLES[arguments[1]]))

        return turn

    def _box_size(self, arguments: list[str]) -> None:
        self._mesh().size = self._positive(self._floats(arguments, 3, unit=True))

    def _cylinder_size(self, arguments: list[str]) -> None:
        self._mesh().size = self._positive(self._floats(arguments, 2, unit=True))

    def _bins(self, arguments: list[str]) -> None:
        if len(arguments) < 3 or not all(
            word.isascii() and word.isdigit() for word in arguments[:3]
        ):
            raise Refused("nBin needs three whole numbers")
        first, second, third = (int(word[:12]) for word in arguments[:3])
        if min(first, second, third) < 1 or first * second * third > MAX_BINS:
            raise Refused(f"a mesh has 1 to {MAX_BINS} bins")
        self._mesh().bins = (first, second, third)

    def _translate(self, arguments: list[str]) -> None:
        x, y, z = self._floats(arguments, 3, unit=True)
        self._mesh().centre = (x, y, z)

    def _quantity(self, kind: str, arguments: list[str]) -> None:
        name = arguments[0] if arguments else ""
        if kind in {"touch", "get/unit", "set/unit"}:
            raise Refused(f"/score/quantity/{kind} is not supported")
        scorers = self._mesh().scorers
        if not _NAME.fullmatch(name) or name in self._scorer_names:
            raise Refused(f"{name!r} is no usable scorer name, or is used twice in the mesh")
        self._scorer_names.add(name)
        scorers.append(Scorer(name, kind, arguments[1] if len(arguments) > 1 else ""))

    def _own_quantity(self, arguments: list[str]) -> None:
        kind, name, axes = parse_quantity(arguments)
        if kind in MAPS and (axes or self._mesh().shape == "volume"):
            raise Refused(f"{QUANTITY} {kind} is a map: it needs a mesh, and has no further axes")
        self._quantity("nOfStep", [name])
        scorer = self._mesh().scorers[-1]
        scorer.kind, scorer.own, scorer.axes = kind, True, axes
        if kind not in MAPS:
            # a scorer that Geant4 knows drives ours: it is asked at every step in the mesh
            self.commands.append(f"/score/quantity/nOfStep {name}")

    def _own_filter(self, arguments: list[str]) -> None:
        scorer = self._filtered()
        scorer.rules, scorer.filtered = parse_rules(arguments), " ".join(arguments)

    def _filter(self, command: str, arguments: list[str]) -> None:
        neutral = command.endswith("/neutral") or {"neutron", "gamma"} & set(arguments[1:])
        if neutral and "neutron" not in self.particles:
            raise Refused(
                "neutrons and photons can't be scored without Geant4's data sets, which are not "
                "installed: their fluence would be too low by factors"
            )
        self._filtered().filtered = " ".join(arguments)

    def _filtered(self) -> Scorer:
        """The quantity that a filter belongs to."""
        if not self._mesh().scorers:
            raise Refused("a filter follows the quantity it filters")
        scorer = self._mesh().scorers[-1]
        if scorer.own and scorer.kind in MAPS:
            raise Refused("a map of the geometry has no particles to filter")
        return scorer

    def _frame(self, key: str) -> Callable[[list[str]], None]:
        def remember(arguments: list[str]) -> None:
            x, y, z = self._floats(arguments, 3, unit=key == "centre")
            self.frame[key] = (x, y, z)

        return remember

    def _floats(self, arguments: list[str], count: int, *, unit: bool) -> tuple[float, ...]:
        try:
            numbers = tuple(float(word) for word in arguments[:count])
        except ValueError:
            numbers = ()
        if len(numbers) != count or not all(abs(number) < 1e9 for number in numbers):
            raise Refused(f"needs {count} numbers" + (" and a unit of length" if unit else ""))
        if not unit:
            return numbers
        # without a unit some commands mean mm and others cm: better asked than guessed
        name = arguments[count] if len(arguments) > count else ""
        if name not in _LENGTHS_CM:
            raise Refused(f"unknown unit of length {name!r}; known are {', '.join(_LENGTHS_CM)}")
        return tuple(number * _LENGTHS_CM[name] for number in numbers)

    def _positive(self, numbers: tuple[float, ...]) -> tuple[float, ...]:
        if min(numbers) <= 0:
            raise Refused("sizes must be positive")
        return numbers
