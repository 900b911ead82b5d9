"""TOPAS: parameters of converted projects, and what its parameters can't say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine_inputs import (
    detector,
    figure,
    output,
    phantom,
    project,
    read_parameters,
    real_project,
    topas_labels,
    turn,
    with_beam,
    zone,
)
from kerma_engines.errors import InvalidInput
from kerma_engines.topas.engine import Topas

TOPAS = Topas()


def text(mapping: dict[str, Any]) -> str:
    return TOPAS.convert(mapping).files["topas.txt"]


def parameters(mapping: dict[str, Any]) -> dict[str, str]:
    return read_parameters(text(mapping))


def refused(mapping: dict[str, Any]) -> set[str]:
    with pytest.raises(InvalidInput) as verdict:
        TOPAS.convert(mapping)
    return {problem.path for problem in verdict.value.problems}


def test_ex6_is_built_of_nested_components() -> None:
    mapping = real_project("ex6")
    written = text(mapping)
    points = np.array([[0, 0, 0], [3, 0, -4.5], [0, 0, -4.5], [0, 0, 5], [5.2, 0, 0], [0, 9, 0]])
    labels = ["G4_WATER", "G4_Pb", "G4_AIR", "G4_AIR", "G4_AIR", "Vacuum"]
    assert list(topas_labels(written, points.astype(float))) == labels
    assert "LayeredMassGeometryWorlds" not in written


def test_bodies_that_cross_are_layered() -> None:
    figures = [
        figure("a", "sphere", (0, 0, 0), radius=2),
        figure("b", "sphere", (2, 0, 0), radius=2),
    ]
    zones = [zone("front", 276, "b"), zone("back", 82, "a-b")]
    written = text(project(figures, zones, figure("w", "box", width=12, height=9, depth=9)))
    points = np.array([[-1.0, 0, 0], [1.0, 0, 0], [3.0, 0, 0]])
    assert list(topas_labels(written, points)) == ["G4_Pb", "G4_WATER", "G4_WATER"]
    assert "LayeredMassGeometryWorlds = 2" in written


def test_the_world_holds_beam_and_detectors() -> None:
    far = detector(position=[0, 40, 0])
    found = parameters(with_beam(position=[0, 0, -70]) | {"detectorManager": {"detectors": [far]}})
    half = [float(found[f"Ge/World/HL{axis}"].split()[0]) for axis in "XYZ"]
    assert half[1] > 41.5
    assert half[2] > 70


def test_zones_that_need_booleans_are_refused() -> None:
    mapping = real_project("ex2")
    assert "zoneManager.zones" in refused(mapping)


def test_a_changed_density_defines_a_material() -> None:
    manager = phantom()["zoneManager"] | {"zones": [zone("z", 276, "f", density=1.032)]}
    found = parameters(phantom(zoneManager=manager))
    name = found["Ge/Body1/Material"]
    assert found[f"Ma/{name}/Components"] == "2 Hydrogen Oxygen"
    assert found[f"Ma/{name}/Density"] == "1.032 g/cm3"
    assert found[f"Ma/{name}/MeanExcitationEnergy"] == "78 eV"


def test_a_black_hole_inside_is_refused() -> None:
    manager = phantom()["zoneManager"] | {"zones": [zone("z", 0, "f")]}
    assert refused(phantom(zoneManager=manager)) == {"zoneManager.zones[0].materialUuid"}


def test_a_black_hole_around_separate_figures_is_refused() -> None:
    figures = [
        figure("a", "sphere", (-2, 0, 0), radius=1),
        figure("b", "sphere", (2, 0, 0), radius=1),
    ]
    zones = [zone("a", 276, "a"), zone("b", 276, "b")]
    mapping = project(figures, zones, figure("w", "box", width=9, height=9, depth=9), 0)
    assert refused(mapping) == {"zoneManager.worldZone.materialUuid"}


@pytest.mark.parametrize("direction", [[0, 0, 1], [0, 0, -1], [-1, 0, 0], [0, -1, 0], [1, 2, -3]])
def test_the_beam_goes_where_the_project_says(direction: list[float]) -> None:
    found = parameters(with_beam(direction=direction, position=[1, 2, 3]))
    angles = [float(found[f"Ge/BeamPosition/Rot{axis}"].split()[0]) for axis in "XYZ"]
    axes = turn(*angles).T  # Geant4 turns the parent's frame
    wanted = np.array(direction) / np.linalg.norm(direction)
    np.testing.assert_allclose(axes[:, 2], wanted, atol=1e-9)
    assert found["Ge/BeamPosition/TransY"] == "2 cm"


def test_source_in_numbers() -> None:
    found = parameters(
        with_beam(
            particle={"id": 25, "a": 12, "z": 6},
            energy=200,
            energyUnit="MeV/nucl",
            energySpread=2,
            sigma={"type": "Flat square", "x": 1, "y": 2},
            numberOfParticles=12345,
        )
    )
    assert found["So/Beam/BeamParticle"] == "GenericIon(6,12)"
    assert found["So/Beam/BeamEnergy"] == "2400 MeV"
    assert found["So/Beam/BeamEnergySpread"] == "1"
    assert found["So/Beam/BeamPositionCutoffShape"] == "Rectangle"
    assert found["So/Beam/BeamPositionCutoffY"] == "2 cm"
    assert found["So/Beam/NumberOfHistoriesInRun"] == "12345"


def test_nuclear_reactions_can_be_left_out() -> None:
    with_them = parameters(phantom())["Ph/Default/Modules"]
    without = parameters(phantom(physic={"enableNuclearReactions": False}))["Ph/Default/Modules"]
    assert "QGSP" in with_them
    assert "QGSP" not in without


class TestScoring:
    def scored(self, *quantities: dict[str, Any], **rules: Any) -> dict[str, Any]:
        tests = [{"keyword": k, "operator": o, "value": v} for k, (o, v) in rules.items()]
        filters = [{"uuid": "f", "name": "f", "rules": tests}] if tests else []
        base = output("o", "Dose") | {"quantities": list(quantities)}
        return phantom(scoringManager={"filters": filters, "outputs": [base]})

    def test_mesh_and_bins(self) -> None:
        found = parameters(phantom(detectorManager={"detectors": [detector(rotation=[0, 90, 0])]}))
        assert [found[f"Ge/Detector1/{axis}Bins"] for axis in "XYZ"] == ["2", "3", "4"]
        assert found["Ge/Detector1/IsParallel"] == "True"
        angles = [float(found[f"Ge/Detector1/Rot{axis}"].split()[0]) for axis in "XYZ"]
        np.testing.assert_allclose(turn(*angles).T, turn(0, 90, 0), atol=1e-9)

    def test_each_quantity_has_its_own_file(self) -> None:
        inputs = TOPAS.convert(self.scored({"keyword": "Dose"}, {"keyword": "Fluence"}))
        assert inputs.options["files"] == {"o": ["o_0.csv", "o_1.csv"]}
        found = read_parameters(inputs.files["topas.txt"])
        assert found["Sc/o_0/Quantity"] == "DoseToMedium"
        assert found["Sc/o_1/Report"] == "2 Mean Standard_Deviation"

    @pytest.mark.parametrize(
        ("rules", "name", "value"),
        [
            ({"Z": ("==", 1), "A": ("==", 1)}, "ParticlesNamed", "1 proton"),
            ({"Z": ("==", 6), "A": ("==", 12)}, "ParticlesNamed", "1 GenericIon(6,12)"),
            ({"GEN": ("==", 0)}, "ParticlesOfGeneration", "Primary"),
            ({"GEN": (">=", 1)}, "ParticlesOfGeneration", "Secondary"),
            ({"Z": ("==", 6)}, "ParticlesOfAtomicNumber", "6"),
            ({"Z": ("!=", 1)}, "ParticlesNotOfAtomicNumber", "1"),
        ],
    )
    def test_filters(self, rules: dict[str, Any], name: str, value: str) -> None:
        found = parameters(self.scored({"keyword": "Fluence", "filter": "f"}, **rules))
        assert found[f"Sc/o_0/OnlyInclude{name}"] == value

    def test_spectra(self) -> None:
        energy = {"diffType": "E", "lowerLimit": 0, "upperLimit": 160, "binsNumber": 640}
        found = parameters(self.scored({"keyword": "Fluence", "modifiers": [energy]}))
        assert found["Sc/o_0/EBins"] == "640"
        assert found["Sc/o_0/EBinMax"] == "160 MeV"
        assert found["Sc/o_0/EBinEnergy"] == "PreStep"

    def test_let_is_of_protons(self) -> None:
        protons = {"Z": ("==", 1), "A": ("==", 1)}
        found = parameters(self.scored({"keyword": "tLET", "filter": "f"}, **protons))
        assert (found["Sc/o_0/Quantity"], found["Sc/o_0/WeightBy"]) == ("ProtonLET", "Track")
        assert refused(self.scored({"keyword": "dLET"})) == {
            "scoringManager.outputs[0].quantities[0].filter"
        }

    @pytest.mark.parametrize(
        ("quantity", "rules", "key"),
        [
            ({"keyword": "AvgEnergy"}, {}, "keyword"),
            ({"keyword": "Dose", "offset": 1}, {}, "offset"),
            ({"keyword": "Dose", "filter": "f"}, {"E": (">", 10)}, "filter"),
            ({"keyword": "Dose", "filter": "f"}, {"Z": (">", 1)}, "filter"),
            ({"keyword": "Dose", "filter": "f"}, {"GEN": ("==", 2)}, "filter"),
            (
                {
                    "keyword": "Fluence",
                    "modifiers": [
                        {
                            "diffType": "E",
                            "lowerLimit": 1,
                            "upperLimit": 9,
                            "binsNumber": 3,
                            "isLog": True,
                        }
                    ],
                },
                {},
                "modifiers",
            ),
        ],
    )
    def test_nothing_is_dropped(
        self, quantity: dict[str, Any], rules: dict[str, Any], key: str
    ) -> None:
        path = f"scoringManager.outputs[0].quantities[0].{key}"
        assert refused(self.scored(quantity, **rules)) == {path}
