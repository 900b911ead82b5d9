"""Express filters as FLUKA's particles: one species, a generalised particle, an isotope, primaries.

Generalised particles are those of the manual, chapter 5, isotopes those of its AUXSCORE card:
WHAT(2) = -(Z*100 + A*100000 + M*100000000), where a zero Z, A or M stands for all. Hydrogen and
helium have their own names, and the manual does not say what an isotope means for them, so isotopes
are used from lithium on, and mass numbers from 5 on.

There is no generalised particle for secondaries. Scores are linear, so the score of secondaries is
the score of all minus that of BEAMPART, in the same run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kerma_engines.adapter.selection import Generation, select
from kerma_engines.physics.particles import Species
from kerma_engines.project.scoring import RuleKeyword

if TYPE_CHECKING:
    from collections.abc import Callable

    from kerma_engines.adapter.conversion import Verdict
    from kerma_engines.physics.particles import Particle
    from kerma_engines.project.project import Project
    from kerma_engines.project.scoring import Filter, Rule

PRIMARIES = "BEAMPART"
_BY_CHARGE = {
    "ALL-CHAR": {("!=", 0.0)},
    "ALL-NEUT": {("==", 0.0)},
    "ALL-POSI": {(">", 0.0), (">=", 1.0)},
    "ALL-NEGA": {("<", 0.0), ("<=", -1.0)},
}
_CHARGES: dict[str, Callable[[int], bool]] = {
    "ALL-CHAR": lambda z: z != 0,
    "ALL-NEUT": lambda z: z == 0,
    "ALL-POSI": lambda z: z > 0,
    "ALL-NEGA": lambda z: z < 0,
}
_BY_KINDS = {
    frozenset({Species.ELECTRON, Species.POSITRON}): "E+&E-",
    frozenset({Species.MUON_MINUS, Species.MUON_PLUS}): "MUONS",
    frozenset({Species.PION_MINUS, Species.PION_PLUS}): "PIONS+-",
    frozenset({Species.KAON_MINUS, Species.KAON_PLUS}): "KAONS+-",
    frozenset({Species.NEUTRON, Species.PROTON}): "NUCLEONS",
}
_LIGHTEST_Z, _LIGHTEST_A = 3, 5
_ENERGIES = (RuleKeyword.E, RuleKeyword.ENUC, RuleKeyword.EAMU)


@dataclass(frozen=True, slots=True)
class Passing:
    """The particles to score: FLUKA's name or an isotope's code, None for all.

    ``secondaries``: minus the score of primaries.
    """

    particle: str | int | None = None
    secondaries: bool = False


class _InexpressibleError(Exception):
    """FLUKA's cards can't express it; the message says why."""


@dataclass(frozen=True, slots=True)
class _Family:
    """Particles of one name or code, and a test whether a particle belongs to them."""

    passing: Passing
    holds: Callable[[Particle], bool]


def passing(project: Project, known: Filter, path: str, verdict: Verdict) -> Passing | None:
    """Return the particles that pass a filter; None when ``path`` was refused."""
    chosen = select(project, known)
    try:
        rules = [known.rules[index] for index in chosen.others]
        if any(rule.keyword in _ENERGIES for rule in rules):
            raise _InexpressibleError("FLUKA needs a compiled routine to filter by energy")
        if known.particles:
            family = _of_kinds({project.particle(ref).species for ref in known.particles}, rules)
        else:
            family = _family(chosen.particle, rules)
        found = _of_generation(family, chosen.generation, project.particle(project.beam.particle))
    except _InexpressibleError as error:
        verdict.refuse(path, str(error))
        return None
    if found.secondaries or found.particle == PRIMARIES:
        text = "particles of the beam are FLUKA's BEAMPART, which decides how long they count so"
        verdict.note(path, text)
    return found


def _of_generation(family: _Family, generation: Generation, beam: Particle) -> Passing:
    if generation is Generation.ANY:
        return family.passing
    if generation is Generation.PRIMARY:
        if not family.holds(beam):
            raise _InexpressibleError(f"no particle passes: the beam is of {beam.kind.label}s")
        return Passing(PRIMARIES)
    # where no primary belongs to the family, all are secondaries
    return replace(family.passing, secondaries=family.holds(beam))


def _family(particle: Particle | None, rules: list[Rule]) -> _Family:
    if particle is None and not rules:
        return _Family(Passing(), lambda _: True)
    if particle is not None and not rules:
        return _kind(particle)
    if particle is not None or len(rules) > 1:
        raise _InexpressibleError("FLUKA filters a score once, and can't test several rules")
    (rule,) = rules
    if rule.keyword is RuleKeyword.Z:
        return _by_charge(rule)
    if rule.keyword is RuleKeyword.A:
        return _by_mass(rule)
    said = f"{rule.keyword} {rule.operator} {rule.value:g}"
    raise _InexpressibleError(f"FLUKA has no particles that {said} describes")


def _kind(particle: Particle) -> _Family:
    def same(other: Particle) -> bool:
        return other == particle

    if particle.species is not Species.ION:
        return _Family(Passing(particle.kind.fluka), same)
    return _Family(Passing(_isotope(particle.z, particle.a)), same)


def _of_kinds(kinds: set[Species], rules: list[Rule]) -> _Family:
    name = _BY_KINDS.get(frozenset(kinds))
    if name is None or rules:
        known = ", ".join(_BY_KINDS.values())
        reason = f"FLUKA filters one kind of particle, or one of {known}, and tests nothing beside"
        raise _InexpressibleError(reason)
    return _Family(Passing(name), lambda other: other.species in kinds)


def _by_charge(rule: Rule) -> _Family:
    for name, tests in _BY_CHARGE.items():
        if (rule.operator, rule.value) in tests:
            return _of_sign(name)
    if rule.operator != "==" or not rule.value.is_integer() or rule.value < 0:
        raise _InexpressibleError("FLUKA knows charges by their sign, and single elements")
    z = int(rule.value)
    if z < _LIGHTEST_Z:
        reason = "FLUKA lists particles of charge 1 and 2 one by one, and filters a score once"
        raise _InexpressibleError(reason)
    return _Family(Passing(_isotope(z, 0)), lambda other: other.z == z)


def _of_sign(name: str) -> _Family:
    return _Family(Passing(name), lambda other: _CHARGES[name](other.z))


def _by_mass(rule: Rule) -> _Family:
    if rule.operator != "==" or not rule.value.is_integer() or rule.value < _LIGHTEST_A:
        reason = f"FLUKA knows single mass numbers, from {_LIGHTEST_A} on"
        raise _InexpressibleError(reason)
    a = int(rule.value)
    return _Family(Passing(_isotope(0, a)), lambda other: other.a == a)


def _isotope(z: int, a: int) -> int:
    return -(100 * z + 100_000 * a)
