"""Scorers that Geant4 lacks: mean energy, LET, spectra.

Geant4 calls a filter for every step in a scoring mesh. A ``StepFilter`` decides whether its scorer
counts the step. A ``Recorder`` is the filter of a scorer that never counts: it keeps its own sums.
Both run in Python at some microseconds per step, so they are used only where nothing native works.

LET is the unrestricted electronic stopping power. A step counts with its mean energy, and one that
loses much of the energy is subdivided (``steps``): Geant4 takes the last 0.1 mm of a range in one
step, from 2.4 MeV down for a proton. Averages over particles count nuclei only: the energy of
electrons is part of the LET of the particle that set them free. Totals count every particle.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Any

import geant4_pybind as g4

from kerma_engines.geant4.scorers.filters import Selection, StepFilter, Tracks, share_hits
from kerma_engines.geant4.scorers.quantities import (
    AVERAGES,
    AXES,
    NEEDS_LET,
    DifferentialAxis,
    Passage,
    bins_of,
    quality_factor,
)
from kerma_engines.geant4.scorers.steps import Piece, energy_at_end, is_short, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.geant4.reporter import Reporter
    from kerma_engines.geant4.scorers.filters import Kind

_CM = 10.0  # mm, Geant4's unit of length
_DENSITY = g4.g / g4.cm3
_ELECTRON = 11
_GRID = 20  # points per decade of energy
_GRID_START = -3.0  # log10 MeV per nucleon
_GRID_POINTS = 7 * _GRID + 1


class StoppingPowers:
    """Unrestricted electronic stopping powers in MeV/cm, tabulated on first use."""

    def __init__(self) -> None:
        self.calculator = g4.G4EmCalculator()
        self.water = g4.G4NistManager.Instance().FindOrBuildMaterial("G4_WATER")
        self.tables: dict[tuple[int, int], list[float]] = {}

    def let(self, kind: Kind, material: Any, energy: float) -> float:
        """Return the LET at a kinetic energy in MeV, interpolated linearly in its logarithm."""
        key = kind.code, material.GetIndex()
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


class Recorder(g4.G4VSDFilter):  # type: ignore[misc]
    """Per bin, sums over primaries of a quantity and its square, and for averages of its weight.

    ``fluence`` sums track lengths (cm), ``energy`` energy deposited (MeV), ``dose`` energy
    deposited over density (MeV cm3/g), ``doseEqv`` the same times the quality factor. Averages sum
    numerator and denominator: the weight is length or, weighted by dose, length times LET; the
    numerator the weight times the property.
    """

    def __init__(
        self,
        quantity: dict[str, Any],
        bins: int,
        rings: list[int] | None,
        reporter: Reporter,
        powers: StoppingPowers,
    ) -> None:
        super().__init__(quantity["name"])
        self.quantity = quantity["kind"]
        self.average = AVERAGES.get(self.quantity)
        self.axes = tuple(DifferentialAxis(*axis) for axis in quantity["axes"])
        self.properties = [AXES[axis.key].of for axis in self.axes]
        self.selection = Selection(quantity["rules"], nuclei_only=self.average is not None)
        self.reporter = reporter
        self.powers = powers
        self.scorer: Any = None
        keys = {axis.key for axis in self.axes}
        self.needs_let = bool(keys & NEEDS_LET) or self._averages_let()
        self.needs_density = "MDEDX" in keys or self.quantity in {"dose", "doseEqv"}
        self.needs_angle = "ANGLE" in keys
        self.single = bins == 1 and not rings
        self.rings = rings
        self.differential_bins = bins_of(self.axes)
        self.columns = [array("d", bytes(8 * bins * self.differential_bins)) for _ in range(5)]
        self.primary = 0
        self.cells: dict[int, list[float]] = {}

    def _averages_let(self) -> bool:
        return self.average is not None and (
            self.average.by_dose or self.average.property is AXES["DEDX"]
        )

    def Accept(self, step: Any) -> bool:  # noqa: N802 - Geant4's name
        kind = self.selection.kind
        if kind is None or not self.selection.passes(step):
            return False
        before = step.GetPreStepPoint()
        index: int | None = None
        for piece in self._pieces(kind, before, step.GetTotalEnergyDeposit()):
            passage = self._passage(kind, before, piece.energy)
            value, weight = self._contribution(passage, step, piece)
            place = self._place(passage) if value or weight else -1
            if place >= 0:
                if index is None:
                    index = 0 if self.single else self._index(step)
                if index < 0:
                    return False
                self._add(index * self.differential_bins + place, value, weight)
        return False

    def _pieces(self, kind: Kind, before: Any, deposited: float) -> list[Piece]:
        start = before.GetKineticEnergy()
        end = energy_at_end(kind.z, start, deposited)
        if is_short(start, end):
            return [Piece(0.5 * (start + end), 1.0, 1.0)]
        material = before.GetMaterial()
        return pieces(
            start, end, max(kind.a, 1), lambda energy: self.powers.let(kind, material, energy)
        )

    def _place(self, passage: Passage) -> int:
        """Return the bin along all axes together, -1 outside."""
        found = 0
        for axis, of in zip(self.axes, self.properties, strict=True):
            place = axis.bin(of(passage))
            if place < 0:
                return -1
            found = found * axis.n + place
        return found

    def _index(self, step: Any) -> int:
        """Return the bin of the mesh, -1 when its rings are left out."""
        index: int = self.scorer.GetIndex(step)
        if self.rings is None:
            return index
        rings, left_out, grouped = self.rings
        others, ring = divmod(index, rings)
        if ring < left_out:
            return -1
        return others * ((rings - left_out) // grouped) + (ring - left_out) // grouped

    def _passage(self, kind: Kind, before: Any, energy: float) -> Passage:
        passage = Passage(kind.z, kind.a, kind.mass, energy)
        if self.needs_let:
            passage.let = self.powers.let(kind, before.GetMaterial(), energy)
        if self.needs_density:
            passage.density = before.GetMaterial().GetDensity() / _DENSITY
        if self.needs_angle:
            passage.cosine = before.GetMomentumDirection().z
        return passage

    def _contribution(self, passage: Passage, step: Any, piece: Piece) -> tuple[float, float]:
        """Return the value and, for averages, the weight."""
        if self.quantity == "energy":
            return step.GetTotalEnergyDeposit() * piece.loss, 0.0
        if self.quantity == "dose":
            return step.GetTotalEnergyDeposit() * piece.loss / passage.density, 0.0
        if self.quantity == "doseEqv":
            dose = step.GetTotalEnergyDeposit() * piece.loss / passage.density
            return dose * self._quality(piece.energy), 0.0
        length = step.GetStepLength() / _CM * piece.length
        if self.average is None:
            return length, 0.0
        weight = length * passage.let if self.average.by_dose else length
        return weight * self.average.property.of(passage), weight

    def _quality(self, energy: float) -> float:
        """Return Q of the current particle by its LET in water; 1 if neutral or an electron."""
        kind = self.selection.kind
        assert kind is not None
        if not kind.z or abs(kind.code) == _ELECTRON:
            return 1.0
        return quality_factor(self.powers.let(kind, self.powers.water, energy))

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
        """Add the contributions of one primary to the sums."""
        x, xx, y, yy, xy = self.columns
        for index, (value, weight) in self.cells.items():
            x[index] += value
            xx[index] += value * value
            y[index] += weight
            yy[index] += weight * weight
            xy[index] += value * weight
        self.cells.clear()

    def scored(self) -> Iterator[tuple[str, array[float], array[float]]]:
        """Return the arrays for the result file."""
        self.flush()
        x, xx, y, yy, xy = self.columns
        name = self.GetName()
        yield name, x, xx
        if self.average is not None:
            yield f"{name}/weight", y, yy
            yield f"{name}/cross", xy, xy


class OwnScorers:
    """All of our scorers and filters in a task, attached to the native scorers that drive them."""

    def __init__(self, meshes: list[dict[str, Any]], reporter: Reporter) -> None:
        self.tracks = Tracks(reporter)
        self.recorders: dict[tuple[str, str], Recorder] = {}
        self.filters: list[StepFilter] = []
        powers = StoppingPowers()
        for mesh in meshes:
            own, rules = mesh.get("own", []), mesh.get("rules", {})
            if not own and not rules:
                continue
            primitives = _primitives(mesh["name"])
            bins = math.prod(mesh["shape"] or (1,))
            selections = {}
            for quantity in own:
                recorder = Recorder(quantity, bins, mesh["rings"], reporter, powers)
                recorder.scorer = primitives[quantity["name"]]
                recorder.scorer.SetFilter(recorder)
                self.recorders[mesh["name"], quantity["name"]] = recorder
                selections[quantity["name"]] = recorder.selection
            for scorer, conditions in rules.items():
                step_filter = StepFilter(f"{mesh['name']}/{scorer}", conditions)
                primitives[scorer].SetFilter(step_filter)
                self.filters.append(step_filter)
                selections[scorer] = step_filter.selection
            share_hits(selections[name] for name in primitives if name in selections)
            self.tracks.selections += selections.values()


def _primitives(mesh: str) -> dict[str, Any]:
    detector = g4.G4SDManager.GetSDMpointer().FindSensitiveDetector(mesh)
    found = [detector.GetPrimitive(i) for i in range(detector.GetNumberOfPrimitives())]
    return {primitive.GetName(): primitive for primitive in found}
