"""Write particle and energy filters of a project as filters of Geant4's scorers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.geant4.convert.gdml_write import number
from kerma_engines.geant4.scorers import neutrals
from kerma_engines.geant4.scorers.grammar import FILTER
from kerma_engines.geant4.scorers.rules import as_text
from kerma_engines.physics.particles import EDITOR_IDS, GEANT4_IDS, Species
from kerma_engines.project.scoring import RuleKeyword

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kerma_engines.geant4.scorers.rules import Condition
    from kerma_engines.physics.particles import Particle
    from kerma_engines.project.project import Project
    from kerma_engines.project.scoring import Rule

#: The upper limit of an energy filter that has none; MeV, above every beam.
_NO_LIMIT = 1e9

#: Quantities that are never exactly equal to anything.
_CONTINUOUS = {"E", "ENUC", "EAMU", "AMASS", "AMU"}

#: Geant4's names by charge and mass number, or by the Particle Data Group's number.
_NATIVE_NAMES: dict[tuple[float | None, float | None, float | None], str] = {
    (kind.value.z, kind.value.a, None) if kind.value.a else (None, None, kind.value.pdg): (
        kind.value.geant4
    )
    for kind in Species
    if kind is not Species.ION
}


_CHARGES: tuple[list[Condition], ...] = ([("Z", "!=", 0.0)], [("Z", "==", 0.0)])


class Unsupported(Exception):  # noqa: N818 - becomes a Problem
    """The filter can't be expressed; the message says why."""


def filter_commands(project: Project, uuid: str, *, full: bool, own: bool) -> tuple[str, ...]:
    """Return the commands after the filtered quantity: Geant4's, or ours where it has none.

    ``own``: the quantity has one of our scorers, and so its filter is ours. Raises Unsupported.
    """
    several = [project.particle(known) for known in project.filter(uuid).particles]
    rules = _rules(project, uuid)
    names = [particle.kind.geant4 for particle in several]
    if not full and (neutrals.are_asked_for(rules) or neutrals.PARTICLES & {*names}):
        raise Unsupported(neutrals.REFUSAL)
    if any(particle.species is Species.ION for particle in several):
        own = True
    native = None if own else _native(rules, names)
    if native is not None:
        return (native,)
    words = [as_text(rule) for rule in rules]
    if several:
        codes = tuple(float(_pdg(particle)) for particle in several)
        words.insert(0, as_text(("PDG", "in", codes)))
    return (" ".join([FILTER, *words]),)


def lets_neutrals_through(project: Project, uuid: str) -> bool:
    """Return whether a filter lets neutrons or photons through; "" stands for no filter."""
    if not uuid:
        return True
    kinds = {project.particle(known).kind.geant4 for known in project.filter(uuid).particles}
    if kinds and not kinds & neutrals.PARTICLES:
        return False
    return neutrals.pass_through(_rules(project, uuid))


def _pdg(particle: Particle) -> int:
    """Return the Particle Data Group's number; for ions, of the ground state."""
    if particle.species is Species.ION:
        return 10**9 + particle.z * 10**4 + particle.a * 10
    return particle.kind.pdg


def _rules(project: Project, uuid: str) -> list[Condition]:
    """Return the filter as conditions on charge, mass, species (PDG), energy and generation."""
    chosen = project.filter(uuid)
    conditions: list[Condition] = []
    if chosen.particle is not None:
        particle = project.particle(chosen.particle)
        if particle.species is Species.ION:
            conditions += [("Z", "==", particle.z), ("A", "==", particle.a)]
        else:
            conditions += _species(particle.species)
    for rule in chosen.rules:
        conditions += _conditions(rule, geant4=project.simulator == "geant4")
    _check_energies(conditions)
    return conditions


def _species(species: Species) -> list[Condition]:
    kind = species.value
    if kind.a:
        return [("Z", "==", kind.z), ("A", "==", kind.a)]
    return [("PDG", "==", kind.pdg)]


def _conditions(rule: Rule, *, geant4: bool) -> list[Condition]:
    key, compare, value = rule.keyword, rule.operator, rule.value
    if key is RuleKeyword.ID:
        species = (GEANT4_IDS if geant4 else EDITOR_IDS).get(int(value))
        if species is None or species is Species.ION or compare != "==":
            raise Unsupported("a rule on ID must say == and name one kind of particle")
        return _species(species)
    if key is RuleKeyword.NPRIM:
        raise Unsupported("what rules on NPRIM count is not documented; they are not scored")
    if key.value in _CONTINUOUS and compare in {"==", "!="}:
        raise Unsupported(f"a rule on {key.value} must be a limit, not a single value")
    return [(key.value, compare, value)]


def _check_energies(conditions: Iterable[Condition]) -> None:
    low, high = _energies(conditions)
    if high <= low:
        raise Unsupported("the energy limits leave nothing")


def _native(rules: list[Condition], names: list[str]) -> str | None:
    """Return Geant4's filter of species, energies, both, or charge; None when it has none.

    ``names`` are Geant4's of several species; a single one is in the rules.
    """
    if not names and rules in _CHARGES:
        return f"/score/filter/{'neutral' if rules[0][1] == '==' else 'charged'} filter"
    equal = {key: value for key, compare, value in rules if compare == "=="}
    others = [rule for rule in rules if rule[1] != "==" and rule[0] != "E"]
    if others or len(equal) + sum(rule[0] == "E" for rule in rules) != len(rules):
        return None
    name = _NATIVE_NAMES.get((equal.get("Z"), equal.get("A"), equal.get("PDG")))
    name = " ".join(names) or name
    if (equal and name is None) or set(equal) - {"Z", "A", "PDG"}:
        return None
    low, high = (number(energy) for energy in _energies(rules))
    if not any(rule[0] == "E" for rule in rules):
        return f"/score/filter/particle filter {name}"
    if name is None:
        return f"/score/filter/kineticEnergy filter {low} {high} MeV"
    return f"/score/filter/particleWithKineticEnergy filter {low} {high} MeV {name}"


def _energies(rules: Iterable[Condition]) -> tuple[float, float]:
    low, high = 0.0, _NO_LIMIT
    for key, compare, value in rules:
        if key == "E" and compare in {">", ">="}:
            low = max(low, value)
        elif key == "E":
            high = min(high, value)
    return low, high
