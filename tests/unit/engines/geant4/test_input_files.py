"""User-supplied GDML and macros: what is accepted, and what is refused before Geant4 sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.engine import Geant4

INPUTS = Path(__file__).parent / "inputs"
GEOMETRY = (INPUTS / "box.gdml").read_text()
MACRO = (INPUTS / "depth.mac").read_text()


def refused(macro: str = MACRO, geometry: str = GEOMETRY, **names: str) -> list[str]:
    files = {"g.gdml": geometry, "run.mac": macro} | names
    with pytest.raises(InvalidInput) as caught:
        Geant4().accept_files(files)
    return [str(problem) for problem in caught.value.problems]


def test_a_plain_run_is_accepted_and_described() -> None:
    inputs = Geant4().accept_files({"g.gdml": GEOMETRY, "run.mac": MACRO})
    assert inputs.primaries == 500
    assert inputs.files == {"g.gdml": GEOMETRY, "run.mac": MACRO}
    (output,) = inputs.outputs
    assert (output.name, output.file) == ("m", "m.kg4")
    assert [(q.name, q.keyword) for q in output.quantities] == [
        ("dose", "doseDeposit"),
        ("flu", "cellFlux"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "/control/shell touch x",
        "/control/execute other.mac",
        "/control/loop a.mac i 1 9",
        "/control/foreach a.mac i 1 9",
        "/control/alias x y",
        "/control/macroPath /",
        "/vis/open OGL",
        "/persistency/gdml/write x.gdml",
        "/gps/hist/file spectrum.txt",
        "/score/ntuple/writerFileName x",
        "/random/saveThisRun",
        "/random/resetEngineFrom x",
        "/run/storeRandomNumberStatusToFile",
        "/run/randomSeed",
        "/material/nist",
        "control/shell touch x",
        "ls",
    ],
)
def test_commands_outside_the_list_are_refused_with_their_line(line: str) -> None:
    (problem,) = refused(MACRO.replace("# a run by hand", line))
    assert problem.startswith("run.mac:1: ")
    assert line.split()[0] in problem


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("/run/beamOn 500", "", "no /run/beamOn"),
        ("/run/beamOn 500", "/run/beamOn 500\n/run/beamOn 5", "once only"),
        ("/run/beamOn 500", "/run/beamOn 500\n/gps/energy 5 MeV", "only dumps"),
        ("/run/beamOn 500", "/run/beamOn -5", "whole number"),
        ("/run/beamOn 500", "/run/beamOn 0", "needs 1 to"),
        ("/run/beamOn 500", "/run/beamOn 1e3", "whole number"),
        ("/run/beamOn 500", "/run/beamOn " + "9" * 400, "needs 1 to"),
        ("/run/beamOn 500", "/run/beamOn {n}", "aliases"),
        ("proton\n/gps/e", "nosuch\n/gps/e", "unknown particle"),
        ("proton\n/gps/e", "neutron\n/gps/e", "data sets"),
        ("proton\n/gps/e", "gamma\n/gps/e", "data sets"),
        ("proton\n/gps/e", "ion\n/gps/ion 0 1\n/gps/e", "1 <= Z <= A"),
        ("proton\n/gps/e", "ion\n/gps/ion x\n/gps/e", "a whole number"),
        ("proton\n/gps/e", "proton\n/gps/number 5\n/gps/e", "a primary is one particle"),
        ("proton\n/gps/e", "proton\n/gps/number 0\n/gps/e", "a primary is one particle"),
        ("proton\n/gps/e", "proton\n/gps/source/multiplevertex 1\n/gps/e", "one particle, of one"),
        ("onlyProtons proton", "f proton neutron", "too low by factors"),
        ("particle onlyProtons proton", "neutral f", "too low by factors"),
        ("particle onlyProtons proton", "kineticEnergy f 10 1 MeV", "from 10 to 1 is empty"),
        (
            "particle onlyProtons proton",
            "particleWithKineticEnergy f 1 1 MeV proton",
            "from 1 to 1 is empty",
        ),
        ("dose dose.csv", "dose ../dose.csv", "plain file"),
        ("dose dose.csv", "dose /tmp/dose.csv", "plain file"),
        ("nBin 1 50 1", "nBin 1 50000 50000", "1 to"),
        ("nBin 1 50 1", "nBin 0 50 1", "1 to"),
        ("nBin 1 50 1", "nBin 1 x 1", "a whole number"),
        ("cylinderMesh m", "cylinderMesh ../m", "must be a name"),
        ("cylinderMesh m", "probe m", "not supported"),
        ("cylinderSize 2 50 mm", "cylinderSize 2 50 parsec", "unit of length"),
        ("cylinderSize 2 50 mm", "cylinderSize 2 50", "unit of length"),
        ("cylinderSize 2 50 mm", "cylinderSize nan 50 mm", "a number"),
        ("cylinderSize 2 50 mm", "cylinderSize -2 50 mm", "positive"),
        ("nBin 1 50 1", "nBin 1 50 1\n/score/mesh/cylinderRMin 1 mm", "as if"),
        ("doseDeposit dose Gy", "doseDeposit do/se Gy", "must be a name"),
        ("cellFlux flu", "cellFlux dose", "scorer name"),
        ("/score/close\n", "", "not closed"),
        ("/gps/energy 70 MeV", "/gps/energy 70 MeV \\", "continued"),
        ("/gps/energy 70 MeV", "/gps/energy 70\x01 MeV", "control characters"),
    ],
)
def test_malformed_macros_are_refused_with_a_reason(old: str, new: str, reason: str) -> None:
    assert old in MACRO
    assert any(reason in problem for problem in refused(MACRO.replace(old, new)))


def test_all_problems_are_told_at_once() -> None:
    macro = MACRO.replace("/gps/particle proton", "/gps/particle x\n/control/shell ls")
    problems = refused(macro, GEOMETRY.replace("<solids>", '<file name="x.gdml"/><solids>'))
    assert len(problems) == 3


ENTITY = (
    '<?xml version="1.0"?>\n<!DOCTYPE gdml [<!ENTITY e SYSTEM "file:///etc/passwd">]>\n<gdml>&e;'
)


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        (GEOMETRY.replace('<?xml version="1.0"?>\n<gdml>', ENTITY), "DOCTYPE"),
        (GEOMETRY.replace("<gdml>", "<!DOCTYPE gdml><gdml>"), "DOCTYPE"),
        (GEOMETRY.replace("<solids>", '<solids><loop for="i" to="9"/>'), "loops"),
        (GEOMETRY.replace("</volume>", '<file name="x.gdml"/></volume>'), "further files"),
        (GEOMETRY.replace("</gdml>", ""), "well-formed"),
        ("", "well-formed"),
        ("<html/>", "outermost"),
        ("<gdml/>", "no <structure>"),
        ("<gdml>" + "<a>" * 500 + "</a>" * 500 + "</gdml>", "nested"),
    ],
)
def test_dangerous_or_broken_geometry_is_refused(geometry: str, reason: str) -> None:
    assert any(reason in problem for problem in refused(geometry=geometry))


@pytest.mark.parametrize("name", ["../x.mac", "/etc/x.mac", "a\0b.mac", ".mac", "a b.mac", ""])
def test_hostile_file_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        Geant4().accept_files({"g.gdml": GEOMETRY, name: MACRO})


def test_further_files_are_refused() -> None:
    assert refused(**{"more.txt": ""}) == ["more.txt: run.mac does not name it"]
    assert any("nothing else" in p for p in refused(**{"more.txt": "", "and.txt": ""}))


def test_particles_that_need_data_sets_pass_when_they_are_there() -> None:
    engine = Geant4(data={"G4LEDATA": "/data"})
    macro = MACRO.replace("/gps/particle proton", "/gps/particle neutron")
    assert engine.accept_files({"g.gdml": GEOMETRY, "run.mac": macro}).primaries == 500


def test_filters_of_one_name_show_what_they_select() -> None:
    macro = """/score/create/boxMesh m
/score/mesh/boxSize 1 1 1 cm
/score/mesh/nBin 1 1 1
/score/quantity/energyDeposit a
/score/filter/charged F
/score/quantity/energyDeposit b
/score/filter/neutral F
/score/quantity/energyDeposit c
/score/filter/particle F proton
/score/close
/run/initialize
/gps/particle proton
/gps/energy 100 MeV
/run/beamOn 10
"""
    engine = Geant4(data={"G4LEDATA": "/data"})
    (output,) = engine.accept_files({"g.gdml": GEOMETRY, "run.mac": macro}).outputs
    labels = [quantity.filter_name for quantity in output.quantities]
    assert labels == ["F charged", "F neutral", "F proton"]


RANGE = "MeV per nucleon; Geant4 transports"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("/gps/particle proton\n/gps/energy 90 eV", f"9e-05 {RANGE} from 0.0001"),
        ("/gps/energy 200 TeV\n/gps/particle proton", f"2e+08 {RANGE} up to 1e+08"),
        ("/gps/particle proton\n/gps/energy 200000", f"2e+08 {RANGE} up to 1e+08"),  # GeV
        ("/gps/particle alpha\n/gps/ene/mono 0.3", f"7.5e-05 {RANGE} from 0.0001"),  # keV
        ("/gps/particle ion\n/gps/ion 6 12\n/gps/energy 1 keV", f"8.33333e-05 {RANGE} from 0.0001"),
        ("/gps/particle proton\n/gps/energy 0 MeV", f"0 {RANGE} from 0.0001"),
        ("/gps/particle gamma\n/gps/energy 1 eV", "1e-06 MeV; Geant4 transports from 0.0001"),
        ("/gps/particle proton\n/gps/energy 1 eV\n/gps/energy 1 keV", ""),
        ("/gps/particle neutron\n/gps/energy 25 meV", ""),
        ("/gps/particle mu+\n/gps/energy 0 MeV", ""),
        ("/gps/particle ion\n/gps/ion 6 12\n/gps/energy 1000 TeV", ""),
        ("/gps/particle proton\n/gps/energy 1 eV\n/gps/ene/type Lin", ""),
        ("/gps/particle proton\n/gps/energy 1 eV\n/gps/source/add 1", ""),
    ],
)
def test_energies_of_sources_are_those_that_geant4_transports(source: str, reason: str) -> None:
    old = "/gps/particle proton\n"
    assert old in MACRO
    lines = [
        line for line in MACRO.splitlines() if not line.startswith(("/gps/particle", "/gps/en"))
    ]
    run = lines.index("/run/beamOn 500")
    text = "\n".join([*lines[:run], *source.splitlines(), *lines[run:]])
    engine = Geant4(data={"G4LEDATA": "/data"})
    files = {"g.gdml": GEOMETRY, "run.mac": text}
    if not reason:
        assert engine.accept_files(files).primaries == 500
        return
    with pytest.raises(InvalidInput) as caught:
        engine.accept_files(files)
    (problem,) = caught.value.problems
    assert problem.reason == reason
    place, _, line = problem.path.rpartition(":")
    assert place == "run.mac"
    assert text.splitlines()[int(line) - 1].startswith(("/gps/energy", "/gps/ene/mono"))
