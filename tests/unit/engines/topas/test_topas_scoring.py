"""TOPAS: scorers, filters and detectors of converted projects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine_inputs import (
    detector,
    editor_project,
    figure,
    output,
    phantom,
    project,
    turn,
    zone,
)
from kerma_engines.errors import InvalidInput
from kerma_engines.topas.engine import TOPAS
from kerma_engines.topas.read.pages import files_of
from topas_parameters import bins, checked

QUANTITY = "scoringManager.outputs[0].quantities[0]"
ENERGY = {"diffType": "E", "lowerLimit": 0, "upperLimit": 160, "binsNumber": 640}
Rules = list[tuple[str, str, float]]
PROTONS: Rules = [("Z", "==", 1), ("A", "==", 1)]


def parameters(mapping: dict[str, Any]) -> dict[str, str]:
    found = checked(TOPAS.convert(mapping).files["topas.txt"])
    return {name: parameter.value for name, parameter in found.items()}


def refused(mapping: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidInput) as verdict:
        TOPAS.convert(mapping)
    return {problem.path: problem.reason for problem in verdict.value.problems}


def scored(
    *quantities: dict[str, Any], rules: Rules | None = None, **changes: Any
) -> dict[str, Any]:
    tests = [{"keyword": k, "operator": o, "value": v} for k, o, v in rules or ()]
    filters = [{"uuid": "f", "name": "f", "rules": tests}] if tests else []
    base = output("o", "Dose") | {"quantities": list(quantities)}
    return phantom(scoringManager={"filters": filters, "outputs": [base]}, **changes)


def filtered(rules: Rules) -> dict[str, str]:
    """Return filters and energy bins of a fluence with those rules."""
    found = parameters(scored({"keyword": "Fluence", "filter": "f"}, rules=rules))
    kept = {name.removeprefix("Sc/o_0/"): value for name, value in found.items()}
    return {
        name.removeprefix("OnlyIncludeParticles"): value
        for name, value in kept.items()
        if name.startswith(("OnlyInclude", "EBin"))
    }


@pytest.mark.parametrize("name", ["ex1", "ex2", "ex6"])
def test_real_projects_have_the_bins_of_their_detectors(name: str) -> None:
    mapping = editor_project(name)
    inputs = TOPAS.convert(mapping)
    found = checked(inputs.files["topas.txt"])
    files = {found[key].value: key.split("/")[1] for key in found if key.endswith("/OutputFile")}
    detectors = {d["uuid"]: d["geometryData"] for d in mapping["detectorManager"]["detectors"]}
    listed: list[str] = []
    for asked, mapped in zip(mapping["scoringManager"]["outputs"], inputs.outputs, strict=True):
        sizes = detectors[asked["detectorUuid"]]["parameters"]
        mesh = [count for key, count in sizes.items() if key.endswith("Segments")]
        entries = inputs.options["files"][asked["uuid"]]
        assert mapped.file == entries[0]["file"]
        for quantity, entry in zip(asked["quantities"], entries, strict=True):
            axes = mesh + [m["binsNumber"] for m in quantity["modifiers"]]
            for file in files_of([entry]):
                assert bins(found, files[file.removesuffix(".csv")]) == np.prod(axes)
                listed.append(file)
    assert sorted(listed) == sorted(f"{file}.csv" for file in files)


def test_ex1_averages_take_two_scorers() -> None:
    inputs = TOPAS.convert(editor_project("ex1"))
    found = checked(inputs.files["topas.txt"])
    for keyword, (above, below, how) in {
        "AvgEnergy": ("EnergyFluence", "Fluence", "over"),
        "dLET": ("ProtonLET", "EnergyDeposit", "weighted_by"),
        "tLET": ("ProtonLET", "Fluence", "weighted_by"),
    }.items():
        asked = [
            (entry, quantity)
            for mapped in inputs.outputs
            for entry, quantity in zip(
                inputs.options["files"][mapped.id], mapped.quantities, strict=True
            )
            if quantity.keyword == keyword
        ]
        assert len(asked) == (6 if keyword == "AvgEnergy" else 2)
        for entry, _ in asked:
            first, second = (file.removesuffix(".csv") for file in (entry["file"], entry[how]))
            assert found[f"Sc/{first}/Quantity"].value == above
            assert found[f"Sc/{second}/Quantity"].value == below
            assert found[f"Sc/{first}/Report"].value == "1 Sum"
            tests = [
                {k.split("/")[2]: v for k, v in found.items() if k.startswith(f"Sc/{name}/Only")}
                for name in (first, second)
            ]
            assert tests[0] == tests[1] != {}


def test_ex5_is_refused_for_spots_and_the_let_of_all_particles() -> None:
    problems = refused(editor_project("ex5"))
    outputs = "scoringManager.outputs[3]"
    assert f"{outputs}.quantities[0].filter" in problems
    assert f"{outputs}.quantities[3].filter" in problems
    assert not {path for path in problems if "[1]" in path or "[2].q" in path}


def test_mesh_and_bins() -> None:
    found = parameters(phantom(detectorManager={"detectors": [detector(rotation=[0, 90, 0])]}))
    assert [found[f"Ge/Detector1/{axis}Bins"] for axis in "XYZ"] == ["2", "3", "4"]
    assert found["Ge/Detector1/IsParallel"] == "True"
    angles = [float(found[f"Ge/Detector1/Rot{axis}"].split()[0]) for axis in "XYZ"]
    np.testing.assert_allclose(turn(*angles).T, turn(0, 90, 0), atol=1e-9)


def test_each_quantity_has_its_own_file() -> None:
    inputs = TOPAS.convert(scored({"keyword": "Dose"}, {"keyword": "Fluence"}))
    assert inputs.options["files"] == {"o": [{"file": "o_0.csv"}, {"file": "o_1.csv"}]}
    found = checked(inputs.files["topas.txt"])
    assert found["Sc/o_0/Quantity"].value == "DoseToMedium"
    assert found["Sc/o_1/Report"].value == "2 Mean Standard_Deviation"


def test_names_that_differ_in_dots_and_case_do_not_meet() -> None:
    outputs = [output(name, "Dose", "AvgEnergy") for name in ("a.b", "a_b", "c", "a_b_1_over")]
    mapping = phantom(scoringManager={"filters": [], "outputs": outputs})
    files = TOPAS.convert(mapping).options["files"]
    checked(TOPAS.convert(mapping).files["topas.txt"])
    names = [name.lower() for entries in files.values() for name in files_of(entries)]
    assert len(set(names)) == 12


class TestFilters:
    @pytest.mark.parametrize(
        ("rules", "expected"),
        [
            (PROTONS, {"Named": "1 proton"}),
            ([("Z", "==", 6), ("A", "==", 12)], {"Named": "1 GenericIon(6,12,*)"}),
            ([("GEN", "==", 0)], {"OfGeneration": "Primary"}),
            ([("GEN", ">=", 1)], {"OfGeneration": "Secondary"}),
            ([("ID", "==", 1)], {"Named": "1 neutron"}),
            ([("ID", "!=", 2)], {"NotNamed": "1 proton"}),
            ([("Z", "==", 6)], {"Named": "1 GenericIon(6,*,*)"}),
            ([("Z", "==", 0)], {"Charged": "1 Neutral"}),
            ([("Z", "!=", 0)], {"Charged": "2 Negative Positive"}),
            ([("Z", ">=", 1)], {"Charged": "1 Positive"}),
            (
                [("Z", "==", 1)],
                {
                    "Named": "5 GenericIon(1,*,*) pi+ kaon+ mu+ e+",
                    "NotNamed": "1 anti_proton",
                },
            ),
            (
                [("Z", ">", 1)],
                {"Charged": "1 Positive", "NotNamed": "5 GenericIon(1,*,*) pi+ kaon+ mu+ e+"},
            ),
            ([("Z", ">", 1), ("Z", "<=", 3)], {"Named": "2 GenericIon(2,*,*) GenericIon(3,*,*)"}),
            ([("Z", "<", 2)], {"Named": "2 GenericIon(0,*,*) GenericIon(1,*,*)"}),
            ([("Z", "!=", 6)], {"NotNamed": "1 GenericIon(6,*,*)"}),
            ([("A", "==", 12)], {"Named": "1 GenericIon(*,12,*)"}),
            (
                [("A", "==", 1)],
                {"Named": "2 GenericIon(*,1,*) neutron", "NotNamed": "1 anti_proton"},
            ),
            ([("A", "<=", 1)], {"Named": "2 GenericIon(*,0,*) GenericIon(*,1,*)"}),
            ([("A", "!=", 1)], {"NotNamed": "2 GenericIon(*,1,*) neutron"}),
            (
                [("A", ">", 2)],
                {"NotNamed": "3 GenericIon(*,0,*) GenericIon(*,1,*) GenericIon(*,2,*)"},
            ),
            (
                [("Z", "==", 6), ("A", ">", 11), ("GEN", ">", 0)],
                {
                    "OfGeneration": "Secondary",
                    "Named": "1 GenericIon(6,*,*)",
                    "NotNamed": "12 " + " ".join(f"GenericIon(*,{a},*)" for a in range(12)),
                },
            ),
        ],
    )
    def test_kinds_of_particles(self, rules: Rules, expected: dict[str, str]) -> None:
        assert filtered(rules) == expected

    @pytest.mark.parametrize(
        ("rules", "low", "high"),
        [
            ([("E", ">=", 10)], 10, 1e9),
            ([("E", "<", 10)], 0, 10),
            ([("E", ">", 5), ("E", "<=", 100)], 5, 100),
            ([*PROTONS, ("ENUC", ">=", 10)], 10, 1e9),
            ([("Z", "==", 6), ("A", "==", 12), ("ENUC", "<", 10)], 0, 120),
        ],
    )
    def test_energy_is_the_only_bin(self, rules: Rules, low: float, high: float) -> None:
        found = filtered(rules)
        assert (found["EBins"], found["EBinEnergy"]) == ("1", "PreStep")
        ends = [found[f"EBin{end}"].split() for end in ("Min", "Max")]
        assert [unit for _, unit in ends] == ["MeV", "MeV"]
        np.testing.assert_allclose([float(end) for end, _ in ends], [low, high], rtol=1e-8)

    def test_an_excluded_energy_is_outside_of_the_bin(self) -> None:
        assert float(filtered([("E", ">", 5)])["EBinMin"].split()[0]) > 5
        assert float(filtered([("E", "<=", 5)])["EBinMax"].split()[0]) > 5

    @pytest.mark.parametrize(
        ("rules", "reason"),
        [
            ([("GEN", "==", 2)], "primaries"),
            ([("NPRIM", "==", 1)], "numbers of primaries"),
            ([("AMASS", ">", 900)], "not masses"),
            ([("AMU", "<", 2)], "not masses"),
            ([("EAMU", "<", 2)], "not masses"),
            ([("E", "==", 10)], "ranges of energy"),
            ([("ENUC", ">", 10)], "one nuclide"),
            ([("E", ">", 10), ("E", "<", 10)], "no kinetic energy"),
            ([("ID", ">", 3)], "numbers of particles"),
            ([("ID", "==", 25)], "numbers of particles"),
            ([("Z", "==", 1), ("Z", "==", 2)], "no particle has such a Z"),
            ([("A", "==", 1.5)], "no particle has such an A"),
            ([("Z", "<", 3), ("Z", "!=", 1)], "neutral or negative"),
            ([("Z", "<", 3), ("A", "<", 5)], "one list"),
            ([*PROTONS, ("Z", "==", 1)], ""),
        ],
    )
    def test_rules_that_topas_cannot_test(self, rules: Rules, reason: str) -> None:
        found = refused(scored({"keyword": "Dose", "filter": "f"}, rules=rules))
        assert list(found) == [f"{QUANTITY}.filter"]
        assert reason in found[f"{QUANTITY}.filter"]

    def test_a_filter_goes_to_both_scorers_of_an_average(self) -> None:
        rules: Rules = [("Z", "==", 6), ("E", ">", 10)]
        found = parameters(scored({"keyword": "AvgEnergy", "filter": "f"}, rules=rules))
        for name in ("o_0", "o_0_over"):
            assert found[f"Sc/{name}/OnlyIncludeParticlesNamed"] == "1 GenericIon(6,*,*)"
            assert found[f"Sc/{name}/EBins"] == "1"


class TestQuantities:
    def test_spectra(self) -> None:
        found = parameters(scored({"keyword": "Fluence", "modifiers": [ENERGY]}))
        assert found["Sc/o_0/EBins"] == "640"
        assert found["Sc/o_0/EBinMax"] == "160 MeV"
        assert found["Sc/o_0/EBinEnergy"] == "PreStep"

    def test_energies_per_nucleon_of_protons_are_energies(self) -> None:
        axis = ENERGY | {"diffType": "ENUC"}
        quantity = {"keyword": "Fluence", "modifiers": [axis], "filter": "f"}
        assert parameters(scored(quantity, rules=PROTONS))["Sc/o_0/EBins"] == "640"
        carbon: Rules = [("Z", "==", 6), ("A", "==", 12)]
        assert list(refused(scored(quantity, rules=carbon))) == [f"{QUANTITY}.modifiers"]

    def test_let_is_of_protons(self) -> None:
        found = parameters(scored({"keyword": "tLET", "filter": "f"}, rules=PROTONS))
        assert (found["Sc/o_0/Quantity"], found["Sc/o_0/WeightBy"]) == ("ProtonLET", "Track")
        assert "Sc/o_0_over/WeightBy" not in found
        assert list(refused(scored({"keyword": "dLET"}))) == [f"{QUANTITY}.filter"]

    @pytest.mark.parametrize(
        ("quantity", "rules", "key"),
        [
            ({"keyword": "DoseEqv"}, [], "keyword"),
            ({"keyword": "AvgBeta"}, [], "keyword"),
            ({"keyword": "Dose", "offset": 1}, [], "offset"),
            ({"keyword": "Dose", "medium": "WATER"}, [], "medium"),
            ({"keyword": "tLET", "filter": "f", "modifiers": [ENERGY]}, PROTONS, "modifiers"),
            ({"keyword": "tLET", "filter": "f"}, [*PROTONS, ("E", ">", 9)], "filter"),
            (
                {"keyword": "Fluence", "filter": "f", "modifiers": [ENERGY]},
                [("E", ">", 9)],
                "filter",
            ),
            (
                {"keyword": "Fluence", "modifiers": [ENERGY | {"lowerLimit": 1, "isLog": True}]},
                [],
                "modifiers",
            ),
            ({"keyword": "Fluence", "modifiers": [ENERGY | {"diffType": "DEDX"}]}, [], "modifiers"),
            ({"keyword": "Fluence", "modifiers": [ENERGY, ENERGY]}, [], "modifiers"),
        ],
    )
    def test_nothing_is_dropped(self, quantity: dict[str, Any], rules: Rules, key: str) -> None:
        assert list(refused(scored(quantity, rules=rules))) == [f"{QUANTITY}.{key}"]


class TestDetectors:
    FIGURES = (
        figure("a", "box", width=4, height=4, depth=4),
        figure("b", "sphere", radius=1),
        figure("c", "box", (3.5, 0, 0), width=1, height=1, depth=1),
        figure("d", "box", (-3.5, 0, 0), width=1, height=1, depth=1),
    )
    WORLD = figure("w", "box", width=10, height=10, depth=10)

    def on(self, data: dict[str, Any], zones: list[dict[str, Any]], *asked: str) -> dict[str, Any]:
        known = {"uuid": "mesh", "name": "d", "geometryData": data}
        return project(
            list(self.FIGURES),
            zones,
            self.WORLD,
            276,
            detectorManager={"detectors": [known]},
            scoringManager={"filters": [], "outputs": [output("o", *asked)]},
        )

    def zone_of(self, uuid: str) -> dict[str, Any]:
        return {"geometryType": "Zone", "parameters": {"zoneUuid": uuid}}

    @pytest.mark.parametrize(
        ("uuid", "component"), [("shell", "Body1"), ("core", "Body2"), ("world", "Surroundings")]
    )
    def test_a_zone_is_a_component(self, uuid: str, component: str) -> None:
        zones = [zone("shell", 82, "a-b"), zone("core", 223, "b"), zone("aside", 13, "c")]
        found = parameters(self.on(self.zone_of(uuid), zones, "Dose", "Fluence"))
        assert found["Sc/o_0/Component"] == component
        assert "Ge/Detector1/Type" not in found

    @pytest.mark.parametrize("uuid", ["both", "inner", "outer"])
    def test_zones_that_are_no_component(self, uuid: str) -> None:
        zones = [zone("inner", 82, "b"), zone("outer", 82, "a-b"), zone("both", 13, "c", "d")]
        found = refused(self.on(self.zone_of(uuid), zones, "Dose"))
        path = "detectorManager.detectors[0].geometryData.parameters.zoneUuid"
        assert list(found) == [path]

    def test_layers_score_where_nothing_covers_them(self) -> None:
        figures = [
            figure("a", "sphere", radius=2),
            figure("b", "sphere", (2, 0, 0), radius=2),
        ]
        zones = [zone("front", 13, "b"), zone("back", 82, "a-b")]
        mapping = self.on(self.zone_of("front"), zones, "Dose")
        mapping["figureManager"] = {"figures": figures}
        found = parameters(mapping)
        assert found["Sc/o_0/Component"] == "Body2"
        assert found["Ge/Body2/IsParallel"] == "True"
        mapping["detectorManager"]["detectors"][0]["geometryData"] = self.zone_of("back")
        assert len(refused(mapping)) == 1

    def test_everywhere_is_a_component_as_large_as_the_world(self) -> None:
        zones = [zone("shell", 82, "a")]
        everywhere = {"geometryType": "All"}
        found = parameters(self.on(everywhere, zones, "Energy", "AvgEnergy"))
        assert found["Sc/o_0/Component"] == "Detector1"
        assert (found["Ge/Detector1/HLX"], found["Ge/Detector1/IsParallel"]) == ("5 cm", "True")
        assert "Ge/Detector1/Material" not in found
        problems = refused(self.on(everywhere, zones, "Dose"))
        assert list(problems) == [f"{QUANTITY}.keyword"]
