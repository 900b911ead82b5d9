"""Particle and energy filters of a project as filters of Geant4's scorers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.geant4.gdml_write import number
from kerma_engines.particles import EDITOR_IDS, GEANT4_IDS, Species
from kerma_engines.scoring import RuleKeyword

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kerma_engines.project import Project
    from kerma_engines.scoring import Rule

#: Upper end of an energy filter without one; MeV, above every beam.
_NO_LIMIT = 1e9

#: Particles that transport without data sets follows faithfully, with their charge and mass.
_NUCLEI = {
    "proton": (1, 1),
    "deuteron": (1, 2),
    "triton": (1, 3),
    "He3": (2, 3),
    "alpha": (2, 4),
}
_INCOMPLETE = {"neutron", "gamma"}
_KNOWN = {
    *_NUCLEI,
    "neutron",
    "gamma",
    "e-",
    "e+",
    "mu-",
    "mu+",
    "pi-",
    "pi+",
    "pi0",
    "kaon-",
    "kaon+",
    "anti_proton",
}


class Unsupported(Exception):  # noqa: N818 - becomes a Problem
    """A filter that can't be expressed; the text says why."""


def filter_commands(project: Project, uuid: str, *, full: bool) -> tuple[str, ...]:
    """Commands that follow the quantity they filter. Raises Unsupported."""
    chosen = project.filter(uuid)
    if chosen.particle is not None:
        names = [_species_name(project.particle(chosen.particle).species)]
        energies = (0.0, _NO_LIMIT)
    else:
        names = _particles(chosen.rules, geant4=project.simulator == "geant4")
        energies = _energies(chosen.rules)
    if not full and _INCOMPLETE & set(names):
        raise Unsupported(
            "neutrons and photons can't be scored without Geant4's data sets: their fluence "
            "would be too low by factors"
        )
    low, high = (number(energy) for energy in energies)
    if energies == (0.0, _NO_LIMIT):
        return (f"/score/filter/particle filter {' '.join(names)}",) if names else ()
    if not names:
        return (f"/score/filter/kineticEnergy filter {low} {high} MeV",)
    listed = " ".join(names)
    return (f"/score/filter/particleWithKineticEnergy filter {low} {high} MeV {listed}",)


def _species_name(species: Species) -> str:
    if species.value.geant4 not in _KNOWN:
        raise Unsupported(f"{species.value.label}s can't be selected with Geant4")
    return species.value.geant4


def _particles(rules: Iterable[Rule], *, geant4: bool) -> list[str]:
    """Names that the rules on kind, charge and mass leave; empty when they ask for none."""
    wanted: dict[RuleKeyword, float] = {}
    for rule in rules:
        if rule.keyword is RuleKeyword.E:
            continue
        if rule.keyword not in {RuleKeyword.Z, RuleKeyword.A, RuleKeyword.ID}:
            raise Unsupported(f"rules on {rule.keyword.value} are not yet scored with Geant4")
        if rule.operator != "==" or wanted.get(rule.keyword, rule.value) != rule.value:
            raise Unsupported(f"rules on {rule.keyword.value} other than == are not yet scored")
        wanted[rule.keyword] = rule.value
    if not wanted:
        return []
    if RuleKeyword.ID in wanted:
        species = (GEANT4_IDS if geant4 else EDITOR_IDS).get(int(wanted.pop(RuleKeyword.ID)))
        if species is None or wanted:
            raise Unsupported("a rule on ID must name a known particle and stand alone")
        return [_species_name(species)]
    charge_mass = wanted.get(RuleKeyword.Z), wanted.get(RuleKeyword.A)
    if charge_mass == (0, 1):
        return ["neutron"]
    names = [name for name, known in _NUCLEI.items() if charge_mass == known]
    if not names:
        raise Unsupported("charge and mass numbers must be those of p, d, t, He-3, He-4 or n")
    return names


def _energies(rules: Iterable[Rule]) -> tuple[float, float]:
    low, high = 0.0, _NO_LIMIT
    for rule in rules:
        if rule.keyword is not RuleKeyword.E:
            continue
        if rule.operator in {">", ">="}:
            low = max(low, rule.value)
        elif rule.operator in {"<", "<="}:
            high = min(high, rule.value)
        else:
            raise Unsupported("rules on energy must be limits, not single values")
    if high <= low:
        raise Unsupported("the energy limits leave nothing")
    return low, high
