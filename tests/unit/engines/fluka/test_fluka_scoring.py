"""FLUKA: every quantity, filter and detector that its cards express."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine_inputs import detector, figure, output, phantom, project, turn, zone
from fluka_deck import read_deck
from kerma_engines.fluka.engine import FLUKA
from kit.inputs.fluka_decks import GY, deck_of, in_zone, read, refused, rules, scored
from standins.write_fluka import Binning, usrbin

if TYPE_CHECKING:
    from pathlib import Path


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
        # in the mesh's own axes about its centre, where the unrotated mesh is
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
