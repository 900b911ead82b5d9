"""FLUKA: spectra, reading of results, and whole projects."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine_inputs import detector, output, phantom, real_project
from fluka_deck import read_deck
from kerma_engines.errors import InvalidInput, ReadError
from kerma_engines.fluka.engine import FLUKA
from kit.inputs.fluka_decks import deck_of, in_zone, read, refused, rules, scored, spectrum
from standins.behaviour import install
from standins.write_fluka import Binning, Track, usrbin, usrtracks

if TYPE_CHECKING:
    from pathlib import Path


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
    """A project with everything that the cards newly express."""
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
    # the stand-in's scores are about one, a quarter of it from primaries
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
