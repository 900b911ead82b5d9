"""Write filters of scorers: the editor's rules in terms that TOPAS can test.

A particle must pass all filters of a scorer. Their names and values, including particle names with
wildcards, are those of the TOPAS user guide ("Filtering Scorers", "Particle Names"). They test
Geant4's properties: atomic number and mass are those of nuclei, both 0 for neutrons and everything
else; antinuclei have those of their nuclei. The editor's Z is a charge and its A counts nucleons,
so pions and neutrons are named in addition to the nuclei.

The user guide has filters for the kinetic energy at a track's start and at a component's surface,
neither of which is the editor's energy. The energy at the beginning of a step can be binned: a
range of energy becomes the only bin (user guide, "Binning by Energy").
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kerma_engines.adapter.selection import Generation, select
from kerma_engines.physics.particles import EDITOR_IDS, Species
from kerma_engines.project.scoring import RuleKeyword

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kerma_engines.adapter.conversion import Verdict
    from kerma_engines.physics.particles import Particle
    from kerma_engines.project.project import Project
    from kerma_engines.project.scoring import Filter, Rule

HIGHEST = 1e9
"""MeV; above all energies."""

_MOST_Z, _MOST_A = 120, 300
_GENERATIONS = {Generation.PRIMARY: "Primary", Generation.SECONDARY: "Secondary"}
_TESTS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NUMBERS = (RuleKeyword.Z, RuleKeyword.A)
_ENERGIES = (RuleKeyword.E, RuleKeyword.ENUC)
_BEYOND = 1.0 + 1e-9  # relative shift that puts a bin's edge just above an energy


class _InexpressibleError(Exception):
    """TOPAS can't test it; the message says why."""


@dataclass(slots=True)
class Filtered:
    """The particles that pass a filter.

    ``named`` must match if there are any, ``barred`` must not; ``charges`` are signs that pass.
    ``low`` and ``high`` limit the kinetic energy, MeV: from ``low`` on, below ``high``.
    """

    particle: Particle | None = None
    generation: Generation = Generation.ANY
    named: list[str] = field(default_factory=list)
    barred: list[str] = field(default_factory=list)
    charges: list[str] = field(default_factory=list)
    low: float = 0.0
    high: float = HIGHEST

    @property
    def limits_energy(self) -> bool:
        """Whether energies are tested at all."""
        return self.low > 0.0 or self.high < HIGHEST

    @property
    def is_protons(self) -> bool:
        """Whether exactly protons pass."""
        return self.particle is not None and self.particle.species is Species.PROTON

    def lines(self, scorer: str) -> Iterator[str]:
        """Return the filter parameters of ``scorer``."""
        if self.generation is not Generation.ANY:
            generation = _GENERATIONS[self.generation]
            yield f's:{scorer}/OnlyIncludeParticlesOfGeneration = "{generation}"'
        for test, values in (
            ("Charged", self.charges),
            ("Named", self.named),
            ("NotNamed", self.barred),
        ):
            if values:
                listed = " ".join(f'"{value}"' for value in values)
                yield f"sv:{scorer}/OnlyIncludeParticles{test} = {len(values)} {listed}"


def filtered(project: Project, known: Filter, path: str, verdict: Verdict) -> Filtered:
    """Return the particles that pass a filter; refuse rules that TOPAS can't test."""
    selection = select(project, known)
    found = Filtered(selection.particle, selection.generation)
    if found.particle is not None:
        found.named = [scored_name(found.particle)]
    rules = [(index, known.rules[index]) for index in selection.others]
    try:
        _by_numbers(found, [rule for _, rule in rules if rule.keyword in _NUMBERS])
    except _InexpressibleError as error:
        verdict.refuse(path, str(error))
    for index, rule in rules:
        try:
            _by_rule(found, rule)
        except _InexpressibleError as error:
            said = f"rule {index} ({rule.keyword} {rule.operator} {rule.value:g})"
            verdict.refuse(path, f"{said}: {error}")
    if found.low >= found.high:
        verdict.refuse(path, "no kinetic energy passes all rules")
    return found


def _by_rule(found: Filtered, rule: Rule) -> None:
    if rule.keyword in _NUMBERS:
        return
    if rule.keyword in _ENERGIES:
        _by_energy(found, rule)
    elif rule.keyword is RuleKeyword.ID:
        _by_species(found, rule)
    elif rule.keyword is RuleKeyword.GEN:
        raise _InexpressibleError("TOPAS distinguishes only primaries (0) and all others (>= 1)")
    elif rule.keyword is RuleKeyword.NPRIM:
        raise _InexpressibleError("TOPAS does not test numbers of primaries")
    else:
        raise _InexpressibleError(
            "TOPAS tests numbers of nucleons and kinetic energies, not masses"
        )


def _by_energy(found: Filtered, rule: Rule) -> None:
    """Narrow the energy range; for an energy per nucleon the number of nucleons must be known."""
    energy = rule.value
    if rule.keyword is RuleKeyword.ENUC:
        if found.particle is None or found.particle.a < 1:
            raise _InexpressibleError("energies per nucleon need a filter for one nuclide as well")
        energy *= found.particle.a
    if rule.operator in ("==", "!="):
        raise _InexpressibleError("TOPAS tests ranges of energy only")
    edge = energy * _BEYOND if rule.operator in (">", "<=") else energy
    if rule.operator in (">", ">="):
        found.low = max(found.low, edge)
    else:
        found.high = min(found.high, edge)


def _by_species(found: Filtered, rule: Rule) -> None:
    species = EDITOR_IDS.get(int(rule.value)) if rule.value.is_integer() else None
    if species is None or species is Species.ION or rule.operator not in ("==", "!="):
        raise _InexpressibleError("TOPAS has no numbers of particles; only single ones have names")
    name = species.value.geant4
    if rule.operator == "!=":
        found.barred.append(name)
    else:
        _require(found, [name])


def _by_numbers(found: Filtered, rules: list[Rule]) -> None:
    charges = [rule for rule in rules if rule.keyword is RuleKeyword.Z]
    nucleons = [rule for rule in rules if rule.keyword is RuleKeyword.A]
    if charges:
        _by_charge(found, {z for z in range(-1, _MOST_Z + 1) if _passes(charges, z)})
    if nucleons:
        _by_nucleons(found, {a for a in range(_MOST_A + 1) if _passes(nucleons, a)})


def _passes(rules: list[Rule], value: int) -> bool:
    return all(_TESTS[rule.operator](value, rule.value) for rule in rules)


def _require(found: Filtered, names: list[str]) -> None:
    """Let only ``names`` pass: TOPAS has one such list."""
    if found.named:
        raise _InexpressibleError("TOPAS has one list of particles to score; these rules need two")
    found.named = names


def _of_charge(z: int) -> list[str]:
    """Return the names of everything with charge ``z`` > 0."""
    others = [s.value.geant4 for s in Species if s.value.z == z and s.value.a == 0]
    return [f"GenericIon({z},*,*)", *others]


def _by_charge(found: Filtered, passing: set[int]) -> None:
    """Select by Z, which is the charge, -1 to 1, for particles that are not nuclei."""
    positive = set(range(1, _MOST_Z + 1))
    signs = {
        "Negative": -1 in passing,
        "Neutral": 0 in passing,
        "Positive": bool(passing & positive),
    }
    missing = positive - passing
    if not any(signs.values()):
        raise _InexpressibleError("no particle has such a Z")
    if _MOST_Z in missing and positive & passing:
        if signs["Negative"] and signs["Neutral"] and 1 in passing:
            # Everything that is not a nucleus has atomic number 0.
            _require(found, [f"GenericIon({z},*,*)" for z in sorted(passing) if z >= 0])
            return
        if signs["Negative"] or signs["Neutral"]:
            raise _InexpressibleError(
                "TOPAS can't list all neutral or negative particles with these Z"
            )
        _require(found, [name for z in sorted(passing) for name in _of_charge(z)])
        if 1 in passing:
            found.barred.append(Species.ANTIPROTON.value.geant4)
        return
    if not all(signs.values()):
        found.charges = [sign for sign, passes in signs.items() if passes]
    if signs["Positive"]:
        found.barred += [name for z in sorted(missing) for name in _of_charge(z)]


def _by_nucleons(found: Filtered, passing: set[int]) -> None:
    """Select by A, which is 0 for particles other than nuclei and neutrons."""
    neutron = Species.NEUTRON.value.geant4
    if not passing:
        raise _InexpressibleError("no particle has such an A")
    missing = set(range(_MOST_A + 1)) - passing
    if _MOST_A in passing and (0 in passing or not {0, 1} & passing):
        found.barred += [f"GenericIon(*,{a},*)" for a in sorted(missing)]
        if 1 in missing and 0 in passing:
            found.barred.append(neutron)
        return
    _require(found, [f"GenericIon(*,{a},*)" for a in sorted(passing)])
    if 1 in passing and 0 not in passing:
        found.named.append(neutron)
        found.barred.append(Species.ANTIPROTON.value.geant4)
    elif 0 in passing and 1 not in passing:
        found.barred.append(neutron)


def scored_name(particle: Particle) -> str:
    """Return TOPAS's name of a particle, for an ion whatever its charge."""
    if particle.species is Species.ION:
        return f"GenericIon({particle.z},{particle.a},*)"
    return particle.kind.geant4
