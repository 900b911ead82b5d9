"""FLUKA: cards of converted projects, and what its input can't express."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from engine_geometry import read_fluka
from engine_inputs import detector, output, phantom, real_project, with_beam, zone
from kerma_engines.errors import InvalidInput
from kerma_engines.fluka.engine import FLUKA

NAMES = {"LEAD": "Pb", "MAT00001": "Pb", "AIR": "air", "WATER": "water", "BLCKHOLE": "nothing"}


def text(mapping: dict[str, Any]) -> str:
    return FLUKA.convert(mapping).files["fl_sim.inp"]


def cards(written: str, name: str) -> list[list[str]]:
    """Return the fields of the cards of a name: six, then the text."""
    found = [line.ljust(80) for line in written.splitlines() if line[:10].strip() == name]
    return [
        [*(line[k : k + 10].strip() for k in range(10, 70, 10)), line[70:].strip()]
        for line in found
    ]


def values(written: str, name: str) -> list[float]:
    (fields,) = cards(written, name)
    return [float(field) if field else 0.0 for field in fields[:6]]


def refused(mapping: dict[str, Any]) -> set[str]:
    with pytest.raises(InvalidInput) as verdict:
        FLUKA.convert(mapping)
    return {problem.path for problem in verdict.value.problems}


class TestEx6:
    """The stored files were made with a world of size 0; everything else must be the same."""

    def both(self) -> tuple[str, str]:
        mapping = real_project("ex6")
        return text(mapping), mapping["input"]["inputFiles"]["flSim.inp"]

    def test_scoring(self) -> None:
        ours, theirs = self.both()
        for name in ("USRBIN", "AUXSCORE"):
            assert cards(ours, name) == cards(theirs, name)

    def test_beam(self) -> None:
        ours, theirs = self.both()
        mine, stored = values(ours, "BEAM"), values(theirs, "BEAM")
        # the project's spread of 0.7 MeV, which the stored card leaves out
        sigma = -mine.pop(1) / (2 * math.sqrt(2 * math.log(2)))
        assert stored.pop(1) == 0
        momentum, total = math.sqrt(70 * (70 + 2 * 938.272)), 70 + 938.272
        assert sigma == pytest.approx(1e-3 * 0.7 * total / momentum, rel=1e-4)
        assert mine == stored
        assert cards(ours, "BEAM")[0][6] == cards(theirs, "BEAM")[0][6] == "PROTON"
        assert values(ours, "BEAMPOS") == values(theirs, "BEAMPOS")

    def test_geometry_and_materials_of_all_zones(self) -> None:
        ours, theirs = self.both()
        mine, stored = read_fluka(ours, NAMES), read_fluka(theirs, NAMES)
        points = np.random.default_rng(1).uniform([-5, -5, -6], [5, 5, 6], (20_000, 3))
        np.testing.assert_array_equal(mine.label(points), stored.label(points))
        assert [name for name, _ in mine.zones] == [name for name, _ in stored.zones]
        assert {k: mine.labels[k] for k in mine.labels if k != "world"} == {
            k: stored.labels[k] for k in stored.labels if k != "world"
        }

    def test_primaries_are_those_of_the_project(self) -> None:
        ours, theirs = self.both()
        assert values(ours, "START")[0] == 100_000
        assert values(theirs, "START")[0] == 6666, "the share of one of 15 tasks"
        assert cards(ours, "DEFAULTS") == cards(theirs, "DEFAULTS")

    def test_what_is_done_otherwise_is_noted(self) -> None:
        notes = FLUKA.convert(real_project("ex6")).options["notes"]
        assert any(note.startswith("beam.sad") for note in notes)

    def test_units_follow_the_project(self) -> None:
        outputs = FLUKA.convert(real_project("ex6")).outputs
        assert [(o.name, o.file) for o in outputs] == [("AlongBeamAxis", "21"), ("SlabYZ", "22")]


class TestBeam:
    @pytest.mark.parametrize(
        ("direction", "cosines", "word"),
        [
            ([0, 0, 1], [0, 0], ""),
            ([0, 0, -1], [0, 0], "NEGATIVE"),
            ([-1, 0, 0], [-1, 0], ""),
            ([0, -3, 0], [0, -1], ""),
            ([-1, 0, -1], [-math.sqrt(0.5), 0], "NEGATIVE"),
        ],
    )
    def test_cosines_keep_their_sign(
        self, direction: list[int], cosines: list[float], word: str
    ) -> None:
        written = text(with_beam(direction=direction))
        assert values(written, "BEAMPOS")[3:5] == pytest.approx(cosines, abs=1e-6)
        assert cards(written, "BEAMPOS")[0][6] == word

    def test_a_wide_beam_along_x_turns_its_axes(self) -> None:
        written = text(with_beam(direction=[-1, 0, 0], sigma={"type": "Gaussian", "x": 1, "y": 2}))
        axes = np.array(values(written, "BEAMAXES")).reshape(2, 3)
        np.testing.assert_allclose(axes[1], [-1, 0, 0], atol=1e-9)
        np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-9)
        assert values(written, "BEAMPOS")[3:5] == [0, 0]

    @pytest.mark.parametrize(
        ("sigma", "fields"),
        [
            ({"type": "Gaussian", "x": 1, "y": 2}, [-2.35482, -4.70964, 1]),
            ({"type": "Flat square", "x": 1, "y": 2}, [2, 4, 1]),
            ({"type": "Flat circular", "x": 1, "y": 2}, [2, 0, -1]),
            ({"type": "Gaussian", "x": 0, "y": 2}, [0, -4.70964, 1]),
            ({"type": "Gaussian", "x": 0, "y": 0}, [0, 0, 1]),
        ],
    )
    def test_shapes(self, sigma: dict[str, Any], fields: list[float]) -> None:
        assert values(text(with_beam(sigma=sigma)), "BEAM")[3:] == pytest.approx(fields, rel=1e-5)

    @pytest.mark.parametrize("shape", ["Gaussian", "Flat square"])
    def test_a_line_is_not_as_wide_as_it_is_long(self, shape: str) -> None:
        sigma = {"type": shape, "x": 1, "y": 0}
        along, across = values(text(with_beam(sigma=sigma)), "BEAM")[3:5]
        assert 0 < across / along < 1e-5

    def test_ions_are_per_nuclear_mass_unit(self) -> None:
        written = text(with_beam(particle={"id": 25, "a": 12, "z": 6}, energy=2400))
        assert values(written, "BEAM")[0] == -0.2
        assert values(written, "HI-PROPE")[:2] == [6, 12]

    def test_electrons_of_old_projects(self) -> None:
        written = text(with_beam(particle={"id": 26, "name": "Electron"}, energy=20))
        assert cards(written, "BEAM")[0][6] == "ELECTRON"
        assert values(written, "BEAM")[0] == -0.02

    def test_helium_is_the_whole_nucleus(self) -> None:
        written = text(with_beam(particle={"id": 24}, energy=100, energyUnit="MeV/nucl"))
        assert values(written, "BEAM")[0] == -0.4
        assert cards(written, "BEAM")[0][6] == "4-HELIUM"

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"sourceType": "file", "sourceFile": {"name": "a", "value": "b"}}, "beam.sourceType"),
            ({"divergence": {"x": 1, "y": 2}}, "beam.divergence"),
            ({"energyUnit": "MeV/nucl", "particle": {"id": 4}}, "beam.energyUnit"),
        ],
    )
    def test_what_the_card_can_not_say_is_refused(self, change: dict[str, Any], path: str) -> None:
        assert refused(with_beam(**change)) == {path}

    def test_physics_that_can_not_be_switched_off_is_refused(self) -> None:
        off = {"enableNuclearReactions": False, "multipleScattering": "no scattering"}
        assert refused(phantom(physic=off)) == {
            "physic.enableNuclearReactions",
            "physic.multipleScattering",
        }


class TestMaterials:
    def lines(self, icru: int, **overrides: Any) -> str:
        manager = phantom()["zoneManager"] | {"zones": [zone("z", icru, "f", **overrides)]}
        return text(phantom(zoneManager=manager))

    def test_density_is_compared_with_nothing_but_what_the_zone_says(self) -> None:
        assert cards(self.lines(82), "MATERIAL") == []
        written = self.lines(82, density=10)
        assert values(written, "MATERIAL")[:3] == [82, 0, 10]
        assert cards(written, "LOW-MAT")[0][6] == "LEAD"

    def test_a_compound_is_made_of_mass_fractions(self) -> None:
        written = self.lines(170)
        fractions: dict[str, float] = {}
        for fields in cards(written, "COMPOUND"):
            for k in (0, 2, 4):
                if fields[k]:
                    fractions[fields[k + 1]] = -float(fields[k])
        assert sum(fractions.values()) == pytest.approx(1, abs=1e-5)
        assert fractions["LEAD"] == pytest.approx(0.751938)
        names = {fields[6] for fields in cards(written, "MATERIAL")}
        assert "ARSENIC" in names, "an element that FLUKA does not define itself"

    @pytest.mark.parametrize("icru", [36, 58, 60, 62, 63])
    def test_elements_of_the_neutron_library(self, icru: int) -> None:
        manager = phantom()["zoneManager"] | {"zones": [zone("z", icru, "f")]}
        materials = [{"uuid": f"icru{k}", "icru": k} for k in (icru, 1000)]
        mapping = phantom(zoneManager=manager, materialManager={"materials": materials})
        assert len(cards(text(mapping), "LOW-MAT")) == 1

    def test_an_ionisation_potential_is_a_property(self) -> None:
        written = self.lines(276, averageIonisationPotential=78)
        assert values_of_mat_prop(written) == [78.0]
        assert [fields[6] for fields in cards(written, "COMPOUND")] == ["MAT00001"]


def values_of_mat_prop(written: str) -> list[float]:
    return [float(fields[2]) for fields in cards(written, "MAT-PROP")]


class TestScoring:
    def test_dose_of_one_kind_of_particle_uses_auxscore(self) -> None:
        scoring = {
            "filters": [{"uuid": "p", "name": "p", "particle": {"id": 2}}],
            "outputs": [output("o", "Dose", filter="p")],
        }
        written = text(phantom(scoringManager=scoring))
        assert cards(written, "AUXSCORE") == [["USRBIN", "PROTON", "", "Dose", "Dose", "", ""]]

    def test_rules_that_name_a_particle_are_understood(self) -> None:
        rules = [{"keyword": "Z", "operator": "==", "value": 2}]
        rules.append({"keyword": "A", "operator": "==", "value": 4})
        scoring = {
            "filters": [{"uuid": "p", "name": "p", "rules": rules}],
            "outputs": [output("o", "Fluence", filter="p")],
        }
        written = text(phantom(scoringManager=scoring))
        assert cards(written, "USRBIN")[0][1] == "4-HELIUM"

    def test_every_detector_has_its_own_name(self) -> None:
        scoring = {"outputs": [output("a", "Dose", "Dose"), output("b", "Dose")]}
        names = [c[6] for c in cards(text(phantom(scoringManager=scoring)), "USRBIN")[::2]]
        assert len(set(names)) == 3
        assert all(len(name) <= 8 for name in names)

    def test_a_displaced_cylinder_keeps_its_axis(self) -> None:
        data = {
            "geometryType": "Cyl",
            "position": [1, 2, 3],
            "parameters": {"radius": 4, "innerRadius": 1, "depth": 2, "zSegments": 5},
        }
        mapping = phantom(detectorManager={"detectors": [detector(**data)]})
        first, second = cards(text(mapping), "USRBIN")
        assert [float(field) for field in first[3:6]] == [4, 2, 4]
        assert [float(field) for field in second[:6]] == [1, 1, 2, 1, 1, 5]

    @pytest.mark.parametrize(
        ("quantity", "key"),
        [
            ({"keyword": "AvgEnergy"}, "keyword"),
            ({"keyword": "Dose", "filter": "g"}, "filter"),
            ({"keyword": "Dose", "rescale": 2}, "rescale"),
            (
                {
                    "keyword": "Fluence",
                    "modifiers": [
                        {"diffType": "E", "lowerLimit": 0, "upperLimit": 1, "binsNumber": 2}
                    ],
                },
                "modifiers",
            ),
        ],
    )
    def test_nothing_is_dropped(self, quantity: dict[str, Any], key: str) -> None:
        rule = {"keyword": "GEN", "operator": "==", "value": 2}
        scoring = {
            "filters": [{"uuid": "g", "name": "g", "rules": [rule]}],
            "outputs": [output("o", "Dose") | {"quantities": [quantity]}],
        }
        path = f"scoringManager.outputs[0].quantities[0].{key}"
        assert refused(phantom(scoringManager=scoring)) == {path}
