"""Scorers and filters that Geant4 lacks: generation, charge and mass; LET, mean energy, spectra.

Geant4 calls a filter for every step in a scoring mesh. A ``StepFilter`` answers whether its scorer
counts the step. A ``Recorder`` is the filter of a scorer that never counts: it keeps its own sums.
Both run in Python at some microseconds per step, so they are used only where nothing native does.

LET is the unrestricted electronic stopping power at the mean energy of the step. Averages over
particles count nuclei only: the energy that electrons carry is part of the LET of who made them.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import geant4_pybind as g4

from kerma_engines.geant4.rules import COMPARE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.geant4.run import Reporter

_CM = 10.0  # mm, Geant4's unit of length
_GRID = 20  # points per decade of energy
_GRID_START = -3.0  # log10 MeV per nucleon
_GRID_POINTS = 7 * _GRID + 1


@dataclass(frozen=True, slots=True)
class Kind:
    """What is the same for all particles of a species."""

    definition: Any
    z: int
    a: int
    chosen: bool


class Selection:
    """The rules of a filter: on the species once, on generation and energy for every step."""

    def __init__(self, rules: list[list[Any]], *, nuclei_only: bool) -> None:
        self.rules = [(key, COMPARE[compare], value) for key, compare, value in rules]
        self.nuclei_only = nuclei_only
        self.kinds: dict[int, Kind] = {}
        self.moving = [rule for rule in self.rules if rule[0] in {"E", "ENUC", "GEN"}]

    def kind(self, track: Any) -> Kind:
        """The species of a track, and whether the rules on species choose it."""
        definition = track.GetParticleDefinition()
        code = definition.GetPDGEncoding()
        known = self.kinds.get(code)
        if known is None:
            a = definition.GetAtomicMass()
            z = definition.GetAtomicNumber() if a else round(definition.GetPDGCharge())
            facts = {"Z": z, "A": a, "PDG": code}
            chosen = all(
                compare(facts[key], value) for key, compare, value in self.rules if key in facts
            )
            counts = not self.nuclei_only or (a >= 1 and z >= 1)
            known = self.kinds[code] = Kind(definition, z, a, chosen and counts)
        return known

    def passes(self, kind: Kind, track: Any, step: Any) -> bool:
        """Whether generation and energy (at the start of the step) meet the rules."""
        for key, compare, value in self.moving:
            if key == "GEN":
                found = min(track.GetParentID(), 1)
            else:
                found = step.GetPreStepPoint().GetKineticEnergy()
                if key == "ENUC":
                    found /= max(kind.a, 1)
            if not compare(found, value):
                return False
        return True


class StepFilter(g4.G4VSDFilter):  # type: ignore[misc]
    """Lets a native scorer count only steps that meet the rules."""

    def __init__(self, name: str, rules: list[list[Any]]) -> None:
        super().__init__(name)
        self.selection = Selection(rules, nuclei_only=False)

    def Accept(self, step: Any) -> bool:  # noqa: N802 - Geant4's name
        track = step.GetTrack()
        kind = self.selection.kind(track)
        # most steps are those of electrons, which seldom are chosen
        return kind.chosen and self.selection.passes(kind, track, step)


class StoppingPowers:
    """Unrestricted electronic stopping powers in MeV/cm, tabulated when first asked for."""

    def __init__(self) -> None:
        self.calculator = g4.G4EmCalculator()
        self.tables: dict[tuple[int, int], list[float]] = {}

    def let(self, kind: Kind, material: Any, energy: float) -> float:
        """At a kinetic energy in MeV, interpolated linearly over its logarithm."""
        key = (kind.definition.GetPDGEncoding(), material.GetIndex())
        table = self.tables.get(key)
        if table is None:
            table = self.tables[key] = self._table(kind, material)
        per_nucleon = max(energy / max(kind.a, 1), 1e-3)
        place = (math.log10(per_nucleon) - _GRID_START) * _GRID
        low = min(int(place), _GRID_POINTS - 2)
        return table[low] + (place - low) * (table[low + 1] - table[low])

    def _table(self, kind: Kind, material: Any) -> list[float]:
        energies = [max(kind.a, 1) * 10.0 ** (_GRID_START + i / _GRID) for i in range(_GRID_POINTS)]
        compute = self.calculator.ComputeElectronicDEDX
        return [_CM * compute(energy, kind.definition, material) for energy in energies]


@dataclass(frozen=True, slots=True)
class DifferentialAxis:
    """Bins along a property of the particle."""

    key: str
    low: float
    high: float
    n: int
    log: bool

    def bin(self, value: float) -> int:
        """Index of the bin, -1 outside."""
        if not self.low <= value < self.high:
            return -1
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return min(int(part * self.n), self.n - 1)


class Recorder(g4.G4VSDFilter):  # type: ignore[misc]
    """Sums over primaries of a quantity per bin, its square, and for averages of its weight.

    ``fluence`` sums track lengths (cm); averages sum numerator and denominator: ``avgEnergy``
    length times energy over length, ``tLET`` length times LET over length, ``dLET`` length times
    LET squared over length times LET.
    """

    def __init__(
        self, quantity: dict[str, Any], bins: int, reporter: Reporter, powers: StoppingPowers
    ) -> None:
        super().__init__(quantity["name"])
        self.quantity = quantity["kind"]
        self.axis = DifferentialAxis(*quantity["axis"]) if quantity["axis"] else None
        self.selection = Selection(quantity["rules"], nuclei_only=self.quantity != "fluence")
        self.reporter = reporter
        self.powers = powers
        self.scorer: Any = None
        self.needs_let = "LET" in self.quantity or (
            self.axis is not None and self.axis.key == "DEDX"
        )
        self.single = bins == 1
        size = bins * (self.axis.n if self.axis else 1)
        self.columns = [array("d", bytes(8 * size)) for _ in range(5)]
        self.primary = 0
        self.cells: dict[int, list[float]] = {}

    def Accept(self, step: Any) -> bool:  # noqa: N802 - Geant4's name
        track = step.GetTrack()
        kind = self.selection.kind(track)
        length = step.GetStepLength() / _CM
        if not kind.chosen or not length or not self.selection.passes(kind, track, step):
            return False
        before = step.GetPreStepPoint()
        energy = 0.5 * (before.GetKineticEnergy() + step.GetPostStepPoint().GetKineticEnergy())
        let = self.powers.let(kind, before.GetMaterial(), energy) if self.needs_let else 0.0
        index = 0 if self.single else self.scorer.GetIndex(step)
        if self.axis:
            place = self.axis.bin(self._property(kind, before, energy, let))
            if place < 0:
                return False
            index = index * self.axis.n + place
        self._add(index, *self._contribution(length, energy, let))
        return False

    def _property(self, kind: Kind, before: Any, energy: float, let: float) -> float:
        key = self.axis.key if self.axis else ""
        if key == "ENUC":
            return energy / max(kind.a, 1)
        if key == "Z":
            return float(kind.z)
        if key == "DEDX":
            return let
        if key == "ANGLE":
            return math.acos(max(-1.0, min(1.0, float(before.GetMomentumDirection().z))))
        return energy

    def _contribution(self, length: float, energy: float, let: float) -> tuple[float, float]:
        if self.quantity == "avgEnergy":
            return length * energy, length
        if self.quantity == "tLET":
            return length * let, length
        if self.quantity == "dLET":
            return length * let * let, length * let
        return length, 0.0

    def _add(self, index: int, value: float, weight: float) -> None:
        if self.primary != self.reporter.done:
            self.flush()
            self.primary = self.reporter.done
        cell = self.cells.get(index)
        if cell is None:
            self.cells[index] = [value, weight]
        else:
            cell[0] += value
            cell[1] += weight

    def flush(self) -> None:
        """Fold the contributions of one primary into the sums."""
        x, xx, y, yy, xy = self.columns
        for index, (value, weight) in self.cells.items():
            x[index] += value
            xx[index] += value * value
            y[index] += weight
            yy[index] += weight * weight
            xy[index] += value * weight
        self.cells.clear()

    def scored(self) -> Iterator[tuple[str, array[float], array[float]]]:
        """What goes into the result file."""
        self.flush()
        x, xx, y, yy, xy = self.columns
        name = self.GetName()
        yield name, x, xx
        if self.quantity != "fluence":
            yield f"{name}/weight", y, yy
            yield f"{name}/cross", xy, xy


class OwnScorers:
    """All own scorers and filters of a task, attached to the native scorers that drive them."""

    def __init__(self, meshes: list[dict[str, Any]], reporter: Reporter) -> None:
        self.recorders: dict[tuple[str, str], Recorder] = {}
        self.filters: list[StepFilter] = []
        powers = StoppingPowers()
        for mesh in meshes:
            own, rules = mesh.get("own", []), mesh.get("rules", {})
            if not own and not rules:
                continue
            primitives = _primitives(mesh["name"])
            bins = math.prod(mesh["shape"] or (1,))
            for quantity in own:
                recorder = Recorder(quantity, bins, reporter, powers)
                recorder.scorer = primitives[quantity["name"]]
                recorder.scorer.SetFilter(recorder)
                self.recorders[mesh["name"], quantity["name"]] = recorder
            for scorer, conditions in rules.items():
                step_filter = StepFilter(f"{mesh['name']}/{scorer}", conditions)
                primitives[scorer].SetFilter(step_filter)
                self.filters.append(step_filter)


def _primitives(mesh: str) -> dict[str, Any]:
    detector = g4.G4SDManager.GetSDMpointer().FindSensitiveDetector(mesh)
    found = [detector.GetPrimitive(i) for i in range(detector.GetNumberOfPrimitives())]
    return {primitive.GetName(): primitive for primitive in found}
