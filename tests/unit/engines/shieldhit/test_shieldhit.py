"""SHIELD-HIT12A: cards of converted projects, and settings that must not be lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine_geometry import read_geo_dat
from engine_inputs import detector, figure, output, phantom, project, real_project, with_beam, zone
from kerma_engines.errors import InvalidInput
from kerma_engines.shieldhit.engine import SHIELDHIT


def cards(text: str) -> dict[str, list[str]]:
    """Return keywords and values of beam.dat, without comments."""
    lines = (line.split("!")[0].split() for line in text.splitlines())
    return {words[0]: words[1:] for words in lines if words}


def blocks(text: str) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Return sections of detect.dat, their lines split into words."""
    found: list[tuple[str, list[tuple[str, ...]]]] = []
    for line in text.splitlines():
        words = tuple(line.split())
        if words and not line.startswith(" "):
            found.append((" ".join(words), []))
        elif words:
            found[-1][1].append(words)
    return found


def numbers(found: dict[str, list[str]]) -> dict[str, list[Any]]:
    return {key: [float(value) for value in values] for key, values in found.items()}


def refused(mapping: dict[str, Any]) -> set[str]:
    with pytest.raises(InvalidInput) as verdict:
        SHIELDHIT.convert(mapping)
    return {problem.path for problem in verdict.value.problems}


class TestRealProjects:
    @pytest.mark.parametrize("name", ["ex1", "ex2", "ex5", "ex6", "payload_editor"])
    def test_all_convert(self, name: str) -> None:
        inputs = SHIELDHIT.convert(real_project(name))
        assert {"beam.dat", "geo.dat", "mat.dat", "detect.dat"} <= set(inputs.files)

    def test_beam_of_ex1_is_that_of_the_stored_files(self) -> None:
        stored = real_project("ex1")["input"]["inputFiles"]
        files = SHIELDHIT.convert(real_project("ex1")).files
        ours, theirs = numbers(cards(files["beam.dat"])), numbers(cards(stored["beam.dat"]))
        # the stored number is one task's share of the project's 10000
        assert ours.pop("NSTAT") == [10000, 0]
        assert theirs.pop("NSTAT") == [666, 0]
        assert ours == theirs

    def test_detectors_filters_and_outputs_of_ex1_are_those_of_the_stored_files(self) -> None:
        stored = real_project("ex1")["input"]["inputFiles"]
        files = SHIELDHIT.convert(real_project("ex1")).files
        assert blocks(files["detect.dat"]) == blocks(stored["detect.dat"])

    def test_geometry_of_ex1_is_that_of_the_stored_files(self) -> None:
        stored = real_project("ex1")["input"]["inputFiles"]
        files = SHIELDHIT.convert(real_project("ex1")).files
        ours = read_geo_dat(files["geo.dat"], files["mat.dat"])
        theirs = read_geo_dat(stored["geo.dat"], stored["mat.dat"])
        points = np.random.default_rng(1).uniform([-7, -7, -3], [7, 7, 25], (20_000, 3))
        np.testing.assert_array_equal(ours.label(points), theirs.label(points))
        assert len(ours.zones) == len(theirs.zones) == 3
        assert ours.labels == theirs.labels
        assert set(ours.bodies) == set(theirs.bodies)

    def test_outputs_are_mapped_by_id_in_project_order(self) -> None:
        inputs = SHIELDHIT.convert(real_project("ex1"))
        assert [(o.name, o.file, len(o.quantities)) for o in inputs.outputs] == [
            ("z_profile", "z_profile.bdo", 4),
            ("yz_profile", "yz_profile.bdo", 3),
            ("entrance", "entrance.bdo", 7),
            ("peak", "peak.bdo", 7),
        ]
        assert inputs.outputs[0].quantities[2].filter_name == "Primaries"

    def test_spots_of_ex5_are_carried(self) -> None:
        mapping = real_project("ex5")
        inputs = SHIELDHIT.convert(mapping)
        source = mapping["input"]["inputJson"]["beam"]["sourceFile"]["value"]
        assert inputs.files["sobp.dat"] == source
        assert cards(inputs.files["beam.dat"])["USECBEAM"] == ["sobp.dat"]


class TestBeam:
    @pytest.mark.parametrize(
        ("particle", "unit", "energy", "spread"),
        [
            ({"id": 25, "a": 12, "z": 6}, "MeV", 100.0, 1.0),
            ({"id": 25, "a": 12, "z": 6}, "MeV/nucl", 1200.0, 12.0),
            ({"id": 24}, "MeV", 300.0, 3.0),
            ({"id": 2}, "MeV/nucl", 1200.0, 12.0),
            ({"id": 4}, "MeV", 1200.0, 12.0),
        ],
    )
    def test_energy_is_per_nucleon_for_nuclei(
        self, particle: dict[str, int], unit: str, energy: float, spread: float
    ) -> None:
        mapping = with_beam(particle=particle, energy=1200, energySpread=12, energyUnit=unit)
        found = cards(SHIELDHIT.convert(mapping).files["beam.dat"])
        assert [float(value) for value in found["TMAX0"]] == [energy, spread]

    def test_an_ion_tells_its_numbers(self) -> None:
        mapping = with_beam(particle={"id": 25, "a": 16, "z": 8}, energy=3000)
        found = cards(SHIELDHIT.convert(mapping).files["beam.dat"])
        assert (found["JPART0"], found["HIPROJ"]) == (["25"], ["16", "8"])

    @pytest.mark.parametrize(
        ("direction", "angles"),
        [
            ([0, 0, 1], [0, 0]),
            ([0, 0, -2], [180, 0]),
            ([-1, 0, 0], [90, 180]),
            ([0, -1, 0], [90, 270]),
            ([1, 1, 0], [90, 45]),
        ],
    )
    def test_direction_keeps_its_sign(self, direction: list[int], angles: list[float]) -> None:
        found = cards(SHIELDHIT.convert(with_beam(direction=direction)).files["beam.dat"])
        assert [float(value) for value in found["BEAMDIR"]] == pytest.approx(angles)

    @pytest.mark.parametrize(
        ("sigma", "values"),
        [
            ({"type": "Gaussian", "x": 0.3, "y": 0.4}, [0.3, 0.4]),
            ({"type": "Flat square", "x": 0.3, "y": 0.4}, [-0.3, -0.4]),
            ({"type": "Flat square", "x": 0, "y": 0.4}, [-1e-6, -0.4]),
            ({"type": "Flat circular", "x": 9, "y": 0.4}, [1, -0.4]),
        ],
    )
    def test_shape_is_told_by_signs(self, sigma: dict[str, Any], values: list[float]) -> None:
        found = cards(SHIELDHIT.convert(with_beam(sigma=sigma)).files["beam.dat"])
        assert [float(value) for value in found["BEAMSIGMA"]] == values

    def test_divergence_is_written(self) -> None:
        mapping = with_beam(divergence={"x": 2, "y": 3, "distanceToFocal": 40})
        found = cards(SHIELDHIT.convert(mapping).files["beam.dat"])
        assert found["BEAMDIV"] == ["2", "3", "40"]

    def test_a_beam_that_starts_outside_of_the_world_is_refused(self) -> None:
        assert refused(with_beam(position=[0, 0, -5.1])) == {"beam.position"}
        SHIELDHIT.convert(with_beam(position=[0, 0, -5]))

    def test_electrons_are_refused(self) -> None:
        assert refused(with_beam(particle={"id": 26})) == {"beam.particle.id"}

    def test_an_empty_source_file_is_refused(self) -> None:
        empty = {"name": "", "value": " "}
        assert refused(with_beam(sourceType="file", sourceFile=empty)) == {"beam.sourceFile.value"}

    def test_lists_of_spots_are_checked_and_written_as_they_are(self) -> None:
        spots = {"name": "plan.dat", "value": "*mine\r\n0.1 0 0  1\t1\r\n"}
        inputs = SHIELDHIT.convert(with_beam(sourceType="file", sourceFile=spots))
        assert inputs.files["sobp.dat"] == spots["value"]
        assert any("list of spots" in note for note in inputs.options["notes"])
        assert any("parallel" in note for note in inputs.options["notes"])

    @pytest.mark.parametrize("line", ["0.1 0 0 1", "0.1 0 0 x 1", "0.1 0 0 -1 1", "1001 0 0 1 1"])
    def test_a_list_with_a_bad_line_is_refused_with_its_number(self, line: str) -> None:
        spots = {"name": "", "value": f"0.1 0 0 1 1\n{line}\n"}
        with pytest.raises(InvalidInput) as verdict:
            SHIELDHIT.convert(with_beam(sourceType="file", sourceFile=spots))
        (problem,) = verdict.value.problems
        assert problem.path == "beam.sourceFile.value"
        assert problem.reason.startswith("line 2: ")

    def test_a_modulator_is_placed_in_its_zone(self) -> None:
        modulator = {
            "geometryData": {"parameters": {"zoneUuid": "z"}},
            "sourceFile": {"name": "../my wheel.dat", "value": "1 2\n"},
            "simulationMethod": "sampling",
            "interpretationMode": "vacumm",
        }
        inputs = SHIELDHIT.convert(phantom(specialComponentsManager={"modulator": modulator}))
        found = cards(inputs.files["beam.dat"])
        assert found["USEBMOD"] == ["1", "my_wheel.dat"]
        assert (found["BMODMC"], found["BMODTRANS"]) == (["1"], ["1"])
        assert inputs.files["my_wheel.dat"] == "1 2\n"

    def test_special_components_that_are_not_written_are_refused(self) -> None:
        mapping = phantom(specialComponentsManager={"CTCube": {"uuid": "c"}})
        assert refused(mapping) == {"specialComponentsManager.CTCube"}


class TestMaterials:
    def test_a_density_of_a_zone_makes_a_medium_of_its_own(self) -> None:
        figures = [
            figure("a", "box", (0, 0, 0), width=2, height=2, depth=2),
            figure("b", "box", (3, 0, 0), width=2, height=2, depth=2),
        ]
        zones = [zone("a", 276, "a"), zone("b", 276, "b", density=1.032)]
        mapping = project(figures, zones, figure("w", "box", width=20, height=20, depth=20))
        files = SHIELDHIT.convert(mapping).files
        regions = read_geo_dat(files["geo.dat"], files["mat.dat"])
        assert list(regions.labels.values())[:2] == ["icru276", "icru276@1.032"]

    def test_own_stopping_powers_are_carried(self) -> None:
        table = {"name": "water.txt", "content": "1 2 3\n"}
        mapping = phantom(
            physic={"availableStoppingPowerFiles": {"276": table}},
            zoneManager=phantom()["zoneManager"]
            | {"zones": [zone("z", 276, "f", customStoppingPower=True)]},
        )
        files = SHIELDHIT.convert(mapping).files
        assert "LOADDEDX" in files["mat.dat"]
        assert files["water.txt"] == "1 2 3\n"

    def test_a_stopping_power_table_that_is_missing_is_refused(self) -> None:
        manager = phantom()["zoneManager"] | {
            "zones": [zone("z", 276, "f", customStoppingPower=True)]
        }
        path = "zoneManager.zones[0].materialPropertiesOverrides.customStoppingPower"
        assert refused(phantom(zoneManager=manager)) == {path}

    def test_a_mean_excitation_energy_is_left_out_with_a_note(self) -> None:
        overrides = {"averageIonisationPotential": 78}
        manager = phantom()["zoneManager"] | {"zones": [zone("z", 276, "f", **overrides)]}
        converted = SHIELDHIT.convert(phantom(zoneManager=manager))
        path = "zoneManager.zones[0].materialPropertiesOverrides.averageIonisationPotential"
        (note,) = converted.options["notes"]
        assert note.startswith(f"{path}: is left out")
        assert converted.files == SHIELDHIT.convert(phantom()).files


class TestScoring:
    def scored(self, **quantity: Any) -> list[tuple[str, list[tuple[str, ...]]]]:
        scoring = {"filters": self.FILTERS, "outputs": [output("o", "Fluence", **quantity)]}
        return blocks(SHIELDHIT.convert(phantom(scoringManager=scoring)).files["detect.dat"])

    FILTERS = (
        {"uuid": "pbar", "name": "anti protons", "particle": {"id": 7, "a": 1, "z": 1}},
        {"uuid": "he", "name": "alphas", "particle": {"id": 24}},
        {"uuid": "electrons", "name": "electrons", "particle": {"id": 26}},
    )

    def test_two_differential_axes(self) -> None:
        energy = {
            "diffType": "E",
            "lowerLimit": 1,
            "upperLimit": 100,
            "binsNumber": 10,
            "isLog": True,
        }
        angle = {"diffType": "ANGLE", "lowerLimit": 0, "upperLimit": 3.14, "binsNumber": 5}
        found = self.scored(modifiers=[energy, angle])[-1][1]
        assert found[3:] == [
            ("Diff1", "1", "100", "10", "log"),
            ("Diff1Type", "E"),
            ("Diff2", "0", "3.14", "5"),
            ("Diff2Type", "ANGLE"),
        ]

    def test_an_antiproton_is_no_nucleus(self) -> None:
        found = dict(self.scored(filter="pbar"))
        assert found["Filter"] == [("Name", "anti_protons"), ("ID", "==", "7")]

    def test_a_nucleus_is_told_by_its_numbers(self) -> None:
        found = dict(self.scored(filter="he"))
        assert found["Filter"] == [("Name", "alphas"), ("Z", "==", "2"), ("A", "==", "4")]

    def test_electrons_can_not_be_filtered(self) -> None:
        scoring = {
            "filters": self.FILTERS,
            "outputs": [output("o", "Fluence", filter="electrons")],
        }
        assert refused(phantom(scoringManager=scoring)) == {"scoringManager.filters[2].particle.id"}

    def test_settings_of_a_quantity(self) -> None:
        found = self.scored(rescale=2, offset=-1, primaries=5, materialUuid="icru276", medium="SI")
        name = "Fluence_settings"
        assert dict(found)["Settings"] == [
            ("Name", name),
            ("Rescale", "2"),
            ("Offset", "-1"),
            ("Primaries", "5"),
            ("Medium", "1"),
            ("NKMedium", "SI"),
        ]
        assert ("Quantity", "Fluence", name) in dict(found)["Output"]

    def test_names_become_words_that_differ(self) -> None:
        names = ["dose map", "dose/map"[:4] + "_map", "доза", "доза 2"]
        scoring = {"outputs": [output(name, "Dose") for name in names]}
        inputs = SHIELDHIT.convert(phantom(scoringManager=scoring))
        assert [o.file for o in inputs.outputs] == [
            "dose_map.bdo",
            "dose_map_2.bdo",
            "output.bdo",
            "2.bdo",
        ]
        assert [o.name for o in inputs.outputs] == names

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"rotation": [0, 10, 0]}, "rotation"),
            (
                {
                    "geometryType": "Cyl",
                    "position": [1, 0, 0],
                    "parameters": {"radius": 1, "depth": 2},
                },
                "position",
            ),
        ],
    )
    def test_detectors_that_would_move_are_refused(self, change: dict[str, Any], path: str) -> None:
        mapping = phantom(detectorManager={"detectors": [detector(**change)]})
        assert refused(mapping) == {f"detectorManager.detectors[0].geometryData.{path}"}

    def test_zone_detectors_name_all_zones_of_the_world(self) -> None:
        data = {"geometryType": "Zone", "parameters": {"zoneUuid": "world"}, "position": [0, 0, 0]}
        figures = [
            figure("a", "box", (0, 0, 0), width=4, height=4, depth=4),
            figure("b", "sphere", (0, 0, 0), radius=1),
        ]
        mapping = project(
            figures, [zone("z", 276, "a-b")], figure("w", "box", width=9, height=9, depth=9)
        )
        mapping["detectorManager"] = {"detectors": [{"uuid": "mesh", "geometryData": data}]}
        found = dict(blocks(SHIELDHIT.convert(mapping).files["detect.dat"]))
        assert found["Geometry Zone"] == [("Name", "detector"), ("Zone", "2", "3")]

    def test_a_spectrum_without_bins_is_refused(self) -> None:
        scoring = {"outputs": [output("o", "KineticEnergySpectrum")]}
        path = "scoringManager.outputs[0].quantities[0]"
        assert path in refused(phantom(scoringManager=scoring))

    def test_a_project_that_scores_nothing_is_refused(self) -> None:
        assert refused(phantom(scoringManager={"outputs": []})) == {"scoringManager.outputs"}
