"""Which steps our own scorers and filters count: species, generation, energy.

Species and generation stay the same along a track, so Geant4 tells them once per track
(``Tracks``), and rules on them cost next to nothing at a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import geant4_pybind as g4

from kerma_engines.geant4.own_quantities import AMU
from kerma_engines.geant4.rules import COMPARE

if TYPE_CHECKING:
    from kerma_engines.geant4.run import Reporter

_ENERGIES = {"E", "ENUC", "EAMU"}


@dataclass(frozen=True, slots=True)
class Kind:
    """What is the same for all particles of a species; ``mass`` in MeV."""

    definition: Any
    code: int
    z: int
    a: int
    mass: float


class Selection:
    """The rules of a filter; ``chosen`` and ``kind`` are those of the track under way."""

    def __init__(self, rules: list[list[Any]], *, nuclei_only: bool) -> None:
        compared = [(key, COMPARE[compare], value) for key, compare, value in rules]
        self.steady = [rule for rule in compared if rule[0] not in _ENERGIES]
        self.energies = [rule for rule in compared if rule[0] in _ENERGIES]
        self.nuclei_only = nuclei_only
        self.known: dict[tuple[int, int], bool] = {}
        self.chosen = False
        self.kind: Kind | None = None

    def begin(self, kind: Kind, generation: int) -> None:
        """A track begins, or goes on."""
        key = kind.code, generation
        chosen = self.known.get(key)
        if chosen is None:
            chosen = self.known[key] = self._choose(kind, generation)
        self.chosen, self.kind = chosen, kind

    def _choose(self, kind: Kind, generation: int) -> bool:
        facts: dict[str, float] = {"Z": kind.z, "A": kind.a, "PDG": kind.code, "GEN": generation}
        facts |= {"AMASS": kind.mass, "AMU": kind.mass / AMU}
        nucleus = kind.a >= 1 and kind.z >= 1
        fits = all(compare(facts[key], value) for key, compare, value in self.steady)
        return fits and (nucleus or not self.nuclei_only)

    def passes(self, step: Any) -> bool:
        """Whether track and energy, at the start of the step, meet the rules."""
        if not self.chosen or not self.energies:
            return self.chosen
        assert self.kind is not None
        energy = step.GetPreStepPoint().GetKineticEnergy()
        found = {
            "E": energy,
            "ENUC": energy / max(self.kind.a, 1),
            "EAMU": energy * AMU / self.kind.mass if self.kind.mass else 0.0,
        }
        return all(compare(found[key], value) for key, compare, value in self.energies)


class Tracks(g4.G4UserTrackingAction):  # type: ignore[misc]
    """Tells all selections about each track.

    The beam is generation 0, what it sets free generation 1, and so on.
    """

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self.reporter = reporter
        self.primary = -1
        self.kinds: dict[int, Kind] = {}
        self.generations: dict[int, int] = {}
        self.selections: list[Selection] = []

    def PreUserTrackingAction(self, track: Any) -> None:  # noqa: N802 - Geant4's name
        if self.primary != self.reporter.done:
            self.primary = self.reporter.done
            self.generations.clear()
        parent = track.GetParentID()
        generation = self.generations.get(parent, 0) + 1 if parent else 0
        self.generations[track.GetTrackID()] = generation
        kind = self._kind(track.GetParticleDefinition())
        for selection in self.selections:
            selection.begin(kind, generation)

    def _kind(self, definition: Any) -> Kind:
        code = definition.GetPDGEncoding()
        known = self.kinds.get(code)
        if known is None:
            a = definition.GetAtomicMass()
            z = definition.GetAtomicNumber() if a else round(definition.GetPDGCharge())
            known = self.kinds[code] = Kind(definition, code, z, a, definition.GetPDGMass())
        return known


class StepFilter(g4.G4VSDFilter):  # type: ignore[misc]
    """Lets a native scorer count only steps that meet the rules."""

    def __init__(self, name: str, rules: list[list[Any]]) -> None:
        super().__init__(name)
        self.selection = Selection(rules, nuclei_only=False)

    def Accept(self, step: Any) -> bool:  # noqa: N802 - Geant4's name
        return self.selection.passes(step)
