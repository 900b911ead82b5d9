"""Find the filters that let neutrons and photons through.

Without Geant4's data sets neutrons do not interact and photons hardly do, so their contributions
(fluence, track lengths, counts of tracks) are too low by factors wherever they pass a filter,
whether or not it names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.geant4.scorers.quantities import AMU
from kerma_engines.geant4.scorers.rules import COMPARE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kerma_engines.geant4.scorers.rules import Choice, Condition

REFUSAL = (
    "neutrons and photons can't be scored without Geant4's data sets, which are not installed: "
    "their fluence would be too low by factors"
)
NOTE = (
    "counts neutrons and photons too, which are too low by factors without Geant4's data sets; "
    "filter for charged particles to leave them out"
)
PARTICLES = frozenset({"neutron", "gamma"})
"""Geant4's names."""

_NEUTRON_MASS = 939.5654  # MeV
_NEUTRON = {"Z": 0, "A": 1, "PDG": 2112, "AMASS": _NEUTRON_MASS, "AMU": _NEUTRON_MASS / AMU}
_PHOTON = {"Z": 0, "A": 0, "PDG": 22, "AMASS": 0.0, "AMU": 0.0}
_SPECIES = {"Z", "A", "PDG"}


def pass_through(rules: Iterable[Condition | Choice]) -> bool:
    """Return whether a neutron or a photon can meet all rules, at any energy."""
    listed = list(rules)
    return any(_meets(kind, listed) for kind in (_NEUTRON, _PHOTON)) and _generation_fits(listed)


def are_asked_for(rules: Iterable[Condition | Choice]) -> bool:
    """Return whether neutrons or photons are named, or only they can meet all rules."""
    listed = list(rules)
    named = {_NEUTRON["PDG"], _PHOTON["PDG"]}
    for key, compare, value in listed:
        values = set(value) if isinstance(value, tuple) else {value}
        if key == "PDG" and compare in {"==", "in"} and values & named:
            return True
    species = [rule for rule in listed if rule[0] in _SPECIES]
    if not any(_meets(kind, species) for kind in (_NEUTRON, _PHOTON)):
        return False
    nuclei = ((z, a) for z in range(1, 93) for a in range(z, 3 * z + 1))
    return not any(
        _meets({"Z": z, "A": a, "PDG": 2212 if a == 1 else 0}, species) for z, a in nuclei
    )


def _meets(kind: Mapping[str, float], rules: Iterable[Condition | Choice]) -> bool:
    return all(COMPARE[compare](kind[key], value) for key, compare, value in rules if key in kind)


def _generation_fits(rules: Iterable[Condition | Choice]) -> bool:
    """Return whether secondaries of a beam of charged particles have a generation that fits."""
    about = [rule for rule in rules if rule[0] == "GEN"]
    limits = {1}
    for _, _, value in about:
        for one in value if isinstance(value, tuple) else (value,):
            limits |= {int(one) - 1, int(one), int(one) + 1}
    return any(
        all(COMPARE[compare](generation, value) for _, compare, value in about)
        for generation in limits
        if generation >= 1
    )
