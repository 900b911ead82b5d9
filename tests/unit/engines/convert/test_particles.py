"""Particles by the numbers of the editor and by PDG codes, for every engine."""

from __future__ import annotations

from typing import Any

import pytest

from engine_inputs import figure, project, zone
from kerma_engines.catalogue.registry import ENGINE_NAMES, engine
from kerma_engines.errors import InvalidInput
from kerma_engines.physics.particles import ParticleRef, Species, resolve_particle

ENGINES = sorted(ENGINE_NAMES)
SAME = [
    ({"pdg": 2212}, {"id": 2}),
    ({"id": 2212}, {"id": 2}),
    ({"id": 2, "pdg": 2212}, {"id": 2}),
    ({"pdg": 1000010010}, {"id": 2}),
    ({"pdg": 1000010020}, {"id": 21}),
    ({"id": 1000020040, "name": "alpha"}, {"id": 24}),
    ({"pdg": 1000060120}, {"id": 25, "a": 12, "z": 6}),
    ({"id": 25, "a": 12, "z": 6, "pdg": 1000060120}, {"id": 25, "a": 12, "z": 6}),
]
WRONG = [
    ({"pdg": 4}, "beam.particle.pdg", "is no known particle: 4"),
    ({"id": 4711}, "beam.particle.id", "is no known particle: 4711"),
    ({"id": 99}, "beam.particle.id", "is no known particle: 99"),
    ({"pdg": 0}, "beam.particle.pdg", "is no known particle: 0"),
    ({"pdg": 1000060121}, "beam.particle.pdg", "is no known particle: 1000060121"),
    ({"pdg": 1010020040}, "beam.particle.pdg", "is no known particle: 1010020040"),
    ({"pdg": 1000070060}, "beam.particle.pdg", "is no known particle: 1000070060"),
    ({"id": 1, "pdg": 2212}, "beam.particle.pdg", "is another particle than the id 1"),
    ({"pdg": "2212"}, "beam.particle.pdg", "must be a whole number"),
    ({"name": "proton"}, "beam.particle", "needs an id or a pdg code"),
]


def build(particle: dict[str, Any]) -> dict[str, Any]:
    figures = [figure("f", "box", width=4, height=4, depth=4)]
    built = project(figures, [zone("z", 276, "f")], figure("w", "box", width=9, height=9, depth=9))
    beam = {"particle": particle, "energy": 100, "energyUnit": "MeV/nucl", "energySpread": 0}
    built["scoringManager"]["filters"] = [{"uuid": "u", "name": "F", "particle": particle}]
    built["scoringManager"]["outputs"][0]["quantities"][0]["filter"] = "u"
    return {**built, "beam": {**built["beam"], **beam}}


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("by_code", "by_number"), SAME)
def test_both_ways_give_the_same_input(
    name: str, by_code: dict[str, Any], by_number: dict[str, Any]
) -> None:
    found, expected = (engine(name).convert(build(of)) for of in (by_code, by_number))
    assert found.files == expected.files


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("particle", "path", "reason"), WRONG)
def test_unknown_particles_are_refused_with_their_place(
    name: str, particle: dict[str, Any], path: str, reason: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        engine(name).convert(build(particle))
    assert (path, reason) in [(problem.path, problem.reason) for problem in refused.value.problems]


def test_numbers_of_the_geant4_mode_are_its_own() -> None:
    def species(geant4: bool, **ref: int) -> Species:
        return resolve_particle(ParticleRef(**ref), geant4=geant4).species

    assert species(True, id=3) is Species.PHOTON
    assert species(False, id=3) is Species.PION_MINUS
    # small numbers are the editor's where they stand as id, PDG codes where they stand as pdg
    assert species(False, id=22) is Species.TRITON
    assert species(False, pdg=22) is Species.PHOTON
    assert species(False, id=-11) is Species.POSITRON
    assert species(True, pdg=11) is Species.ELECTRON
    assert species(False, pdg=1000000010) is species(False, pdg=2112) is Species.NEUTRON
