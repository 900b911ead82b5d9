"""Users' FLUKA inputs: both formats, the preprocessor, seeds, results that would be lost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from kerma_engines.catalogue.registry import engine
from kerma_engines.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet

FREE = "FREE\n"
END = "START 1000.\nSTOP\n"


def scoring(text: str) -> str:
    """Insert a detector before STOP, in columns that are valid in free format as well."""
    if re.search("USR[BTC]|RESNUC|EVENT|DETECT|^USRYIELD", text):
        return text
    head, stop, tail = text.rpartition("STOP\n")
    return f"{head}{'USRBIN':<10}{10.0:>10}{'DOSE':>10}{-21.0:>10}\n{stop}{tail}"


def accepted(text: str, **more: str) -> InputSet:
    extra = {f"{name}.txt": other for name, other in more.items()}
    return engine("fluka").accept_files({"a.inp": scoring(text), **extra})


def refused(text: str, **more: str) -> str:
    with pytest.raises(InvalidInput) as verdict:
        accepted(text, **more)
    return str(verdict.value)


def prepared(text: str, folder: Path, primaries: int = 77, seed: int = 5) -> str:
    folder.mkdir(exist_ok=True)
    engine("fluka").prepare(accepted(text), folder, primaries=primaries, seed=seed)
    return (folder / "a.inp").read_text()


def free_whats(line: str) -> list[float]:
    """Parse WHATs as the manual's page on FREE describes, independently of the
    reader under test.
    """
    text = re.sub(r"\s*([,;:/\\])\s*", r"\1", line.split("!")[0].strip())
    text = re.sub(r"[,;:/\\]|\s+", ",", text)
    return [float(word or 0.0) for word in text.split(",")[1:]]


def written(text: str, keyword: str) -> list[float]:
    (line,) = [line for line in text.splitlines() if line.upper().startswith(keyword)]
    return free_whats(line)


@pytest.mark.parametrize(
    "card",
    [
        "RANDOMIZ,,5.",
        "RANDOMIZ,,",
        "RANDOMIZ,",
        "RANDOMIZ",
        "RANDOMIZ  1. 5.",
        "RANDOMIZ 1.",
        "RANDOMIZE , 1. , 2. ! a comment, 7.",
        "RANDOMIZ; 1.0 / 3.0 : 4. \\ 5.",
        "randomiz  1.",
        "RANDOMIZ                  137.",
        "RANDOMIZ 1., , 7.",
    ],
)
def test_every_task_gets_its_seed_in_free_format(card: str, tmp_path: Path) -> None:
    seen = set()
    for seed in (1, 2, 899_999_999):
        text = prepared(f"{FREE}{card}\n{END}", tmp_path / str(seed), seed=seed)
        assert written(text, "RANDOMIZ")[1] == seed
        assert written(text, "START")[0] == 77
        others = free_whats(card)
        assert written(text, "RANDOMIZ")[0] == (others[0] if others else 0.0)
        assert written(text, "RANDOMIZ")[2:] == others[2:]
        seen.add(text)
    assert len(seen) == 3


def test_a_seed_is_added_in_free_format(tmp_path: Path) -> None:
    assert written(prepared(FREE + END, tmp_path), "RANDOMIZ") == [1.0, 5.0]


@pytest.mark.parametrize(
    "how", ["FREE\n", f"{'GLOBAL':<40}{'2.0':>10}\n", f"{'GLOBAL':<40}       3.0\n"]
)
def test_free_format_may_look_like_columns(how: str, tmp_path: Path) -> None:
    text = prepared(f"{how}RANDOMIZ  1. 9.\nSTART     100. 0.0 20.\nSTOP\n", tmp_path)
    assert "RANDOMIZ  1. 5.\nSTART     77. 0.0 20.\n" in text


def test_columns_come_back_with_fixed(tmp_path: Path) -> None:
    cards = "RANDOMIZ                 137.\nSTART           100.\nSTOP\n"
    text = prepared(f"FREE\nFIXED\n{cards}", tmp_path)
    assert "RANDOMIZ                   5.0\nSTART           77.0\n" in text
    assert "RANDOMIZ                 137., 5." in prepared(f"FREE\n{cards}", tmp_path)


@pytest.mark.parametrize("card", ["START,,,", "START", "START , , 5.", "START $NPRIM", "START 0."])
def test_primaries_must_be_written_out(card: str) -> None:
    assert "a.inp:2: START holds no number" in refused(f"{FREE}{card}\nSTOP\n")


def test_empty_places_of_detectors_count() -> None:
    cards = "USRBIN,,228,-22.,1.,1.,1.,Dose\nUSRBIN,0.,0.,0.,4.,4.,4.,&\n"
    (output,) = accepted(FREE + cards + END).outputs
    assert output.file == "22"
    assert [(q.name, q.keyword) for q in output.quantities] == [("Dose", "DOSE")]


def test_names_and_numbers_of_particles_and_units_of_nuclei() -> None:
    cards = (
        "USRTRACK -1.0 NEUTRON -30. AIR 1.0 20. flux\n"
        "USRTRACK 1.0 1.E-3 , , , , , &\n"
        "USRCOLL -1.0 8.0 -30. AIR 1.0 20. coll\n"
        "RESNUCLEi 3.0 -31. , , , AIR 1.0 nuclei\n"
    )
    first, second = accepted(FREE + cards + END).outputs
    assert (first.file, second.file) == ("30", "31")
    assert [(q.name, q.keyword) for q in first.quantities] == [
        ("flux", "NEUTRON"),
        ("coll", "NEUTRON"),
    ]
    assert [(q.name, q.keyword) for q in second.quantities] == [("nuclei", "RESNUCLE")]


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("USRBIN 10. DOSE 22. 1. 1. 1. text", "text on unit 22, which is not read; write -22"),
        ("USRBIN 10. DOSE", "into the log"),
        ("USRBIN 10. DOSE 11.", "into the log"),
        ("USRBIN 10. DOSE OUT", "no number of a unit: 'OUT'"),
        ("USRBIN 10. DOSE -120.", "is -120; write a unit from -99 to -21"),
        ("USRBIN 10. DOSE -5.", "is -5"),
        ("RESNUCLEi 3. 21.", "WHAT(2) of RESNUCLE asks for text"),
        ("USRYIELD 124. PROTON -21.", "results of USRYIELD can't be read back; use USRBDX"),
        ("EVENTBIN 10. DOSE -21.", "use USRBIN"),
        ("DETECT 0. 0. 1.", "DETECT can't be read back"),
        ("USERDUMP 100. 49.", "USERDUMP can't be read back"),
        ("USRBIN 10. DOSE -21.\nUSRBDX 1. PROTON -21.", "unit 21 is that of USRBIN already"),
        ("OPEN -21.\nout.bin\nUSRBIN 10. DOSE -21.", "a file of its own"),
    ],
)
def test_results_that_would_be_lost_are_refused_with_the_line(card: str, reason: str) -> None:
    text = refused(f"{FREE}{card}\n{END}")
    assert reason in text
    assert re.search(r"a\.inp:[23]: ", text)


def test_all_lost_results_are_told_at_once() -> None:
    text = refused(f"{FREE}USRBIN 10. DOSE 22.\nUSRYIELD 1. PROTON 23.\n{END}")
    assert "a.inp:2: " in text
    assert "a.inp:3: " in text


def test_the_preprocessor_is_obeyed(tmp_path: Path) -> None:
    cards = (
        "#define fast\n#if slow\nSTART 5.\n#elif fast\nSTART 1000.\n#else\nSTART 7.\n#endif\n"
        "#if fast\n#undef fast\n#endif\n#if fast\nUSRYIELD 1. PROTON 23.\n#endif\nSTOP\n"
    )
    assert accepted(FREE + cards).primaries == 1000
    text = prepared(FREE + cards, tmp_path)
    assert text.count("START 77.") == 1
    assert "START 5." in text
    assert "START 7." in text


def test_included_files_are_read_but_not_changed() -> None:
    text = "#include det.txt\n" + END
    assert [o.file for o in accepted(text, det=f"{'USRBIN':<20}{'DOSE':>10}{-21.0:>10}\n").outputs]
    assert "not here" in refused("#include other.txt\n" + END)
    assert "not here" in refused("#include ../other.txt\n" + END)
    assert "before" in refused("#include det.txt\n" + END, det="#include det.txt\n" * 5)
    assert "det.txt:1: START must stand in a.inp" in refused("#include det.txt\n", det=END)
    assert "det.txt:1: RANDOMIZ must stand" in refused(text, det="RANDOMIZ 1. 2.\n")


def test_geometry_comments_and_file_names_are_no_cards() -> None:
    geometry = "GEOBEGIN\n  0 0 x\nSPH START 0. 0. 0. 1.\nSTART 5 +START\nSTOP 5 -START\nGEOEND\n"
    text = f"TITLE\nSTART 3.\n* START 4.\n{geometry}OPEN 50.\nSTART\n! START 7.\n{END}"
    assert accepted(text).primaries == 1000


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        ("START 5.\nRANDOMIZ 1. 2.\nSTOP\n", "a.inp:2: RANDOMIZ has no effect after START"),
        ("RANDOMIZ  1. 5.\nSTART 5.\nSTOP\n", "free format needs a card FREE"),
        ("FREE\nRANDOMIZ 1. seed\nSTART 5.\nSTOP\n", "a.inp:2: RANDOMIZ holds no numbers"),
    ],
)
def test_seeds_that_would_have_no_effect_are_refused(cards: str, reason: str) -> None:
    assert reason in refused(cards)


READ = f"{'OPEN':<10}{31.0:>10}{'':50}OLD\n"
WRITTEN = f"{'OPEN':<10}{32.0:>10}{'':50}NEW\n"
GEOMETRY = f"{'GEOBEGIN':<10}{'':20}{50.0:>10}{'':30}COMBNAME\n"
GEOMETRY_OUT = f"{'GEOBEGIN':<10}{'':30}{51.0:>10}{'':20}COMBNAME\n"


@pytest.mark.parametrize("card", [READ, WRITTEN, GEOMETRY, GEOMETRY_OUT])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "absolute path"),
        ("/dev/null", "absolute path"),
        ("../../other/input", "parent folder"),
        ("a/../../b", "parent folder"),
        ("~/input", "depends on the machine"),
        ("$HOME/input", "depends on the machine"),
        ("sub/file", "no plain file name"),
    ],
)
def test_files_elsewhere_are_refused_with_their_line(card: str, name: str, reason: str) -> None:
    told = refused(f"{card}{name}\nGEOEND\n{END}")
    assert f"a.inp:2: {card.split()[0]} names {name!r}, which" in told
    assert reason in told


@pytest.mark.parametrize(("name", "reason"), [("/etc/ct", "absolute"), ("../ct", "parent folder")])
def test_voxels_elsewhere_are_refused_with_their_line(name: str, reason: str) -> None:
    voxels = f"{'VOXELS':<10}{0.0:>10}{0.0:>10}{0.0:>10}{'':30}"
    geometry = f"{'GEOBEGIN':<70}COMBNAME\n    0    0\n{{}}\nGEOEND\n{END}"
    told = refused(geometry.format(voxels + name))
    assert f"a.inp:3: VOXELS holds {name!r}" in told
    assert reason in told
    assert accepted(geometry.format(voxels + "ct")).primaries == 1000


def test_files_that_came_along_are_read() -> None:
    for name in ("map.txt", "../map.txt"):
        assert accepted(f"{READ}{name}\n{END}", map="1 2 3\n").primaries == 1000
    assert "is not among the files" in refused(f"{READ}map.txt\n{END}")
    assert accepted(f"{WRITTEN}mine.txt\n{END}").primaries == 1000
    assert "parent folder" in refused(f"{WRITTEN}../map.txt\n{END}", map="")
    assert accepted(f"{'OPEN':<10}{33.0:>10}{'':50}SCRATCH\n{END}").primaries == 1000
    for status in ("SCRATCHX", "XSCRATCH"):  # FLUKA reads a name behind any other status
        assert "absolute path" in refused(f"{'OPEN':<10}{33.0:>10}{'':50}{status}\n/etc/x\n{END}")


def test_inputs_that_score_nothing_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"a\.inp: nothing is scored"):
        engine("fluka").accept_files({"a.inp": END})


def test_a_byte_order_mark_is_taken_off() -> None:
    inputs = accepted(f"\ufeffRANDOMIZ         1.0     137.0\n{END}")
    assert inputs.files["a.inp"].startswith("RANDOMIZ")
