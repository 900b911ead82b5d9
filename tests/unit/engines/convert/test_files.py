"""User-supplied input files: what is accepted, what is refused, and edits of a single number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine_inputs import REAL, figure, project, zone
from kerma_engines.adapter.files import MAX_FILES, checked_files
from kerma_engines.catalogue.registry import engine
from kerma_engines.errors import InvalidInput

BEAM = """RNDSEED 89736501     ! seed
! NSTAT 10 is a comment
* NSTAT 20 too
NSTAT       10000    0       ! NSTAT 10000, Step of saving 10000
NUCRE           1
"""
SHIELDHIT = {
    "beam.dat": BEAM,
    "geo.dat": "x\n",
    "mat.dat": "x\n",
    "detect.dat": "Output\n    Filename a.bdo\n    Quantity Dose\n    Quantity Fluence Protons\n",
}
FLUKA = """TITLE
START is no card here
BEAM           -0.07                                                  PROTON
* START 5
USRBIN          10.0      DOSE     -21.0       1.0       1.0       1.0Dose
USRBIN          -1.0      -1.0      -1.0       4.0       4.0       4.0&
USRBIN          10.0     208.0     -22.0       1.0       1.0       1.0Energy
RANDOMIZ         1.0     137.0
START       100000.0     999.0                 1.0                    report
STOP
START          123.0
"""
TOPAS = """# i:So/Demo/NumberOfHistoriesInRun = 7
i:Ts/Seed = 1 # So/Demo/NumberOfHistoriesInRun = 8
s:So/Demo/BeamParticle = "proton"
i:So/Demo/NumberOfHistoriesInRun = 1000   # histories
s:Sc/Dose/Quantity = "DoseToMedium"
s:Sc/Dose/OutputFile = "dose"
"""

VALID: dict[str, dict[str, str]] = {
    "shieldhit": SHIELDHIT,
    "fluka": {"a.inp": FLUKA},
    "topas": {"a.txt": TOPAS},
}


def refused(name: str, files: dict[str, str]) -> str:
    with pytest.raises(InvalidInput) as verdict:
        engine(name).accept_files(files)
    return str(verdict.value)


def prepared(name: str, files: dict[str, str], tmp_path: Path, **task: int) -> dict[str, str]:
    inputs = engine(name).accept_files(files)
    engine(name).prepare(inputs, tmp_path, **task)
    assert dict(inputs.files) == files, "the originals stay"
    return {path.name: path.read_text() for path in tmp_path.iterdir()}


def changed_lines(before: str, after: str) -> list[tuple[str, str]]:
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    return [(old, new) for old, new in pairs if old != new]


def seeds_of(files: dict[str, str], tmp_path: Path, seed: int) -> tuple[int, int]:
    """Return the offset on the command line, and the base in beam.dat."""
    inputs = engine("shieldhit").accept_files(files)
    command = engine("shieldhit").prepare(inputs, tmp_path, primaries=5, seed=seed)
    cards = [line.split() for line in (tmp_path / "beam.dat").read_text().splitlines()]
    (base,) = [int(words[1]) for words in cards if words and words[0] == "RNDSEED"]
    return int(command.argv[2]), base


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "../x",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "",
            ".",
            "..",
            "a\0b",
            "a\nb",
            "-rf",
            "$(reboot).inp",
            "a b",
            "é",
            "\ud800",
            "x" * 101,
            ".bashrc",
        ],
    )
    @pytest.mark.parametrize("code", sorted(VALID))
    def test_anything_but_plain_names_is_refused(self, code: str, name: str) -> None:
        assert "file names hold letters" in refused(code, {**VALID[code], name: "x"})

    def test_names_that_differ_only_in_case_are_refused(self) -> None:
        assert "only in case" in refused("shieldhit", {**SHIELDHIT, "GEO.dat": "x"})

    def test_numbers_and_sizes_are_limited(self) -> None:
        with pytest.raises(InvalidInput, match="at most"):
            checked_files({f"f{k}": "" for k in range(MAX_FILES + 1)})
        with pytest.raises(InvalidInput, match="bytes"):
            checked_files({"a": "x" * (65 * 2**20)})

    def test_text_that_no_file_can_hold_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="NUL"):
            checked_files({"a": "\0"})
        with pytest.raises(InvalidInput, match="Unicode"):
            checked_files({"a": "\ud800"})


class TestShieldHit:
    def test_primaries_and_outputs_are_found(self) -> None:
        inputs = engine("shieldhit").accept_files(SHIELDHIT)
        assert inputs.primaries == 10_000
        (output,) = inputs.outputs
        assert (output.file, [q.keyword for q in output.quantities]) == (
            "a.bdo",
            ["Dose", "Fluence"],
        )
        assert output.quantities[1].filter_name == "Protons"

    def test_only_the_number_is_replaced(self, tmp_path: Path) -> None:
        files = prepared("shieldhit", SHIELDHIT, tmp_path, primaries=77, seed=3)
        assert changed_lines(BEAM, files["beam.dat"]) == [
            (
                "NSTAT       10000    0       ! NSTAT 10000, Step of saving 10000",
                "NSTAT       77       0       ! NSTAT 10000, Step of saving 10000",
            )
        ]

    def test_the_command_has_a_seed_and_watches_its_log(self, tmp_path: Path) -> None:
        inputs = engine("shieldhit").accept_files(SHIELDHIT)
        command = engine("shieldhit").prepare(inputs, tmp_path, primaries=5, seed=12)
        assert command.argv == ("shieldhit", "-N", "12", str(tmp_path))
        assert command.watch == "shieldhit_0012.log"

    @pytest.mark.parametrize("seed", [1, 2**31, 2**63 - 1])
    def test_seeds_stay_within_what_the_engines_take(self, tmp_path: Path, seed: int) -> None:
        offset, base = seeds_of(SHIELDHIT, tmp_path, seed)
        assert 1 <= offset <= 9999
        assert 1 <= base + offset < 900_000_000
        text = prepared("fluka", {"a.inp": FLUKA}, tmp_path, primaries=5, seed=seed)["a.inp"]
        (card,) = [line for line in text.splitlines() if line.startswith("RANDOMIZ")]
        assert 1 <= float(card[20:30]) < 9e8
        text = prepared("topas", {"a.txt": TOPAS}, tmp_path, primaries=5, seed=seed)["a.txt"]
        (line,) = [line for line in text.splitlines() if line.startswith("i:Ts/Seed")]
        assert 1 <= int(line.split("=")[1].split("#")[0]) < 2**31

    def test_every_seed_has_random_numbers_of_its_own(self, tmp_path: Path) -> None:
        seeds = [1, 2, 9999, 10_000, 10_001, 123_456_789, 779_999_999]
        told = [seeds_of(SHIELDHIT, tmp_path, seed) for seed in seeds]
        assert told[:3] == [(1, 89736501), (2, 89736501), (9999, 89736501)]
        assert [offset + base - 89736501 for offset, base in told] == seeds

    def test_a_set_without_a_seed_gets_one_when_needed(self, tmp_path: Path) -> None:
        bare = {**SHIELDHIT, "beam.dat": "NSTAT 10 0\n"}
        assert seeds_of(bare, tmp_path, 10_000) == (1, 89736501 + 9999)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"beam.dat": "RNDSEED x\nNSTAT 1 0\n"}, "beam.dat:1"),
            ({"beam.dat": "RNDSEED 1\nRNDSEED 2\nNSTAT 1 0\n"}, "more than one RNDSEED"),
            ({"beam.dat": "NUCRE 1\n"}, "no NSTAT"),
            ({"beam.dat": "NSTAT 1 0\nNSTAT 2 0\n"}, "more than one NSTAT"),
            ({"beam.dat": "NSTAT many 0\n"}, "beam.dat:1"),
            ({"beam.dat": "NSTAT -5 0\n"}, "beam.dat:1"),
            ({"beam.dat": "NSTAT 1e400 0\n"}, "beam.dat:1"),
            ({"detect.dat": "Output\n Filename ../a.bdo\n"}, "plain file name"),
            ({"detect.dat": "Output\n Filename a.txt\n"}, "bdo"),
            ({"detect.dat": "Output\n Filename a.bdo\nOutput\n Filename a.bdo\n"}, "twice"),
        ],
    )
    def test_what_can_not_run_is_refused(self, change: dict[str, str], reason: str) -> None:
        assert reason in refused("shieldhit", {**SHIELDHIT, **change})

    def test_missing_files_are_named(self) -> None:
        text = refused("shieldhit", {"beam.dat": BEAM})
        assert all(name in text for name in ("geo.dat", "mat.dat", "detect.dat"))

    def test_more_primaries_than_the_engine_counts_are_refused(self, tmp_path: Path) -> None:
        inputs = engine("shieldhit").accept_files(SHIELDHIT)
        with pytest.raises(InvalidInput, match="primaries"):
            engine("shieldhit").prepare(inputs, tmp_path, primaries=2**31, seed=1)
        assert not list(tmp_path.iterdir()), "nothing is half written"


class TestFluka:
    def test_primaries_and_units_are_found(self) -> None:
        inputs = engine("fluka").accept_files({"a.inp": FLUKA})
        assert inputs.primaries == 100_000
        found = [(o.file, [(q.name, q.keyword) for q in o.quantities]) for o in inputs.outputs]
        assert found == [("21", [("Dose", "DOSE")]), ("22", [("Energy", "ENERGY")])]

    def test_other_fields_of_the_cards_stay(self, tmp_path: Path) -> None:
        files = prepared("fluka", {"a.inp": FLUKA}, tmp_path, primaries=77, seed=5)
        assert changed_lines(FLUKA, files["a.inp"]) == [
            ("RANDOMIZ         1.0     137.0", "RANDOMIZ         1.0       5.0"),
            (
                "START       100000.0     999.0                 1.0                    report",
                "START           77.0     999.0                 1.0                    report",
            ),
        ]

    def test_a_missing_seed_is_put_before_the_start(self, tmp_path: Path) -> None:
        text = "\n".join(line for line in FLUKA.splitlines() if "RANDOMIZ" not in line)
        lines = prepared("fluka", {"a.inp": text}, tmp_path, primaries=9, seed=5)["a.inp"].split(
            "\n"
        )
        assert lines[lines.index("STOP") - 2] == "RANDOMIZ         1.0       5.0"

    @pytest.mark.parametrize(
        ("card", "wanted"),
        [
            ("START 1000.0 5.0", "START 77. 5.0"),
            ("START, 1000.0, 5.0", "START, 77., 5.0"),
            ("START             20", "START           77.0"),
            ("START         1.0E3", "START           77.0"),
        ],
    )
    def test_free_and_fixed_format(self, tmp_path: Path, card: str, wanted: str) -> None:
        detector = f"{'USRBIN':<20}{'DOSE':>10}{-21.0:>10}\n"
        text = f"{detector}RANDOMIZ 1.0 2.0\n{card}\nSTOP\n"
        files = prepared("fluka", {"a.inp": text}, tmp_path, primaries=77, seed=5)
        assert files["a.inp"] == f"{detector}RANDOMIZ 1.0 5.\n{wanted}\nSTOP\n"

    @pytest.mark.parametrize("primaries", [1, 99_999_999, 123_456_789, 999_999_999])
    def test_every_number_is_written_exactly(self, tmp_path: Path, primaries: int) -> None:
        task = {"primaries": primaries, "seed": 899_999_999}
        text = prepared("fluka", {"a.inp": FLUKA}, tmp_path, **task)["a.inp"]
        start = next(line for line in text.splitlines() if line.startswith("START  "))
        assert float(start[10:20]) == primaries
        assert start[20:30] == "     999.0"

    def test_the_command_names_the_file(self, tmp_path: Path) -> None:
        inputs = engine("fluka").accept_files({"a.inp": FLUKA, "extra.dat": "x"})
        command = engine("fluka").prepare(inputs, tmp_path, primaries=5, seed=12)
        assert command.argv == ("rfluka", "-N0", "-M1", "a.inp")
        assert command.watch == "fluka_*/*001.out"

    @pytest.mark.parametrize(
        ("files", "reason"),
        [
            ({"a.txt": FLUKA}, "one file"),
            ({"a.inp": FLUKA, "b.inp": FLUKA}, "one file"),
            ({"a+b.inp": FLUKA}, "name of the input"),
            ({"a.inp": "STOP\n"}, "no START"),
            ({"a.inp": "START 5.0\nSTART 6.0\n"}, "more than one START"),
            ({"a.inp": "START        many\n"}, "a.inp:1"),
            ({"a.inp": "START\n"}, "a.inp:1"),
            ({"a.inp": "RANDOMIZ 1.\nRANDOMIZ 1.\nSTART 5.0\n"}, "RANDOMIZ"),
        ],
    )
    def test_what_can_not_run_is_refused(self, files: dict[str, str], reason: str) -> None:
        assert reason in refused("fluka", files)


class TestTopas:
    def test_primaries_and_scorers_are_found(self) -> None:
        inputs = engine("topas").accept_files({"a.txt": TOPAS})
        assert inputs.primaries == 1000
        assert [(o.name, o.file) for o in inputs.outputs] == [("Dose", "dose.csv")]

    def test_comments_and_other_parameters_stay(self, tmp_path: Path) -> None:
        text = prepared("topas", {"a.txt": TOPAS}, tmp_path, primaries=77, seed=5)["a.txt"]
        assert text == (
            TOPAS.replace("= 1000   #", "= 77   #").replace("Seed = 1 ", "Seed = 5 ")
            + "i:Ts/NumberOfThreads = 1\n"
        )

    def test_an_included_file_is_left_alone(self, tmp_path: Path) -> None:
        files = {"a.txt": "includeFile = b.txt\n", "b.txt": TOPAS}
        written = prepared("topas", files, tmp_path, primaries=77, seed=5)
        assert written["b.txt"] == TOPAS
        assert "i:So/Demo/NumberOfHistoriesInRun = 77\n" in written["a.txt"]

    @pytest.mark.parametrize(
        ("files", "reason"),
        [
            ({"a.txt": TOPAS, "b.txt": ""}, "one parameter file"),
            ({"a.txt": "includeFile = ../b.txt\n"}, "plain file"),
            ({"a.txt": 's:Sc/A/OutputFile = "../x"\n' + TOPAS}, "plain file name"),
            ({"a.txt": "i:So/A/NumberOfHistoriesInRun = So/B/N * 2\n"}, "a.txt:1"),
            ({"a.txt": "i:So/A/NumberOfHistoriesInRun = 5\n" + TOPAS}, "one source"),
            ({"a.txt": "i:Ts/Seed = 1\n"}, "one source"),
        ],
    )
    def test_what_can_not_be_split_is_refused(self, files: dict[str, str], reason: str) -> None:
        assert reason in refused("topas", files)


@pytest.mark.parametrize("name", ["shieldhit", "fluka"])
def test_real_payloads_are_accepted(name: str, tmp_path: Path) -> None:
    path = REAL / f"projects/payload_files_{name}.json"
    if not path.exists():
        pytest.skip("the real data is not here")
    files = json.loads(path.read_text())["input_files"]
    inputs = engine(name).accept_files(files)
    assert inputs.primaries == 10_000
    assert inputs.outputs
    engine(name).prepare(inputs, tmp_path, primaries=2500, seed=7)
    again = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert engine(name).accept_files(again).primaries == 2500


@pytest.mark.parametrize(
    ("file", "primaries", "units"),
    [
        ("fluka/exmixed.inp", 100_000, ["47", "48", "49", "50", "51"]),
        ("fluka/exfixed.inp", 1000, ["47", "48", "49", "50", "51"]),
        ("fluka/minimal_input/minimal.inp", 20, ["21", "22"]),
        ("fluka/proton.inp", 10_000, ["21", "22", "23", "24", "25", "26"]),
    ],
)
def test_real_fluka_inputs_are_accepted(file: str, primaries: int, units: list[str]) -> None:
    path = REAL / file
    if not path.exists():
        pytest.skip("the real data is not here")
    inputs = engine("fluka").accept_files({path.name: path.read_text()})
    assert inputs.primaries == primaries
    assert [o.file for o in inputs.outputs] == units


@pytest.mark.parametrize(
    ("file", "primaries", "result"),
    [
        ("topas/minimal/minimal.txt", 20, "fluence_bp_protons_xy.csv"),
        ("topas/sphere/sphere.txt", 10, "MyScorer.csv"),
    ],
)
def test_real_topas_parameters_are_accepted(file: str, primaries: int, result: str) -> None:
    path = REAL / file
    if not path.exists():
        pytest.skip("the real data is not here")
    inputs = engine("topas").accept_files({path.name: path.read_text()})
    assert inputs.primaries == primaries
    assert inputs.outputs[0].file == result


@pytest.mark.parametrize("name", ["shieldhit", "fluka", "topas"])
def test_converted_files_are_prepared_like_any_others(name: str, tmp_path: Path) -> None:
    figures = [figure("f", "box", width=4, height=4, depth=4)]
    mapping: dict[str, Any] = project(
        figures, [zone("z", 276, "f")], figure("w", "box", width=9, height=9, depth=9)
    )
    inputs = engine(name).convert(mapping)
    command = engine(name).prepare(inputs, tmp_path, primaries=33, seed=4)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(written) == set(inputs.files)
    assert engine(name).accept_files(written).primaries == 33
    assert command.argv
