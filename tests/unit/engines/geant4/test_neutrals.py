"""Neutrons and photons without data sets: refused when requested, noted when they appear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.engine import Geant4
from kerma_engines.geant4.scorers import neutrals
from kerma_engines.geant4.scorers.grammar import parse_rules
from kit.inputs import editor as make
from kit.programs.geant4 import run_files

INPUTS = Path(__file__).parent / "inputs"
GEOMETRY = (INPUTS / "box.gdml").read_text()
MACRO = (INPUTS / "depth.mac").read_text()
FILTER = "/score/filter/particle onlyProtons proton"
FULL = {"G4LEDATA": "/data"}


@pytest.mark.parametrize(
    ("rules", "asked", "passes"),
    [
        ("Z==1", False, False),
        ("Z!=0", False, False),
        ("Z>=1 A>=1", False, False),
        ("A==1", False, True),
        ("A<=1", False, True),
        ("A>1", False, False),
        ("GEN>=1", False, True),
        ("GEN==0", False, False),
        ("GEN<1", False, False),
        ("GEN!=1", False, True),
        ("E>10", False, True),
        ("E>10 Z==2", False, False),
        ("AMASS>900", False, True),
        ("AMASS>1000", False, False),
        ("AMU<1.008", False, True),
        ("PDG==2212", False, False),
        ("PDG==2212|2112", True, True),
        ("PDG==2112", True, True),
        ("PDG==22", True, True),
        ("PDG!=2212", False, True),
        ("Z==0", True, True),
        ("Z<1 E>5", True, True),
        ("Z==0 A==1 GEN==0", True, False),
    ],
)
def test_a_filter_is_judged_by_what_it_lets_through(
    rules: str, *, asked: bool, passes: bool
) -> None:
    parsed = parse_rules(rules.split())
    assert neutrals.are_asked_for(parsed) is asked
    assert neutrals.pass_through(parsed) is passes


def accepted(line: str, *, full: bool = False, quantity: str = "cellFlux flu") -> list[str]:
    engine = Geant4(data=FULL) if full else Geant4()
    macro = MACRO.replace(FILTER, line).replace("cellFlux flu", quantity)
    return list(engine.accept_files({"g.gdml": GEOMETRY, "run.mac": macro}).options["notes"])


@pytest.mark.parametrize(
    "line", ["", "/score/filter/kineticEnergy f 1 9 MeV", "/kerma/filter A==1", "/kerma/filter E>1"]
)
def test_fluence_that_counts_neutrals_is_noted_with_its_line(line: str) -> None:
    (note,) = accepted(line)
    assert note == f"run.mac:10: flu {neutrals.NOTE}"
    assert accepted(line, full=True) == []


@pytest.mark.parametrize("line", [FILTER, "/score/filter/charged f", "/kerma/filter Z==1"])
def test_fluence_of_charged_particles_needs_no_note(line: str) -> None:
    assert accepted(line) == []


@pytest.mark.parametrize(
    ("quantity", "noted"),
    [
        ("energyDeposit flu", False),
        ("doseDeposit flu", False),
        ("cellCharge flu", False),
        ("passageCellFlux flu", True),
        ("volumeFlux flu", True),
        ("population flu", True),
        ("nOfSecondary flu", True),
        ("minKinEAtGeneration flu", True),
    ],
)
def test_what_neutral_particles_carry_is_noted(quantity: str, *, noted: bool) -> None:
    assert bool(accepted("", quantity=quantity)) is noted


@pytest.mark.parametrize(
    "line",
    [
        "/score/filter/neutral f",
        "/score/filter/particle f gamma",
        "/score/filter/particleWithKineticEnergy f 1 2 MeV proton neutron",
        "/kerma/filter Z==0",
        "/kerma/filter PDG==2112|2212",
    ],
)
def test_what_asks_for_neutrals_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        accepted(line)
    (problem,) = caught.value.problems
    assert problem.path == "run.mac:11"
    assert "too low by factors" in problem.reason
    assert accepted(line, full=True) == []


def project(rules: list[dict[str, Any]]) -> dict[str, Any]:
    chosen = {"filter": "f"} if rules else {}
    return make.project(
        {"a": make.box((10, 10, 20))},
        [make.zone("water", "a")],
        world=make.box((30, 30, 60)),
        detectors=[make.mesh((1, 1, 1), (1, 1, 1))],
        quantities=[
            {"keyword": "Fluence", **chosen},
            {"keyword": "Dose", **chosen},
            {"keyword": "dLET", **chosen},
        ],
        filters=[{"uuid": "f", "name": "f", "rules": rules}] if rules else [],
    )


def rule(keyword: str, operator: str, value: float) -> dict[str, Any]:
    return {"keyword": keyword, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("rules", "noted"),
    [
        ([], True),
        ([rule("A", "==", 1)], True),
        ([rule("GEN", ">=", 1)], True),
        ([rule("GEN", "==", 0)], False),
        ([rule("Z", "==", 1), rule("A", "==", 1)], False),
    ],
)
def test_projects_say_which_fluence_counts_neutrals(
    rules: list[dict[str, Any]], *, noted: bool
) -> None:
    inputs = Geant4().convert(project(rules))
    notes = [note for note in inputs.options["notes"] if neutrals.NOTE in note]
    place = "scoringManager.outputs[0].quantities[0]: fluence "
    assert notes == ([place + neutrals.NOTE] if noted else [])
    pages = inputs.options["pages"][0]
    assert [page.get("note") for page in pages] == [neutrals.NOTE if noted else None, None, None]
    assert not any(
        neutrals.NOTE in note for note in Geant4(data=FULL).convert(project(rules)).options["notes"]
    )


def test_pages_carry_the_note(tmp_path: Path) -> None:
    files = {"g.gdml": GEOMETRY, "run.mac": MACRO.replace(FILTER, "")}
    (estimator,) = run_files(files, tmp_path, 2)
    assert [page.metadata.get("note") for page in estimator.pages] == [None, neutrals.NOTE]
