"""The scoring meshes, quantities and filters that a macro declares."""

from __future__ import annotations

import math

from kerma_engines.geant4.macro.numbers import ANGLES_DEG, NAME, floats, positive
from kerma_engines.geant4.scorers import neutrals
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
from kerma_engines.geant4.scorers.native import QUANTITIES
from kerma_engines.geant4.scorers.quantities import MAPS, TOTALS, bins_of

_SHAPES = {"boxMesh": "box", "cylinderMesh": "cylinder", "realWorldLogVol": "volume"}
MAX_BINS = 20_000_000
#: Bins of one of our scorers, which keeps five numbers per bin in memory.
MAX_OWN_BINS = 5_000_000


class ScoringReader:
    """Reads commands one by one.

    ``line`` is the number of the current line, ``full`` says that there are data sets.
    """

    def __init__(self, *, full: bool) -> None:
        self.full = full
        self.line = 0
        self.meshes: list[Mesh] = []
        self._open = False
        # names are looked up here, since macros may declare thousands
        self._mesh_names: set[str] = set()
        self._scorer_names: set[str] = set()  # of the open mesh
        self._given: set[str] = set()  # settings of the open mesh that may be given only once

    def command(self, command: str, arguments: list[str]) -> None:
        """Read a command below ``/score/`` with valid arguments. Raises Refused."""
        _, _, folder, *rest = command.split("/")
        if folder == "create":
            self._create(rest[0], arguments)
        elif folder == "close":
            self._close()
        elif folder == "mesh":
            self._shape("/".join(rest), arguments)
        elif folder == "quantity":
            self._quantity(rest[0], arguments)
        elif folder == "filter":
            self._filter(rest[0], arguments)

    def own(self, command: str, arguments: list[str]) -> str:
        """Read one of our commands; return the command for Geant4 in its place. Raises Refused."""
        if command == QUANTITY:
            return self._own_quantity(arguments)
        if command == FILTER:
            self._own_filter(arguments)
        elif command == RINGS:
            self._mesh().left_out, self._mesh().grouped = parse_rings(arguments)
        else:
            raise Refused(f"unknown command {command}")
        return ""

    def finish(self) -> None:
        """Raise Refused unless something is scored and the last mesh is closed."""
        if not any(mesh.scorers for mesh in self.meshes):
            raise Refused("nothing is scored: there is no /score/quantity command")
        if self._open:
            raise Refused("the last mesh is not closed with /score/close")

    def _mesh(self) -> Mesh:
        if not self._open:
            raise Refused("no mesh is open: /score/create/... must come before")
        return self.meshes[-1]

    def _create(self, kind: str, arguments: list[str]) -> None:
        name = arguments[0]
        if name in self._mesh_names:
            raise Refused(f"the mesh name {name!r} is used twice")
        if self._open:
            raise Refused("the mesh before is not closed with /score/close")
        self.meshes.append(Mesh(name, _SHAPES[kind], line=self.line))
        self._open = True
        self._mesh_names.add(name)
        self._scorer_names.clear()
        self._given.clear()

    def _close(self) -> None:
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

    def _shape(self, command: str, arguments: list[str]) -> None:
        mesh = self._mesh()
        shapes = {"boxSize": "box", "cylinderSize": "cylinder"}
        if mesh.shape == "volume" or shapes.get(command, mesh.shape) != mesh.shape:
            raise Refused(f"/score/mesh/{command} does not fit the mesh {mesh.name}")
        if command in {"boxSize", "cylinderSize", "nBin"}:
            if command in self._given:
                raise Refused(f"/score/mesh/{command} comes twice; Geant4 would keep the first")
            self._given.add(command)
        if command == "boxSize":
            mesh.size = positive(floats(arguments, 3, unit=True))
        elif command == "cylinderSize":
            mesh.size = positive(floats(arguments, 2, unit=True))
        elif command == "nBin":
            self._bins(arguments)
        elif command == "translate/xyz":
            x, y, z = floats(arguments, 3, unit=True)
            mesh.centre = (x, y, z)
        elif command == "translate/reset":
            mesh.centre = (0.0, 0.0, 0.0)
        else:
            self._turn(command[-1], arguments)

    def _turn(self, axis: str, arguments: list[str]) -> None:
        if len(arguments) != 2 or arguments[1] not in ANGLES_DEG:
            raise Refused(f"needs a number and a unit of angle: {', '.join(ANGLES_DEG)}")
        (angle,) = floats(arguments, 1, unit=False)
        self._mesh().turns.append((axis, angle * ANGLES_DEG[arguments[1]]))

    def _bins(self, arguments: list[str]) -> None:
        first, second, third = (int(word) for word in arguments)
        if min(first, second, third) < 1 or first * second * third > MAX_BINS:
            raise Refused(f"a mesh has 1 to {MAX_BINS} bins")
        self._mesh().bins = (first, second, third)

    def _add(self, name: str, kind: str) -> Scorer:
        mesh = self._mesh()
        if mesh.shape != "volume" and not (mesh.size and "nBin" in self._given):
            raise Refused(f"the mesh {mesh.name} needs its size and /score/mesh/nBin before")
        if not NAME.fullmatch(name) or name in self._scorer_names:
            raise Refused(f"{name!r} is no usable scorer name, or is used twice in the mesh")
        self._scorer_names.add(name)
        mesh.scorers.append(Scorer(name, kind, line=self.line))
        return mesh.scorers[-1]

    def _quantity(self, kind: str, arguments: list[str]) -> None:
        quantity, mesh = QUANTITIES[kind], self._mesh()
        if reason := quantity.conflict(arguments[1:]):
            raise Refused(f"/score/quantity/{kind}: {reason}")
        if quantity.needs_mesh and mesh.shape == "volume":
            raise Refused(f"/score/quantity/{kind} needs a mesh, whose volume is known")
        if quantity.needs_box and mesh.shape != "box":
            raise Refused(f"/score/quantity/{kind} needs a box mesh: it counts at the face at -z")
        scorer = self._add(arguments[0], kind)
        scorer.unit = quantity.unit_of(arguments[1:])
        scorer.neutral = not (self.full or quantity.charged_only)

    def _own_quantity(self, arguments: list[str]) -> str:
        kind, name, axes = parse_quantity(arguments)
        if kind in MAPS and (axes or self._mesh().shape == "volume"):
            raise Refused(f"{QUANTITY} {kind} is a map: it needs a mesh, and has no further axes")
        scorer = self._add(name, kind)
        scorer.own, scorer.axes = True, axes
        scorer.neutral = not self.full and kind == "fluence"
        # A native scorer drives ours: its filter is called at every step in the mesh.
        return "" if kind in MAPS else f"/score/quantity/nOfStep {name}"

    def _own_filter(self, arguments: list[str]) -> None:
        scorer, rules = self._filtered(), parse_rules(arguments)
        if not self.full and neutrals.are_asked_for(rules):
            raise Refused(neutrals.REFUSAL)
        scorer.rules, scorer.filtered = rules, " ".join(arguments)
        scorer.neutral = scorer.neutral and neutrals.pass_through(rules)

    def _filter(self, kind: str, arguments: list[str]) -> None:
        names = neutrals.PARTICLES & set(arguments[1:])
        if not self.full and (kind == "neutral" or names):
            raise Refused(neutrals.REFUSAL)
        if kind.lower().endswith("kineticenergy"):
            _check_range(arguments[1:3])
        scorer = self._filtered()
        # the arguments of these two do not say what they select
        what = [kind] if kind in {"charged", "neutral"} else []
        scorer.filtered = " ".join([*arguments, *what])
        scorer.neutral = scorer.neutral and kind == "kineticEnergy"

    def _filtered(self) -> Scorer:
        """Return the quantity that a filter belongs to."""
        if not self._mesh().scorers:
            raise Refused("a filter follows the quantity it filters")
        scorer = self._mesh().scorers[-1]
        if scorer.own and scorer.kind in MAPS:
            raise Refused("a map of the geometry has no particles to filter")
        if scorer.filtered:
            raise Refused(f"{scorer.name} has a filter already, which Geant4 would ignore")
        return scorer


def _check_range(energies: list[str]) -> None:
    """Raise Refused for a range without energies, in which Geant4 would count nothing."""
    if len(energies) == 2 and float(energies[0]) >= float(energies[1]):
        raise Refused(f"the range from {energies[0]} to {energies[1]} is empty")
