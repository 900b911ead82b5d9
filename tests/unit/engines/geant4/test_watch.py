"""Which messages of Geant4 mean that a task went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kerma_engines.geant4.transport.watch import (
    Stage,
    Watch,
    blames_input,
    fault,
    is_transient,
    last_exception,
)

if TYPE_CHECKING:
    from pathlib import Path

CONFINE = " **** Error: Volume <V> does not exist **** \n Ignoring confine condition\n"
FILTER = "WARNING : G4VScoringMesh::SetFilter() : c is overwritten by c2\n"


def exception(code: str, text: str, severity: str = "This is just a warning message.") -> str:
    return (
        "\n-------- WWWW ------- G4Exception-START -------- WWWW -------\n"
        f"*** G4Exception : {code}\n      issued by : Somewhere()\n{text}\n*** {severity} ***\n"
        "-------- WWWW -------- G4Exception-END --------- WWWW -------\n\n"
    )


STUCK = exception("GeomNav1002", "Track stuck or not moving.")
GIVEN_UP = exception("GeomNav0003", "Stuck Track: potential problem.", "Event Must Be Aborted")
QUIET = (
    "G4GDML: Reading 'g.gdml'...\nG4GDML: Reading solids...\n",
    "  hInelastic QGSP_BIC  Thresholds: \n  0) between BIC and BERT for p, n over the interval\n",
    "",
)


@pytest.mark.parametrize(
    ("stage", "text", "said"),
    [
        (Stage.COMMAND, CONFINE, "Volume <V> does not exist"),
        (Stage.COMMAND, FILTER, "overwritten"),
        (Stage.COMMAND, "command not found\n", "not found"),
        (Stage.COMMAND, "***** COMMAND NOT FOUND </gps/x> *****\n", "/gps/x"),
        (Stage.COMMAND, "parameter out of range: N>0\n", "N>0"),
        (Stage.COMMAND, "Illegal application state\n", "Illegal"),
        (Stage.COMMAND, exception("em0044", "Value 7 is out of range: ignored"), "em0044 Some"),
        (Stage.GEOMETRY, exception("GeomSolids1001", "Defects in solid: s"), "in solid: s"),
        (Stage.GEOMETRY, "Unsupported GDML tag 'x' for assembly\n", "'x'"),
        (Stage.PHYSICS, exception("Run0035", "no", "Fatal Exception"), "Run0035"),
        (Stage.RUN, CONFINE, "does not exist"),
        (Stage.RUN, exception("G4GPS001", "LoopCount = 100000"), "LoopCount"),
        (Stage.RUN, exception("x", "This primary particle will be ignored."), "be ignored"),
        (Stage.RUN, exception("Run0036", "over", "Run Must Be Aborted"), "over"),
    ],
)
def test_a_complaint_is_found_in_one_line(stage: Stage, text: str, said: str) -> None:
    found = fault(f"\n{text}\n", stage)
    assert said in found
    assert "\n" not in found


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("text", QUIET)
def test_reports_are_no_complaints(stage: Stage, text: str) -> None:
    assert fault(text, stage) == ""


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        (Stage.RUN, STUCK),
        (Stage.RUN, "Warning: something\n"),
        (Stage.PHYSICS, exception("had012", "no data for an isotope: not found")),
    ],
)
def test_what_changes_no_result_is_no_complaint(stage: Stage, text: str) -> None:
    assert fault(text, stage) == ""


def test_a_log_is_read_as_it_grows(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(CONFINE)
    watch = Watch(log)
    assert watch.fault(Stage.COMMAND)
    assert watch.fault(Stage.COMMAND) == ""
    with log.open("a") as file:
        file.write(2 * GIVEN_UP)
    assert watch.fault(Stage.RUN) == ""
    assert watch.given_up == 2
    assert "Stuck Track" in watch.why


def test_the_last_exception_is_what_ended_a_process() -> None:
    fatal = exception("G4GPS005", "set 5 is invalid", "Fatal Exception")
    said = last_exception(STUCK + fatal + "core dump\n")
    assert said.startswith("*** G4Exception : G4GPS005\n")
    assert said.endswith("*** Fatal Exception ***\n")
    assert last_exception("no exception") == "no exception\n"


FATAL = "Fatal Exception"


@pytest.mark.parametrize(
    ("code", "severity", "of_input"),
    [
        ("GeomSolids0002", f"{FATAL} *** core dump ***", True),
        ("GeomSolids0002", "This is just a warning message.", False),
        ("em0003", f"{FATAL} *** core dump ***", False),  # such as data that cannot be read
        ("em0003", "Fatal Error In Argument *** core dump ***", False),
        ("DetPS0101", f"{FATAL} *** core dump ***", True),
        ("InvalidArgument", "Fatal Error In Argument *** core dump ***", True),
    ],
)
def test_fatal_exceptions_about_geometry_and_arguments_blame_the_input(
    code: str, severity: str, of_input: bool
) -> None:
    earlier = exception("GeomSolids0002", "too small", f"{FATAL} *** core dump ***")
    assert blames_input(earlier + exception(code, "why", severity)) is of_input
    assert not blames_input("std::bad_alloc")


FATAL_READ = exception("InvalidRead", "Unable to open document: g.gdml", FATAL)
BAD_TAG = exception("ReadError", "Unknown tag in structure: x", FATAL)


def gdml(text: str, place: str) -> str:
    return text.replace("Somewhere()", place)


def test_files_memory_and_data_never_blame_the_input() -> None:
    assert blames_input(gdml(BAD_TAG, "G4GDMLReadStructure::StructureRead()"))
    assert not blames_input(gdml(BAD_TAG, "G4GDMLRead::Read()"))  # the file is truncated
    assert not blames_input(gdml(FATAL_READ, "G4GDMLReadSolids::Read()"))
    solid = exception("GeomSolids0002", "too small", FATAL)
    assert not blames_input(f"{solid}terminate called after throwing an instance of std::bad_alloc")


@pytest.mark.parametrize(
    ("stage", "said", "transient"),
    [
        (Stage.COMMAND, "em0044 G4EmParameters: Value 7 is out of range: ignored", False),
        (Stage.RUN, "had013 G4NeutronInelasticXS: cannot find inel6", True),
        (Stage.PHYSICS, "PART70000 G4LevelReader: PhotonEvaporation is not there", True),
        (Stage.RUN, "Volume <V> does not exist Ignoring confine condition", False),
        (Stage.GEOMETRY, "G4GDML: FATAL ERROR! unexpected end of input at line: 7", True),
        (Stage.GEOMETRY, "GeomSolids1001 G4Box: Defects in solid: s", False),
        (Stage.COMMAND, "error: No space left on device", True),
    ],
)
def test_complaints_about_the_machine_are_transient(
    stage: Stage, said: str, transient: bool
) -> None:
    assert is_transient(said, stage) is transient
