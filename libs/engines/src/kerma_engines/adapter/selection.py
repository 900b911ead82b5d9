"""The meaning of a filter, for engines that name particles instead of testing rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from kerma_engines.physics.particles import EDITOR_IDS, Particle, Species
from kerma_engines.project.scoring import RuleKeyword

if TYPE_CHECKING:
    from kerma_engines.project.project import Project
    from kerma_engines.project.scoring import Filter, Rule


class Generation(Enum):
    """Which particles count: primaries, their descendants, or both."""

    ANY = auto()
    PRIMARY = auto()
    SECONDARY = auto()


@dataclass(frozen=True, slots=True)
class Selection:
    """A kind of particle (None for any), a generation, and the remaining rules.

    ``others`` are indices of rules in the filter that select by something else.
    """

    particle: Particle | None = None
    generation: Generation = Generation.ANY
    others: tuple[int, ...] = ()


_PRIMARY = {("==", 0.0), ("<=", 0.0), ("<", 1.0)}
_SECONDARY = {(">=", 1.0), (">", 0.0), ("!=", 0.0)}


def select(project: Project, known: Filter) -> Selection:
    """Return the selection that a filter describes."""
    if known.particle is not None and not known.rules:
        return Selection(project.particle(known.particle))
    numbers: dict[RuleKeyword, int] = {}
    generation = Generation.ANY
    others: list[int] = []
    for index, rule in enumerate(known.rules):
        found = _generation(rule)
        if found is not None and generation is Generation.ANY:
            generation = found
        elif _is_number(rule) and rule.keyword not in numbers:
            numbers[rule.keyword] = int(rule.value)
        else:
            others.append(index)
    particle = project.particle(known.particle) if known.particle is not None else None
    named = _particle(numbers) if numbers and particle is None else None
    if numbers and named is None:
        others += [index for index, rule in enumerate(known.rules) if _is_number(rule)]
    particle = particle or named
    return Selection(particle, generation, tuple(sorted(set(others))))


def _generation(rule: Rule) -> Generation | None:
    if rule.keyword is not RuleKeyword.GEN:
        return None
    test = (rule.operator, rule.value)
    if test in _PRIMARY:
        return Generation.PRIMARY
    return Generation.SECONDARY if test in _SECONDARY else None


def _is_number(rule: Rule) -> bool:
    wanted = (RuleKeyword.Z, RuleKeyword.A, RuleKeyword.ID)
    return rule.keyword in wanted and rule.operator == "==" and rule.value.is_integer()


def _particle(numbers: dict[RuleKeyword, int]) -> Particle | None:
    """Return the particle with these numbers, if they identify exactly one."""
    if set(numbers) == {RuleKeyword.ID}:
        species = EDITOR_IDS.get(numbers[RuleKeyword.ID])
        if species is None or species is Species.ION:
            return None
        return Particle(species, species.value.a, species.value.z)
    if set(numbers) != {RuleKeyword.Z, RuleKeyword.A}:
        return None
    z, a = numbers[RuleKeyword.Z], numbers[RuleKeyword.A]
    for species in Species:
        if (species.value.z, species.value.a) == (z, a) and a > 0:
            return Particle(species, a, z)
    return Particle(Species.ION, a, z) if 0 < z <= a else None
