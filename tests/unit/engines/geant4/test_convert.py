"""Editor projects become Geant4 input, or are refused with the JSON path and the reason."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.code import MACRO
from kerma_engines.geant4.engine import Geant4
from kerma_engines.physics.material_names import material_density, material_name
from kit.inputs import editor as make

FIGURES = {"a": make.box((4, 4, 4))}
ZONES = [make.zone("water", "a")]


def build(**more: Any) -> dict[str, Any]:
    return make.project(FIGURES, ZONES, **more)


def macro_of(**more: Any) -> list[str]:
    return Geant4().convert(build(**more)).files[MACRO].splitlines()


def refusals(definition: dict[str, Any], *, full: bool = False) -> dict[str, str]:
    engine = Geant4(data={"G4LEDATA": "/data"} if full else {})
    with pytest.raises(InvalidInput) as caught:
        engine.convert(definition)
    return {problem.path: problem.reason for problem in caught.value.problems}


def test_the_demo_project_declares_its_outputs() -> None:
    text = (files("kerma_client") / "data" / "demo-project.json").read_text()
    inputs = Geant4().convert(json.loads(text))
    assert inputs.primaries == 20_000
    assert [output.name for output in inputs.outputs] == [
        "depth_dose",
        "dose_map",
        "proton_fluence",
    ]
    assert inputs.outputs[0].file == inputs.outputs[2].file
    assert inputs.outputs[2].quantities[0].filter_name == "Protons"
    json.dumps(dict(inputs.options))


def test_conversion_passes_the_check_of_user_files() -> None:
    inputs = Geant4().convert(build(sad={"type": "single", "x": 200}))
    again = Geant4().accept_files(inputs.files)
    assert again.primaries == inputs.primaries


@pytest.mark.parametrize(
    ("beam", "lines"),
    [
        ({"energy": 150}, ["/gps/particle proton", "/gps/energy 150 MeV"]),
        (
            {"energy": 150, "energySpread": 1.5},
            ["/gps/ene/type Gauss", "/gps/ene/mono 150 MeV", "/gps/ene/sigma 1.5 MeV"],
        ),
        (
            {"particle": {"id": 25, "a": 12, "z": 6}, "energy": 290, "energyUnit": "MeV/nucl"},
            ["/gps/particle ion", "/gps/ion 6 12 6", "/gps/energy 3480 MeV"],
        ),
        (
            {"particle": {"id": 24}, "energy": 220, "energyUnit": "MeV/nucl", "energySpread": 1},
            ["/gps/particle alpha", "/gps/ene/mono 880 MeV", "/gps/ene/sigma 4 MeV"],
        ),
        (
            {"particle": {"id": 21}, "energy": 300},
            ["/gps/particle deuteron", "/gps/energy 300 MeV"],
        ),
        (
            {"sigma": {"type": "Gaussian", "x": 0.5, "y": 1}},
            ["/gps/pos/type Beam", "/gps/pos/sigma_x 0.5 cm", "/gps/pos/sigma_y 1 cm"],
        ),
        (
            {"sigma": {"type": "Flat square", "x": 2, "y": 3}},
            ["/gps/pos/shape Rectangle", "/gps/pos/halfx 2 cm", "/gps/pos/halfy 3 cm"],
        ),
        (
            {"sigma": {"type": "Flat circular", "x": 2, "y": 3}},
            ["/gps/pos/shape Circle", "/gps/pos/radius 3 cm"],
        ),
        ({"position": [1, 2, 3]}, ["/gps/pos/type Point", "/gps/pos/centre 1 2 3 cm"]),
        (
            {"direction": [0, 0, -2]},
            ["/gps/direction 0 0 -1", "/gps/pos/rot1 -1 0 0", "/gps/pos/rot2 0 1 0"],
        ),
        ({"sad": {"type": "double", "x": 200, "y": 250}}, ["/kerma/divergence 200 250 cm"]),
    ],
)
def test_beams(beam: dict[str, Any], lines: list[str]) -> None:
    macro = macro_of(**beam)
    assert [line for line in lines if line not in macro] == []


@pytest.mark.parametrize(
    ("beam", "path", "reason"),
    [
        ({"particle": {"id": 1}}, "beam.particle", "neutrons do not interact"),
        ({"particle": {"id": 26}}, "beam.particle", "data sets"),
        ({"particle": {"id": 9}}, "beam.particle", "can't be simulated"),
        ({"sourceType": "file"}, "beam.sourceFile.value", "no spots"),
        ({"divergence": {"x": 5, "y": 0}}, "beam.divergence", "sad"),
        ({"sad": {"type": "single", "x": 0}}, "beam.sad.x", "zero"),
        ({"energySpread": 20}, "beam.energySpread", "5th"),
        ({"energySpread": 1, "energyLowCutoff": 69}, "beam.energyLowCutoff", "standard deviations"),
        (
            {"energySpread": 1, "energyHighCutoff": 71},
            "beam.energyHighCutoff",
            "standard deviations",
        ),
    ],
)
def test_beams_that_cannot_be_modelled(beam: dict[str, Any], path: str, reason: str) -> None:
    assert reason in refusals(build(**beam))[path]


def test_data_sets_admit_the_other_particles() -> None:
    inputs = Geant4(data={"G4LEDATA": "/data"}).convert(build(particle={"id": 1}))
    assert "/gps/particle neutron" in inputs.files[MACRO]


def test_nuclear_reactions_can_be_switched_off() -> None:
    definition = build() | {"physic": {"enableNuclearReactions": False}}
    assert "/kerma/nuclearReactions off" in Geant4().convert(definition).files[MACRO]


@pytest.mark.parametrize(
    ("physics", "path"),
    [
        ({"energyModelStraggling": "no straggling"}, "physic.energyModelStraggling"),
        ({"multipleScattering": "no scattering"}, "physic.multipleScattering"),
    ],
)
def test_physics_that_cannot_be_switched_off(physics: dict[str, str], path: str) -> None:
    assert path in refusals(build() | {"physic": physics})


def rules(*triples: tuple[str, str, float]) -> list[dict[str, Any]]:
    listed = [
        dict(zip(("keyword", "operator", "value"), triple, strict=True)) for triple in triples
    ]
    return [{"uuid": "f", "name": "F", "rules": listed}]


def with_filter(filters: list[dict[str, Any]]) -> dict[str, Any]:
    return build(filters=filters, quantities=[{"keyword": "Fluence", "filter": "f"}])


@pytest.mark.parametrize(
    ("filters", "line"),
    [
        (rules(("Z", "==", 1), ("A", "==", 1)), "particle filter proton"),
        (rules(("Z", "==", 2), ("A", "==", 4)), "particle filter alpha"),
        (rules(("ID", "==", 2)), "particle filter proton"),
        ([{"uuid": "f", "name": "F", "particle": {"id": 21}}], "particle filter deuteron"),
        (rules(("E", ">", 10), ("E", "<", 20)), "kineticEnergy filter 10 20 MeV"),
        (
            rules(("Z", "==", 1), ("A", "==", 1), ("E", "<", 20)),
            "particleWithKineticEnergy filter 0 20 MeV proton",
        ),
    ],
)
def test_filters(filters: list[dict[str, Any]], line: str) -> None:
    assert f"/score/filter/{line}" in Geant4().convert(with_filter(filters)).files[MACRO]


@pytest.mark.parametrize(
    ("filters", "line"),
    [
        (rules(("Z", "==", 1)), "Z==1"),
        (rules(("Z", ">", 1), ("A", "<=", 12)), "Z>1 A<=12"),
        (rules(("Z", "==", 6), ("A", "==", 12)), "Z==6 A==12"),
        (rules(("GEN", ">", 0), ("ID", "==", 2)), "GEN>0 Z==1 A==1"),
        (rules(("GEN", "==", 2)), "GEN==2"),
        ([{"uuid": "f", "name": "F", "particle": {"id": 25, "a": 12, "z": 6}}], "Z==6 A==12"),
        (rules(("ENUC", "<", 10)), "ENUC<10"),
        (rules(("EAMU", ">=", 0.5), ("AMU", "<", 4.5)), "EAMU>=0.5 AMU<4.5"),
    ],
)
def test_filters_that_geant4_lacks(filters: list[dict[str, Any]], line: str) -> None:
    assert f"/kerma/filter {line}\n" in Geant4().convert(with_filter(filters)).files[MACRO]


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        (rules(("Z", "<", 1)), "too low by factors"),
        (rules(("NPRIM", "==", 1)), "NPRIM"),
        (rules(("ID", "!=", 2)), "must say =="),
        (rules(("Z", "==", 0), ("A", "==", 1)), "too low by factors"),
        ([{"uuid": "f", "name": "F", "particle": {"id": 1}}], "too low by factors"),
        (rules(("E", ">", 20), ("E", "<", 10)), "leave nothing"),
        (rules(("E", "==", 20)), "a limit"),
        (rules(("AMASS", "==", 938.3)), "a limit"),
    ],
)
def test_filters_that_cannot_be_scored(filters: list[dict[str, Any]], reason: str) -> None:
    path = "scoringManager.outputs[0].quantities[0].filter"
    assert reason in refusals(with_filter(filters))[path]


@pytest.mark.parametrize(
    ("quantity", "key"),
    [
        ({"keyword": "Alanine"}, "keyword"),
        ({"keyword": "EqvDose"}, "keyword"),
        ({"keyword": "NEqvDose"}, "keyword"),
        ({"keyword": "NKERMA"}, "keyword"),
        ({"keyword": "1MeVNEq"}, "keyword"),
        ({"keyword": "Rho", "filter": "f"}, "filter"),
        (
            {
                "keyword": "ZONE",
                "modifiers": [{"diffType": "E", "lowerLimit": 0, "upperLimit": 1, "binsNumber": 2}],
            },
            "modifiers",
        ),
        ({"keyword": "Dose", "offset": 1}, "offset"),
        ({"keyword": "Dose", "primaries": 5}, "primaries"),
        ({"keyword": "Dose", "materialUuid": "water"}, "materialUuid"),
        ({"keyword": "Dose", "medium": "AIR"}, "medium"),
    ],
)
def test_quantities_that_are_not_scored(quantity: dict[str, Any], key: str) -> None:
    assert f"scoringManager.outputs[0].quantities[0].{key}" in refusals(
        build(quantities=[quantity], filters=rules(("Z", "==", 1)))
    )


@pytest.mark.parametrize("keyword", ["MATERIAL", "ZONE", "Rho", "DoseEqv"])
@pytest.mark.parametrize(
    "data", [{"geometryType": "All"}, {"geometryType": "Zone", "parameters": {"zoneUuid": "z0"}}]
)
def test_what_needs_a_mesh(keyword: str, data: dict[str, Any]) -> None:
    found = refusals(build(detectors=[data], quantities=[{"keyword": keyword}]))
    assert "scoringManager.outputs[0].quantities[0].keyword" in found


def test_maps_are_not_noted_as_slow() -> None:
    quantities = [{"keyword": "MATERIAL"}, {"keyword": "ZONE"}, {"keyword": "Rho"}]
    assert Geant4().convert(build(quantities=quantities)).options["notes"] == []


@pytest.mark.parametrize(
    ("bins", "quantity", "path"),
    [
        ((1000, 1000, 21), {"keyword": "Dose"}, "detectorManager.detectors[0].geometryData"),
        ((1000, 1000, 6), {"keyword": "tLET"}, "scoringManager.outputs[0].quantities[0]"),
        (
            (1000, 10, 6),
            {
                "keyword": "Fluence",
                "modifiers": [
                    {"diffType": "E", "lowerLimit": 0, "upperLimit": 9, "binsNumber": 100}
                ],
            },
            "scoringManager.outputs[0].quantities[0]",
        ),
    ],
)
def test_more_bins_than_memory_are_refused(
    bins: tuple[int, int, int], quantity: dict[str, Any], path: str
) -> None:
    found = refusals(build(detectors=[make.mesh((1, 1, 1), bins)], quantities=[quantity]))
    assert "bins, more than" in found[path]


def differential(keyword: str, *axes: str) -> list[dict[str, Any]]:
    limits = {"lowerLimit": 0, "upperLimit": 9, "binsNumber": 3}
    return [{"keyword": keyword, "modifiers": [{"diffType": axis, **limits} for axis in axes]}]


def test_quantities_scored_in_python_are_noted() -> None:
    quantities = [
        {"keyword": "Dose"},
        {"keyword": "Fluence", "filter": "f"},
        {"keyword": "tLET"},
        {"keyword": "tLET", "rescale": 2},  # the same scorer
    ]
    slow = build(quantities=quantities, filters=rules(("GEN", "==", 0)))
    (note,) = Geant4().convert(slow).options["notes"]
    assert "2 of 3 quantities" in note
    assert Geant4().convert(build()).options["notes"] == []


@pytest.mark.parametrize("axes", [("TL",), ("E", "TL")])
def test_spectra_that_are_not_scored(axes: tuple[str, ...]) -> None:
    path = f"scoringManager.outputs[0].quantities[0].modifiers[{len(axes) - 1}].diffType"
    assert path in refusals(build(quantities=differential("Fluence", *axes)))


@pytest.mark.parametrize("keyword", ["Fluence", "Dose"])
def test_spectra_per_volume_need_a_mesh(keyword: str) -> None:
    zone = {"geometryType": "Zone", "parameters": {"zoneUuid": "z0"}}
    found = refusals(build(detectors=[zone], quantities=differential(keyword, "E")))
    assert "needs a mesh" in found["scoringManager.outputs[0].quantities[0].modifiers"]
    assert (
        "/kerma/quantity energy"
        in (
            Geant4().convert(build(detectors=[zone], quantities=differential("Energy", "E")))
        ).files[MACRO]
    )


def test_dose_over_everything_has_no_meaning() -> None:
    found = refusals(build(detectors=[{"geometryType": "All"}], quantities=[{"keyword": "Dose"}]))
    assert "Energy instead" in found["scoringManager.outputs[0].quantities[0].keyword"]


def test_every_problem_is_told_at_once() -> None:
    zones = [make.zone("water", "a", materialPropertiesOverrides={"customStoppingPower": True})]
    definition = make.project(
        FIGURES, zones, particle={"id": 1}, quantities=[{"keyword": "Alanine"}]
    )
    definition["materialManager"]["materials"][0]["icru"] = 172
    definition["specialComponentsManager"] = {"CTCube": {"name": "x"}}
    assert set(refusals(definition)) == {
        "beam.particle",
        "zoneManager.zones[0].materialUuid",
        "zoneManager.zones[0].materialPropertiesOverrides.customStoppingPower",
        "scoringManager.outputs[0].quantities[0].keyword",
        "specialComponentsManager.CTCube",
    }


@pytest.mark.parametrize(
    ("icru", "name", "density"),
    [
        (1, "G4_H", 8.3748e-05),
        (82, "G4_Pb", 11.35),
        (104, "G4_AIR", 0.00120479),
        (120, "G4_BONE_CORTICAL_ICRP", 1.92),
        (170, "G4_GLASS_LEAD", 6.22),
        (223, "G4_PLEXIGLASS", 1.19),
        (276, "G4_WATER", 1.0),
        (278, "G4_XYLENE", 0.87),
        (906, "G4_GRAPHITE", 2.21),
    ],
)
def test_material_numbers(icru: int, name: str, density: float) -> None:
    assert material_name(icru) == name
    assert material_density(icru) == density


@pytest.mark.parametrize("icru", [172, 279, 905, 999, 1001])
def test_unknown_material_numbers(icru: int) -> None:
    assert material_name(icru) is None
