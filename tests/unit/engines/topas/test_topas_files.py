"""Users' TOPAS parameters: names, include chains, times, results that would be lost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from kerma_engines.catalogue.registry import engine
from kerma_engines.errors import InvalidInput
from kerma_engines.topas.parameters import gathered, histories

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet

SOURCE = "i:So/Demo/NumberOfHistoriesInRun = 1000\n"
SCORER = 's:Sc/Dose/Quantity = "DoseToMedium"\n'
RANDOM = (
    'b:Tf/RandomizeTimeDistribution = "True"\nd:Tf/TimelineEnd = 10 s\n'
    "i:So/Demo/NumberOfHistoriesInRandomJob = 500\ni:Tf/NumberOfSequentialTimes = 7\n"
)


def accepted(text: str, **more: str) -> InputSet:
    extra = {f"{name}.txt": other for name, other in more.items()}
    return engine("topas").accept_files({"a.txt": text, **extra})


def refused(text: str, **more: str) -> str:
    with pytest.raises(InvalidInput) as verdict:
        accepted(text, **more)
    return str(verdict.value)


def prepared(inputs: InputSet, folder: Path, primaries: int = 77) -> str:
    engine("topas").prepare(inputs, folder, primaries=primaries, seed=5)
    return (folder / "a.txt").read_text()


def told(text: str) -> int:
    """Return histories by the rules of the user guide, independently of the reader under test."""
    values = {}
    for line in text.splitlines():
        found = re.match(r'\s*(?:\w+:)?([^=\s]+)\s*=\s*"?([^"#\s]*)', line.split("#")[0])
        if found:
            values[found[1].lower()] = found[2]
    if values.get("tf/randomizetimedistribution", "").lower() in ("true", "t", "1"):
        return int(values["so/demo/numberofhistoriesinrandomjob"])
    return int(values["so/demo/numberofhistoriesinrun"]) * int(
        values.get("tf/numberofsequentialtimes", 1)
    )


@pytest.mark.parametrize(
    "text",
    [
        SOURCE + SCORER,
        "I:SO/Demo/numberofhistoriesINRUN = 1000 # i:x = 2\n" + SCORER,
        "ic:So/Demo/NumberOfHistoriesInRun=1000\r\n" + SCORER,
        "i:Tf/NumberOfSequentialTimes = 1\n" + SOURCE + SCORER,
        "# a comment\nover lines\n" + SOURCE + SCORER,
        SCORER + SOURCE.rstrip(),
        RANDOM.replace("500", "1000") + SOURCE + SCORER,
        RANDOM.replace("500", "1000").replace("True", "T").upper() + SCORER,
    ],
)
def test_histories_are_counted_and_split(text: str, tmp_path: Path) -> None:
    inputs = accepted(text)
    assert inputs.primaries == told(text) == 1000
    written = prepared(inputs, tmp_path)
    assert told(written) == 77
    assert accepted(written).primaries == 77
    assert len(re.findall(r"(?im)^i?c?:?ts/seed *= *5$", written)) == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("i:Tf/NumberOfSequentialTimes = 10\n", "a.txt:1: Tf/NumberOfSequentialTimes = 10 repeats"),
        ("i:tf/numberofsequentialtimes = Tf/N * 2\n", "a.txt:1: tf/numberofsequentialtimes"),
        ('sv:Ts/ExtraSequenceFiles = 1 "b.txt"\n', "runs further sequences"),
        ('b:Ts/RestoreResultsFromFile = "True"\n', "runs nothing"),
        ("u:Sc/Dose/RepeatSequenceUntilSumGreaterThan = 5\n", "repeats runs"),
        (RANDOM + "u:So/Demo/ProbabilityOfUsingAGivenRandomTime = 0.5\n", "leaves out histories"),
        ("b:Tf/RandomizeTimeDistribution = Tf/A/Value\n", "in a computed way"),
        ('b:Tf/RandomizeTimeDistribution = "1"\n', "one source with NumberOfHistoriesInRandomJob"),
    ],
)
def test_runs_that_can_not_be_split_are_refused(line: str, reason: str) -> None:
    assert reason in refused(line + SOURCE + SCORER)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('s:Sc/Dose/OutputType = "binary"\n', 'write "csv"'),
        ('s:SC/dose/outputtype = "DICOM"\n', 'write "csv"'),
        ('s:Sc/Dose/OutputType = "Root"\n', 'write "csv"'),
        ('s:Sc/Dose/OutputType = "ASCII"\n', 'write "csv"'),
        ("s:Sc/Dose/OutputType = Ts/Unknown\n", 'write "csv"'),
        ('s:Sc/P/Quantity = "PhaseSpace"\n', "phase space"),
        ('sv:Sc/Dose/Report = 1 "Variance"\n', 'neither "Mean" nor "Sum"'),
        ('sv:Sc/Dose/Report = 2 "Sum"\n "CumulativeVolumeHistogram"\n', "volume histogram"),
        ('b:Sc/Dose/Sparsify = "True"\n', "leaves out bins"),
        ('b:Sc/Dose/OutputAfterRun = "True"\n', "a file for each run"),
        ('s:Sc/Dose/SplitByTimeFeature = "X"\n', "a file for each time"),
        ('s:Sc/B/Quantity = "Fluence"\ns:Sc/B/OutputFile = "Dose"\n', "as Dose does"),
        ("b:Sc/Dose/Active = Tf/On/Value\n", "no plain True or False"),
        ('b:Sc/Dose/Active = "f"\n', "no scorer that is active"),
        ('s:Sc/Off/OutputFile = "../x"\n', "something other than a plain file name"),
    ],
)
def test_results_that_would_be_lost_are_refused(line: str, reason: str) -> None:
    text = refused(SCORER + SOURCE + line)
    assert reason in text
    assert re.match(r"a\.txt:[1-4]: |files: no scorer", text)


def test_scorers_that_are_off_leave_the_map() -> None:
    text = SCORER + 's:Sc/Off/Quantity = "Fluence"\nb:SC/OFF/active = "FALSE"\n' + SOURCE
    assert [output.name for output in accepted(text).outputs] == ["Dose"]
    text = text.replace("FALSE", "True") + 's:Sc/Off/OutputType = "CSV"\ns:Ts/F = "flu"\n'
    outputs = accepted(text + "s:Sc/Off/OutputFile = Ts/F\n").outputs
    assert [(output.name, output.file) for output in outputs] == [
        ("Dose", "Dose.csv"),
        ("Off", "flu.csv"),
    ]


def test_what_includes_goes_before_what_is_included(tmp_path: Path) -> None:
    inner = SOURCE + SCORER + 's:Sc/Dose/OutputFile = "inner"\n'
    outer = 'SO/demo/NumberOfHistoriesInRun = 30\nincludefile = b.txt\nSc/Dose/OutputFile = "x"\n'
    inputs = accepted(outer, b=inner)
    assert inputs.primaries == 30
    assert [output.file for output in inputs.outputs] == ["x.csv"]
    assert "SO/demo/NumberOfHistoriesInRun = 77\n" in prepared(inputs, tmp_path)
    assert "includes 'c.txt', which is not here" in refused("includeFile = b.txt c.txt\n", b=inner)


def test_a_number_that_can_not_be_replaced_is_refused() -> None:
    text = refused("i:So/Demo/NumberOfHistoriesInRun =\n 1000\n" + SCORER)
    assert "must stand in one line" in text
    assert "there twice" in refused("i:ts/seed = 1\ni:Ts/Seed = 2\n" + SOURCE + SCORER)


def test_carriage_returns_end_lines_and_comments() -> None:
    """As in TOPAS: a parameter after one is not part of the comment."""
    assert "one source" in refused(f"# x\ri:So/Other/NumberOfHistoriesInRun = 5\r{SOURCE}{SCORER}")


def test_chains_end() -> None:
    files = {"a": "includeFile = a b c\n", "b": "includeFile = a\n" + SOURCE, "c": "x = y\ny = x\n"}
    found = gathered("a", files.get)
    assert set(found) == {"so/demo/numberofhistoriesinrun", "x", "y"}
    assert histories(found) == 1000


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('s:So/Demo/PhaseSpaceFileName = "/etc/passwd"', "absolute path"),
        ('s:So/Demo/PhaseSpaceFileName = "../other/beam"', "parent folder"),
        ('s:So/Demo/PhaseSpaceFileName = "beam"', "not among the files"),
        ('s:So/Demo/PhaseSpaceFileName = Ge/A + "b"', "computed way"),
        ('s:Ge/Patient/InputDirectory = "/home/"', "only the work folder"),
        ('s:Ge/Patient/DicomDirectory = "../scans"', "only the work folder"),
        ('s:Ge/Patient/InputFile = "/dev/sda"', "absolute path"),
        ('s:Ge/Thing/InputFile = "part.stl"', "not among the files"),
        ('s:Gr/View/FileName = "../../picture"', "parent folder"),
        ('s:Xx/Thing/FileName = "text.txt"', "not allowed"),
        ('s:Ma/Thing/MyExtension = "/etc/shadow"', "absolute path"),
        ('sv:Xx/Thing/Words = 2 "plain" "~/key"', "depends on the machine"),
        ('s:Sc/../Dose/Quantity = "DoseToMedium"', "'/' in its name"),
        ('s:Sc/Group/Dose/Quantity = "DoseToMedium"', "'/' in its name"),
    ],
)
def test_files_elsewhere_are_refused_with_their_line(line: str, reason: str) -> None:
    told = refused(f"{SOURCE}{SCORER}{line}\n")
    assert "a.txt:3: " in told
    assert reason in told


def test_files_that_came_along_are_read() -> None:
    lines = (
        's:Ge/Patient/InputDirectory = "./"\ns:Ge/Patient/InputFile = "ct.txt"\n'
        's:Sc/Dose/Surface = "Phantom/ZMinusSurface"\ns:Gr/View/FileName = "picture"\n'
        "i:Ge/Patient/NumberOfFiles = 1\n"
    )
    assert accepted(f"{SOURCE}{SCORER}{lines}", ct="1 2 3\n").primaries == 1000


def cad(file: str, form: str, kind: str = "TsCAD") -> str:
    return (
        f's:Ge/Thing/Type = "{kind}"\ns:Ge/Thing/FileFormat = "{form}"\n'
        f's:Ge/Thing/InputFile = "{file}"\n'
    )


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (cad("part", "ply"), ("part.ply",)),
        (cad("part", "PLY", "tscad"), ("part.ply",)),
        (cad("part.v2", "tet"), ("part.v2.node", "part.v2.ele")),
        (cad("part", "ply").replace('"part"', "Ts/Part") + 's:Ts/Part = "part"\n', ("part.ply",)),
    ],
)
def test_cad_files_are_named_without_their_ending(lines: str, names: tuple[str, ...]) -> None:
    given = dict.fromkeys(names, "ply")
    text = f"{SOURCE}{SCORER}{lines}"
    inputs = engine("topas").accept_files({"a.txt": text, **given})
    assert set(names) <= set(inputs.files)
    for missing in names:
        rest = {name: "ply" for name in names if name != missing}
        with pytest.raises(InvalidInput, match="not among the files"):
            engine("topas").accept_files({"a.txt": text, **rest})


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (cad("part.ply", "ply"), "with .ply is not among the files"),
        (cad("/etc/part", "ply"), "absolute path"),
        (cad("../part", "tet"), "parent folder"),
        (cad("/dev/sda", "ply"), "absolute path"),
        (cad("part", "stl"), "binary STL"),
        (cad("part", "obj"), "FileFormat"),
        (cad("part", "ply", "TsImageCube"), "'part', which is not among the files"),
    ],
)
def test_cad_files_that_topas_can_not_read_are_refused_with_their_line(
    lines: str, reason: str
) -> None:
    with pytest.raises(InvalidInput) as told:
        engine("topas").accept_files({"a.txt": f"{SOURCE}{SCORER}{lines}", "part.ply": "ply"})
    assert "a.txt:5: " in str(told.value)
    assert reason in str(told.value)
