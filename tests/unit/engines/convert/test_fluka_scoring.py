"""FLUKA: every quantity, filter and detector that its cards express, and how results are read."""

from __future__ import annotations

import math
import os
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine_inputs import detector, figure, output, phantom, project, real_project, turn, zone
from fluka_deck import Deck, read_deck
from kerma_engines.errors import InvalidInput, ReadError
from kerma_engines.fluka.engine import Fluka
from standins.behaviour import install
from standins.write_fluka import Binning, Track, usrbin, usrtracks

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.engine import InputSet
    from kerma_engines.estimators import Estimator

FLUKA = Fluka()
GY = 1.602176634e-10  # per MeV/g


def deck_of(mapping: dict[str, Any]) -> Deck:
    return read_deck(FLUKA.convert(mapping).files["fl_sim.inp"])


def refused(mapping: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidInput) as verdict:
        FLUKA.convert(mapping)
    return {problem.path: problem.reason for problem in verdict.value.problems}


def rules(*tests: tuple[str, str, float]) -> dict[str, Any]:
    listed = [{"keyword": k, "operator": o, "value": v} for k, o, v in tests]
    return {"uuid": "f", "name": "f", "rules": listed}


def scored(*keywords: str, known: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A phantom that scores on one detector, all quantities through one filter."""
    detectors = [changes.pop("on", None) or detector()]
    beam = phantom()["beam"] | changes.pop("beam", {})
    if known is not None:
        changes["filter"] = "f"
    scoring = {"filters": [known] if known else [], "outputs": [output("o", *keywords, **changes)]}
    return phantom(scoringManager=scoring, detectorManager={"detectors": detectors}, beam=beam)


def in_zone(uuid: str = "z") -> dict[str, Any]:
    return detector(geometryType="Zone", parameters={"zoneUuid": uuid})


def spectrum(low: float, high: float, n: int, *, log: bool = False) -> dict[str, Any]:
    axis = {"diffType": "E", "lowerLimit": low, "upperLimit": high, "binsNumber": n, "isLog": log}
    return {"modifiers": [axis]}


def read(folder: Path, inputs: InputSet, **files: bytes) -> Estimator:
    for unit, data in files.items():
        (folder / f"fl_sim001_fort.{unit[1:]}").write_bytes(data)
    (found,) = FLUKA.read(folder, inputs)
    return found


class TestFilters:
    @pytest.mark.parametrize(
        ("tests", "particle", "isotope"),
        [
            ([("Z", "==", 1), ("A", "==", 1)], "PROTON", ""),
            ([("GEN", "==", 0)], "BEAMPART", ""),
            ([("GEN", "<", 1), ("Z", "==", 1), ("A", "==", 1)], "BEAMPART", ""),
            ([("Z", "==", 6), ("A", "==", 12)], "ALL-PART", "-1200600.0"),
            ([("Z", "==", 92), ("A", "==", 238)], "ALL-PART", "-23809200."),
            ([("Z", "==", 6)], "ALL-PART", "-600.0"),
            ([("A", "==", 11)], "ALL-PART", "-1100000.0"),
            ([("Z", "!=", 0)], "ALL-CHAR", ""),
            ([("Z", ">=", 1)], "ALL-POSI", ""),
            ([("Z", "==", 0)], "ALL-NEUT", ""),
            ([("Z", "<", 0)], "ALL-NEGA", ""),
            ([("ID", "==", 1)], "NEUTRON", ""),
            ([("ID", "==", 1), ("GEN", ">=", 1)], "NEUTRON", ""),
        ],
    )
    def test_fluence_counts_the_particle(
        self, tests: list[tuple[str, str, float]], particle: str, isotope: str
    ) -> None:
        deck = deck_of(scored("Fluence", known=rules(*tests)))
        ((first, _),) = deck.pairs("USRBIN")
        assert first.whats[1] == particle
        assert [card.whats[1] for card in deck.named("AUXSCORE")] == ([isotope] if isotope else [])

    @pytest.mark.parametrize(
        ("ids", "name"), [([4, 5], "E+&E-"), ([7, 8], "MUONS"), ([9, 10], "PIONS+-")]
    )
    def test_kinds_that_have_a_name_together(self, ids: list[int], name: str) -> None:
        known: dict[str, Any] = {"uuid": "f", "name": "f", "filterType": "particle"}
        known["data"] = {"particleTypes": [{"id": k} for k in ids]}
        mapping = scored("Fluence", known=known)
        mapping["project"] = {"title": "t", "simulator": "geant4"}
        ((first, _),) = deck_of(mapping).pairs("USRBIN")
        assert first.whats[1] == name

    def test_kinds_that_have_none(self) -> None:
        known: dict[str, Any] = {"uuid": "f", "name": "f", "filterType": "particle"}
        known["data"] = {"particleTypes": [{"id": 2}, {"id": 4}]}
        mapping = scored("Fluence", known=known)
        mapping["project"] = {"title": "t", "simulator": "geant4"}
        assert list(refused(mapping)) == ["scoringManager.outputs[0].quantities[0].filter"]

    def test_dose_is_restricted_to_the_particle(self) -> None:
        deck = deck_of(scored("Dose", "Energy", known=rules(("GEN", "==", 0))))
        assert [first.whats[1] for first, _ in deck.pairs("USRBIN")] == ["DOSE", "ENERGY"]
        restricted = [card.whats[1:5] for card in deck.named("AUXSCORE")]
        assert restricted == [["BEAMPART", "", n, n] for n in ("Dose", "Energy")]

    def test_several_filters_on_one_mesh(self) -> None:
        known = [rules(("GEN", "==", 0)), rules(("Z", "==", 6)) | {"uuid": "c"}]
        quantities = [{"keyword": "Dose"}, {"keyword": "Dose", "filter": "f"}]
        quantities.append({"keyword": "Dose", "filter": "c"})
        scoring = {"filters": known, "outputs": [output("o") | {"quantities": quantities}]}
        deck = deck_of(phantom(scoringManager=scoring))
        assert [card.whats[1] for card in deck.named("AUXSCORE")] == ["BEAMPART", "-600.0"]
        names = [first.text for first, _ in deck.pairs("USRBIN")]
        assert [card.whats[3] for card in deck.named("AUXSCORE")] == names[1:]

    def test_secondaries_are_all_less_those_of_the_beam(self, tmp_path: Path) -> None:
        tests = [("Z", "==", 1), ("A", "==", 1), ("GEN", ">=", 1)]
        inputs = FLUKA.convert(scored("Fluence", "Dose", known=rules(*tests)))
        deck = read_deck(inputs.files["fl_sim.inp"])
        kinds = [first.whats[1] for first, _ in deck.pairs("USRBIN")]
        assert kinds == ["PROTON", "BEAMPART", "DOSE", "DOSE"]
        assert [c.whats[1] for c in deck.named("AUXSCORE")] == ["PROTON", "BEAMPART"]
        names = [first.text for first, _ in deck.pairs("USRBIN")]
        values = [np.full(24, 5.0), np.full(24, 3.0), np.full(24, 1.0), np.full(24, 1.0 + 1e-7)]
        axes = [(-1.0, 1.0, 2), (-1.5, 1.5, 3), (-2.0, 2.0, 4)]
        codes = [1, 210, 228, 228]
        bins = [Binning(v, axes, 10, c, n) for v, c, n in zip(values, codes, names, strict=True)]
        fluence, dose = read(tmp_path, inputs, _21=usrbin(bins, 100)).pages
        assert (fluence.name, fluence.unit, fluence.shape) == ("FLUENCE", "/cm^2/prim", (2, 3, 4))
        np.testing.assert_allclose(fluence.values, 2.0)
        assert np.all(dose.values == 0), "what float32 can't tell apart is nothing"
        assert dose.metadata["filter_name"] == "f"

    def test_notes_say_whose_primaries_they_are(self) -> None:
        notes = FLUKA.convert(scored("Dose", known=rules(("GEN", "==", 0)))).options["notes"]
        assert any("BEAMPART" in note for note in notes)

    @pytest.mark.parametrize(
        ("tests", "words"),
        [
            ([("Z", "==", 2), ("A", "==", 4), ("GEN", "==", 0)], "beam is of protons"),
            ([("Z", "==", 2)], "one by one"),
            ([("Z", ">", 2)], "sign"),
            ([("A", "==", 4)], "from 5"),
            ([("E", ">", 10)], "compiled routine"),
            ([("E", ">", 10), ("Z", "==", 1), ("A", "==", 1)], "compiled routine"),
            ([("Z", ">", 0), ("A", ">", 3)], "several rules"),
            ([("GEN", "==", 2)], "GEN == 2"),
            ([("NPRIM", "==", 1)], "NPRIM == 1"),
        ],
    )
    def test_what_no_particle_describes_is_refused(
        self, tests: list[tuple[str, str, float]], words: str
    ) -> None:
        problems = refused(scored("Fluence", known=rules(*tests)))
        assert list(problems) == ["scoringManager.outputs[0].quantities[0].filter"]
        assert words in next(iter(problems.values()))

    def test_the_beams_own_isotope(self) -> None:
        carbon = {"particle": {"id": 25, "a": 12, "z": 6}}
        tests = [("Z", "==", 6), ("GEN", "==", 0)]
        ((first, _),) = deck_of(scored("Fluence", known=rules(*tests), beam=carbon)).pairs("USRBIN")
        assert first.whats[1] == "BEAMPART"


class TestQuantities:
    def page(self, tmp_path: Path, keyword: str, value: float, **changes: Any) -> Any:
        inputs = FLUKA.convert(scored(keyword, **changes))
        ((first, second),) = read_deck(inputs.files["fl_sim.inp"]).pairs("USRBIN")
        codes = {"DOSE": 228, "ENERGY": 208, "ALL-PART": 201, "SI1MEVNE": 236}
        kind, n = round(first.number(1)), [1, 1, 1]
        limits = [(1.0, 2.0)] * 3
        if kind != 12:
            n = [round(second.number(k)) for k in (4, 5, 6)]
            limits = [(second.number(k), first.number(k + 3)) for k in (1, 2, 3)]
            limits = [(low, high if high > low else low + 1) for low, high in limits]
        axes = [(low, high, bins) for (low, high), bins in zip(limits, n, strict=True)]
        values = np.full(math.prod(n), value)
        found = Binning(values, axes, kind, codes[first.whats[1]], first.text)
        (page,) = read(tmp_path, inputs, _21=usrbin([found], 10)).pages
        return page

    @pytest.mark.parametrize(
        ("keyword", "name", "unit", "expected"),
        [
            ("Dose", "DOSE", "MeV/g/prim", 2000.0),
            ("DoseGy", "DOSE-GY", "Gy/prim", 2000.0 * GY),
            ("Energy", "ENERGY", "MeV/prim", 2000.0),
            ("Fluence", "FLUENCE", "/cm^2/prim", 2.0),
            ("1MeVNEq", "FLU-NEQV", "/cm^2/prim", 2.0),
        ],
    )
    def test_on_a_mesh_of_unit_volumes(
        self, tmp_path: Path, keyword: str, name: str, unit: str, expected: float
    ) -> None:
        page = self.page(tmp_path, keyword, 2.0)
        assert (page.name, page.unit, page.shape) == (name, unit, (2, 3, 4))
        np.testing.assert_allclose(page.values, expected, rtol=1e-6)

    @pytest.mark.parametrize(("keyword", "expected"), [("Dose", 31.25), ("Energy", 2000.0)])
    def test_in_a_zone_densities_are_divided_by_its_volume(
        self, tmp_path: Path, keyword: str, expected: float
    ) -> None:
        page = self.page(tmp_path, keyword, 2.0, on=in_zone())
        assert page.shape == ()
        np.testing.assert_allclose(page.values, [expected])

    def test_energy_in_rings_is_that_of_their_volumes(self, tmp_path: Path) -> None:
        shape = {"radius": 4, "innerRadius": 1, "depth": 2, "radialSegments": 3, "zSegments": 2}
        on = detector(geometryType="Cyl", parameters=shape)
        page = self.page(tmp_path, "Energy", 1.0, on=on)
        rings = 1000.0 * math.pi * np.array([3.0, 5.0, 7.0])
        np.testing.assert_allclose(page.values, np.tile(rings, 2), rtol=1e-6)

    def test_energy_everywhere_is_the_sum_of_all_regions(self, tmp_path: Path) -> None:
        inputs = FLUKA.convert(scored("Energy", on=detector(geometryType="All", parameters={})))
        ((first, second),) = read_deck(inputs.files["fl_sim.inp"]).pairs("USRBIN")
        assert (second.whats[0], first.whats[3]) == ("region0", "world")
        axes = [(1.0, 3.0, 2), (0.0, 1.0, 1), (0.0, 1.0, 1)]
        found = Binning(np.array([0.25, 0.5]), axes, 12, 208, first.text)
        (page,) = read(tmp_path, inputs, _21=usrbin([found], 10)).pages
        assert page.axes == ()
        np.testing.assert_allclose(page.values, [750.0])

    def test_densities_everywhere_are_refused(self) -> None:
        problems = refused(scored("Dose", on=detector(geometryType="All", parameters={})))
        assert list(problems) == ["scoringManager.outputs[0].quantities[0].keyword"]

    @pytest.mark.parametrize(
        ("keyword", "words"),
        [
            ("AvgEnergy", "comscw or fluscw"),
            ("dLET", "comscw or fluscw"),
            ("tQ", "comscw or fluscw"),
            ("NKERMA", "20 MeV"),
            ("DoseEqv", "DoseEqv"),
            ("Rho", "no maps"),
        ],
    )
    def test_what_has_no_card_is_refused(self, keyword: str, words: str) -> None:
        problems = refused(scored(keyword))
        assert list(problems) == ["scoringManager.outputs[0].quantities[0].keyword"]
        assert words in next(iter(problems.values()))


class TestDetectors:
    @pytest.mark.parametrize("position", [[0, 0, 0], [1, -2, 3]])
    @pytest.mark.parametrize("kind", ["Mesh", "Cyl"])
    def test_a_turned_mesh(self, position: list[float], kind: str) -> None:
        angles = [20.0, -110.0, 250.0]
        data: dict[str, Any] = {"position": position, "rotation": angles}
        if kind == "Cyl":
            data |= {"geometryType": kind, "parameters": {"radius": 2, "depth": 3}}
        deck = deck_of(scored("Dose", "Fluence", on=detector(**data)))
        tied = [card.whats[1:5] for card in deck.named("ROTPRBIN")]
        assert [fields[2] for fields in tied] == [first.text for first, _ in deck.pairs("USRBIN")]
        whole = deck.transformation(tied[0][0])
        points = np.random.default_rng(1).uniform(-5, 5, (100, 3))
        # in the mesh's own axes about its centre, where the mesh stands unturned
        expected = (points - position) @ turn(*angles) + position
        np.testing.assert_allclose(points @ whole[:3, :3].T + whole[:3, 3], expected, atol=1e-5)

    def test_an_unturned_mesh_has_no_transformation(self) -> None:
        deck = deck_of(scored("Dose", on=detector(rotation=[360, 0, -360])))
        assert deck.named("ROT-DEFI") == deck.named("ROTPRBIN") == []

    def test_two_turned_detectors_have_a_transformation_each(self) -> None:
        one = detector(rotation=[0, 0, 30], position=[1, 0, 0])
        other = detector(rotation=[0, 0, 60]) | {"uuid": "other"}
        outputs = [output("a", "Dose"), output("b", "Dose") | {"detectorUuid": "other"}]
        changes = {"detectorManager": {"detectors": [one, other]}}
        deck = deck_of(phantom(scoringManager={"outputs": outputs}, **changes))
        first, second = (card.whats[1] for card in deck.named("ROTPRBIN"))
        assert not np.allclose(deck.transformation(first), deck.transformation(second))

    def test_a_zone_is_its_region(self) -> None:
        ((first, second),) = deck_of(scored("Dose", on=in_zone())).pairs("USRBIN")
        assert (first.number(1), first.whats[3], second.whats[0]) == (12, "region0", "region0")

    def test_the_world_is_a_region(self, tmp_path: Path) -> None:
        inputs = FLUKA.convert(scored("Fluence", on=in_zone("world")))
        ((first, _),) = read_deck(inputs.files["fl_sim.inp"]).pairs("USRBIN")
        found = Binning(
            np.ones(1), [(2.0, 3.0, 1), (0.0, 1.0, 1), (0.0, 1.0, 1)], 12, 201, first.text
        )
        (page,) = read(tmp_path, inputs, _21=usrbin([found], 10)).pages
        assert first.whats[3] == "world"
        np.testing.assert_allclose(page.values, 1 / (1000 - 64))

    def test_black_holes_are_refused(self) -> None:
        mapping = scored("Dose", on=in_zone())
        mapping["zoneManager"]["zones"] = [zone("z", 0, "f")]
        assert "black hole" in refused(mapping)["scoringManager.outputs[0].detectorUuid"]

    @pytest.mark.parametrize(
        ("terms", "expected", "exact"),
        [
            (["a"], 64.0, True),
            (["t"], math.pi * 8 * 3, True),
            (["s"], 4 / 3 * math.pi, True),
            (["a-s"], 64 - 4 / 3 * math.pi, True),
            (["a-s-c"], 64 - 4 / 3 * math.pi - 8 * math.pi / 4, False),
            (["a", "far"], 65.0, True),
            (["a", "half"], 96.0, False),
            (["a*half"], 32.0, False),
        ],
    )
    def test_volumes(self, tmp_path: Path, terms: list[str], expected: float, exact: bool) -> None:
        figures = [
            figure("a", "box", width=4, height=4, depth=4),
            figure("half", "box", (2, 0, 0), width=4, height=4, depth=4),
            figure("far", "box", (-7, 0, 0), (0, 30, 0), width=1, height=1, depth=1),
            figure("t", "cylinder", (0, 0, 0), (0, 90, 0), radius=3, innerRadius=1, depth=3),
            figure("s", "sphere", radius=1),
            figure("c", "cylinder", (1.5, 1.5, 2), radius=0.5, depth=16),
        ]
        world = figure("w", "box", width=20, height=20, depth=20)
        mapping = project(figures, [zone("z", 276, *terms)], world)
        mapping["detectorManager"] = {"detectors": [in_zone()]}
        mapping["scoringManager"]["outputs"] = [output("o", "Fluence")]
        if "c" in "".join(terms):
            expected = 64 - 4 / 3 * math.pi - math.pi * 0.25 * 4
        inputs = FLUKA.convert(mapping)
        (told,) = inputs.options["pages"]["21"]
        assert 1 / told["factor"] == pytest.approx(expected, rel=1e-9 if exact else 3e-3)
        estimated = [note for note in inputs.options["notes"] if "estimate" in note]
        assert bool(estimated) == (not exact)


class TestSpectra:
    @pytest.mark.parametrize("log", [False, True])
    def test_fluence_over_energy_in_a_zone(self, tmp_path: Path, *, log: bool) -> None:
        known = rules(("Z", "==", 1), ("A", "==", 1))
        asked = scored("Fluence", on=in_zone(), known=known, **spectrum(0.1, 160, 16, log=log))
        inputs = FLUKA.convert(asked)
        ((first, second),) = read_deck(inputs.files["fl_sim.inp"]).pairs("USRTRACK")
        assert [first.number(k) for k in (1, 3, 5, 6)] == [-1 if log else 1, -21, 64, 16]
        assert first.whats[1] == "PROTON"
        assert [second.number(1), second.number(2)] == pytest.approx([0.16, 1e-4])
        values = np.arange(1.0, 17.0)
        track = Track(values, (1e-4, 0.16, 16), -1 if log else 1, 1, name=first.text)
        (page,) = read(tmp_path, inputs, _21=usrtracks([track], 10)).pages
        (axis,) = page.axes
        assert (page.name, page.unit) == ("FLUENCE", "/cm^2/MeV/prim")
        assert (axis.name, axis.unit, axis.binning.value) == (
            "Kinetic energy",
            "MeV",
            "log" if log else "linear",
        )
        edges = np.geomspace(0.1, 160, 17) if log else np.linspace(0.1, 160, 17)
        np.testing.assert_allclose(axis.edges, edges, rtol=1e-12)
        np.testing.assert_allclose(page.values, 1e-3 * values, rtol=1e-6)

    def test_groups_of_neutrons_are_a_page_of_their_own(self, tmp_path: Path) -> None:
        inputs = FLUKA.convert(scored("Fluence", on=in_zone(), **spectrum(0, 160, 4)))
        ((first, _),) = read_deck(inputs.files["fl_sim.inp"]).pairs("USRTRACK")
        values, edges = np.array([1.0, 2, 3, 4, 30, 20, 10]), (0.02, 1e-3, 1e-6, 1e-14)
        track = Track(values, (0.0, 0.16, 4), 1, 201, edges, first.text)
        page, groups = read(tmp_path, inputs, _21=usrtracks([track], 10)).pages
        np.testing.assert_allclose(page.values, [1e-3, 2e-3, 3e-3, 4e-3], rtol=1e-6)
        assert (groups.number, groups.name, groups.unit) == (
            1,
            "FLUENCE-NEUTRON-GROUPS",
            "/cm^2/prim",
        )
        np.testing.assert_allclose(groups.values, [10, 20, 30])
        np.testing.assert_allclose(groups.axes[0].edges, [1e-11, 1e-3, 1.0, 20.0], rtol=1e-6)

    def test_the_spectrum_of_the_editors_geant4_mode(self) -> None:
        quantity = {"keyword": "KineticEnergySpectrum", "histogramMin": 0, "histogramMax": 100}
        quantity |= {"histogramNBins": 10, "histogramUnit": "MeV", "histogramXScale": "none"}
        quantity |= {"histogramXBinScheme": "linear"}
        scoring = {"outputs": [output("o") | {"quantities": [quantity]}]}
        mapping = phantom(scoringManager=scoring, detectorManager={"detectors": [in_zone()]})
        ((first, second),) = deck_of(mapping).pairs("USRTRACK")
        assert (first.number(6), second.number(1)) == (10, 0.1)

    def test_an_isotope_has_auxscore(self) -> None:
        known = rules(("Z", "==", 6), ("A", "==", 12))
        deck = deck_of(scored("Fluence", on=in_zone(), known=known, **spectrum(1, 2, 3)))
        ((first, _),) = deck.pairs("USRTRACK")
        (aux,) = deck.named("AUXSCORE")
        assert aux.whats[:5] == ["USRTRACK", "-1200600.0", "", first.text, first.text]

    def test_beside_others_they_have_a_unit_of_their_own(self, tmp_path: Path) -> None:
        quantities = [{"keyword": "Dose"}, {"keyword": "Fluence", **spectrum(0, 100, 2)}]
        outputs = [output("o") | {"quantities": quantities}, output("p", "Dose")]
        detectors = {"detectors": [in_zone()]}
        mapping = phantom(scoringManager={"outputs": outputs}, detectorManager=detectors)
        inputs = FLUKA.convert(mapping)
        deck = read_deck(inputs.files["fl_sim.inp"])
        assert [first.number(3) for first, _ in deck.pairs("USRBIN")] == [-21, -22]
        assert [first.number(3) for first, _ in deck.pairs("USRTRACK")] == [-23]
        assert [listed.file for listed in inputs.outputs] == ["21", "22"]

    def test_names_are_no_numbers_and_no_words_of_the_card(self) -> None:
        quantities = [{"keyword": "Fluence", "name": n} for n in ("12", "1E5", "Energy", "EN-NUCL")]
        quantities = [known | spectrum(0, 1, 2) for known in quantities]
        scoring = {"outputs": [output("o") | {"quantities": quantities}]}
        detectors = {"detectors": [in_zone()]}
        deck = deck_of(phantom(scoringManager=scoring, detectorManager=detectors))
        names = [first.text for first, _ in deck.pairs("USRTRACK")]
        assert len(set(names)) == 4
        assert all(name[0].isalpha() for name in names)
        assert not {name.upper() for name in names} & {"ENERGY", "EN-NUCL"}

    def test_neutrons_beside_the_bins_are_noted(self) -> None:
        for known, noted in ((None, True), (rules(("Z", "==", 1), ("A", "==", 1)), False)):
            mapping = scored("Fluence", on=in_zone(), known=known, **spectrum(0, 1, 2))
            notes = FLUKA.convert(mapping).options["notes"]
            assert any("groups" in note for note in notes) is noted

    def test_secondary_neutrons_of_a_neutron_beam(self) -> None:
        known = rules(("GEN", ">=", 1), ("ID", "==", 1))
        beam = {"particle": {"id": 1}, "energy": 50}
        asked = scored("Fluence", on=in_zone(), known=known, beam=beam, **spectrum(1, 2, 3))
        assert list(refused(asked)) == ["scoringManager.outputs[0].quantities[0].filter"]

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"on": detector(), **spectrum(0, 1, 2)}, "in zones"),
            ({"on": in_zone(), **spectrum(-1, 1, 2)}, "negative"),
            (
                {
                    "on": in_zone(),
                    "modifiers": [spectrum(0, 1, 2)["modifiers"][0] | {"diffType": "DEDX"}],
                },
                "nothing else",
            ),
        ],
    )
    def test_others_are_refused(self, changes: dict[str, Any], words: str) -> None:
        problems = refused(scored("Fluence", **changes))
        assert list(problems) == ["scoringManager.outputs[0].quantities[0].modifiers"]
        assert words in next(iter(problems.values()))


class TestReading:
    def test_a_missing_detector_is_an_error(self, tmp_path: Path) -> None:
        inputs = FLUKA.convert(scored("Dose"))
        axes = [(-1.0, 1.0, 2), (-1.5, 1.5, 3), (-2.0, 2.0, 4)]
        with pytest.raises(ReadError, match="'Dose' is missing"):
            read(tmp_path, inputs, _21=usrbin([Binning(np.ones(24), axes, name="x")], 1))

    def test_a_missing_unit_is_an_error(self, tmp_path: Path) -> None:
        quantities = [{"keyword": "Dose"}, {"keyword": "Fluence", **spectrum(0, 100, 2)}]
        scoring = {"outputs": [output("o") | {"quantities": quantities}]}
        detectors = {"detectors": [in_zone()]}
        inputs = FLUKA.convert(phantom(scoringManager=scoring, detectorManager=detectors))
        found = Binning(np.ones(1), [(1.0, 2.0, 1), (0, 1, 1), (0, 1, 1)], 12, 228, "Dose")
        with pytest.raises(ReadError, match="missing"):
            read(tmp_path, inputs, _21=usrbin([found], 1))


def everything() -> dict[str, Any]:
    """A project with each thing that is new to the cards."""
    known = [rules(("GEN", ">=", 1)), rules(("Z", "==", 6)) | {"uuid": "c"}]
    zones = [{"keyword": "DoseGy"}, {"keyword": "Energy"}, {"keyword": "1MeVNEq"}]
    zones += [{"keyword": "Fluence", **spectrum(1, 150, 5, log=True)}]
    zones += [{"keyword": "Fluence", "filter": "f", **spectrum(0, 150, 3)}]
    meshes = [{"keyword": "Fluence", "filter": "f"}, {"keyword": "Dose", "filter": "c"}]
    outputs = [
        output("zone") | {"quantities": zones, "detectorUuid": "in"},
        output("mesh") | {"quantities": meshes},
        output("all") | {"quantities": [{"keyword": "Energy"}], "detectorUuid": "all"},
    ]
    detectors = [
        detector(rotation=[10, 20, 30]),
        in_zone() | {"uuid": "in"},
        detector(geometryType="All", parameters={}) | {"uuid": "all"},
    ]
    scoring = {"filters": known, "outputs": outputs}
    return phantom(scoringManager=scoring, detectorManager={"detectors": detectors})


def test_converted_run_and_read(tmp_path: Path) -> None:
    inputs = FLUKA.convert(everything())
    read_deck(inputs.files["fl_sim.inp"])
    brought = FLUKA.accept_files(inputs.files)
    assert [listed.file for listed in brought.outputs] == ["21", "24", "22", "23"]
    programs, work = install(tmp_path / "bin", seconds=0.05), tmp_path / "work"
    work.mkdir()
    command = FLUKA.prepare(inputs, work, primaries=1000, seed=7)
    env = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(command.argv, cwd=work, env=env, check=True, stdout=subprocess.DEVNULL)
    in_one, on_mesh, of_all = FLUKA.read(work, inputs)
    assert [page.name for page in in_one.pages] == [
        *("DOSE-GY", "ENERGY", "FLU-NEQV", "FLUENCE", "FLUENCE"),
        *("FLUENCE-NEUTRON-GROUPS",) * 2,
    ]
    assert [page.number for page in in_one.pages] == list(range(7))
    assert [page.shape for page in in_one.pages[3:]] == [(5,), (3,), (3,), (3,)]
    assert [page.shape for page in on_mesh.pages] == [(2, 3, 4)] * 2
    # the stand-in's scores are about one, a quarter of it from particles of the beam
    np.testing.assert_allclose(on_mesh.pages[0].values, 0.75, atol=0.3)
    np.testing.assert_allclose(of_all.pages[0].values, [2000.0], rtol=0.3)
    assert {estimator.primaries for estimator in (in_one, on_mesh, of_all)} == {1000}


@pytest.mark.parametrize("name", ["ex1", "ex2", "ex5", "ex6"])
def test_real_projects_convert_or_say_what_can_not_be_said(name: str) -> None:
    mapping = real_project(name)
    try:
        inputs = FLUKA.convert(mapping)
    except InvalidInput as error:
        reasons = {problem.path.rsplit(".", 1)[-1] for problem in error.problems}
        assert reasons <= {"keyword", "modifiers", "sourceType"}
        assert name != "ex6"
    else:
        read_deck(inputs.files["fl_sim.inp"])
        assert name == "ex6"
