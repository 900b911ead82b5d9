"""Bins that ready-made input files score: counted before the job runs, or refused with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerma_engines.catalogue.registry import engine
from kerma_engines.errors import InvalidInput
from kerma_engines.fields import MAX_BINS

REALDATA = Path(__file__).parents[5] / "shared" / "realdata"
TOPAS = (
    "i:So/Demo/NumberOfHistoriesInRun = 10\n"
    's:Ge/Phantom/Type = "TsBox"\ni:Ge/Phantom/XBins = 20\nic:ge/phantom/zbins = 30 # i:x = 9\n'
    's:Sc/Dose/Quantity = "DoseToMedium"\ns:Sc/Dose/Component = "Phantom"\n'
)
SHIELDHIT = {"beam.dat": "NSTAT 10\n", "geo.dat": "x\n", "mat.dat": "x\n"}
CYLINDER = "Geometry Cyl\n Name Tube\n R 0 10 4\n Z 0.0 30.0 50 ! 7\n"


def bins(name: str, files: dict[str, str]) -> int:
    known = engine(name)
    return known.scored_bins(known.accept_files(files))


def refused(name: str, files: dict[str, str]) -> str:
    with pytest.raises(InvalidInput) as verdict:
        engine(name).accept_files(files)
    return str(verdict.value)


def topas(more: str) -> dict[str, str]:
    return {"a.txt": TOPAS + more}


def fluka(cards: str) -> dict[str, str]:
    return {"a.inp": f"FREE\n{cards}START, 10.\nSTOP\n"}


def shieldhit(detect: str) -> dict[str, str]:
    return {**SHIELDHIT, "detect.dat": detect}


def columns(*fields: object, name: str = "") -> str:
    return f"{name:<10}" + "".join(f"{field!s:>10}" for field in fields) + "\n"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", 20 * 30),
        ("i:Sc/Dose/EBins = 7\n", 20 * 30 * 7),
        ("i:Sc/Dose/EBins = 0\n", 20 * 30),
        ("i:Sc/Dose/EBins = Ge/N/Count\ni:Ge/N/Count = 3\n", 20 * 30 * 3),
        ("i:Sc/Dose/TimeBins = 4\ni:Sc/Dose/YBins = 5\n", 20 * 5 * 30 * 4),
        ('b:Sc/Off/Active = "False"\ns:Sc/Off/Quantity = "Fluence"\ni:Sc/Off/EBins = 9\n', 600),
        ('s:Sc/Two/Quantity = "Fluence"\ns:Sc/Two/Component = "World"\n', 601),
        ('s:Sc/S/Quantity = "SurfaceTrackCount"\ns:Sc/S/Surface = "Phantom/XPlusSurface"\n', 1200),
        (
            's:Sc/Im/Quantity = "DoseToMedium"\ns:Sc/Im/Component = "CT"\n'
            "i:Ge/CT/NumberOfVoxelsX = 8\niv:Ge/CT/NumberOfVoxelsZ = 2 10 5\n",
            600 + 8 * 15,
        ),
    ],
)
def test_bins_of_topas_scorers(more: str, expected: int) -> None:
    assert bins("topas", topas(more)) == expected


def test_bins_of_topas_in_files_that_it_includes() -> None:
    files = {"a.txt": "includeFile = b.txt\ni:Ge/Phantom/XBins = 2\n", "b.txt": TOPAS}
    assert bins("topas", files) == 2 * 30


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("i:Sc/Dose/EBins = 2 * Ge/N\n", "a.txt:7: Sc/Dose/EBins is no plain number: '2 * Ge/N'"),
        ("i:Ge/Phantom/YBins = Tf/N/Value\n", "a.txt:7: Ge/Phantom/YBins is no plain number"),
        ("i:Ge/Phantom/YBins = -3\n", "a.txt:7: Ge/Phantom/YBins is no plain number"),
        ("i:Sc/Dose/EBins = 1e12\n", f"a.txt:5: Dose has more than {MAX_BINS} bins"),
        (
            's:Sc/S/Quantity = "Fluence"\ns:Sc/S/Surface = Ge/A + "/X"\n',
            "a.txt:8: Sc/S/Surface nam",
        ),
        (
            's:Sc/S/Quantity = "Fluence"\ns:Sc/S/Component = "P"\ns:Ge/P/Type = "TsDicomPatient"\n',
            "a.txt:8: Sc/S/Component is a patient, whose voxels can't be counted",
        ),
    ],
)
def test_topas_bins_that_cannot_be_counted_are_refused(more: str, reason: str) -> None:
    assert reason in refused("topas", topas(more))


def test_many_factors_do_not_make_a_number_without_bound() -> None:
    """The product of these has 90 000 digits."""
    many = "".join(f"i:Sc/Dose/A{number}Bins = 1000000000\n" for number in range(10_000))
    assert f"Dose has more than {MAX_BINS} bins" in refused("topas", topas(many))


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ("USRBIN, 10., DOSE, -21., 5., 5., 5., a\nUSRBIN, -5., -5., 0., 4., 3., 20., &\n", 240),
        ("USRBIN, 10., DOSE, -21., 5., 5., 5., a\n", 30 * 30 * 10),
        ("USRBIN, 11., DOSE, -21., 5., 5., 5., a\n", 50 * 10),
        ("USRBIN, 11., DOSE, -21., 5., 5., 5., a\nUSRBIN, 0., 0., 0., 6., , 8., &\n", 48),
        ("USRBIN, 12., DOSE, -21., 9., 0., 0., a\nUSRBIN, 3., 0., 0., 2., 0., 0., &\n", 4),
        ("USRBIN, 12., DOSE, -21., LAST, 0., 0., a\nUSRBIN, FIRST, 0., 0., 1., 0., 0., &\n", 5),
        ("USRBIN, 18., DOSE, -21., 2., 5., 1., a\nUSRBIN, 1., 1., 0., 1., 1., 7., &\n", 2 * 5 * 7),
        ("USRTRACK, -1., PROTON, -21., R, 1., 20., a\nUSRTRACK, 1., 0.1, &\n", 20),
        ("USRTRACK, -1., 8.0, -21., R, 1., 20., a\n", 20 + 260),
        ("USRCOLL, -1., ALL-PART, -21., R, 1., , a\n", 10 + 260),
        ("USRBDX, 1., PROTON, -21., R, S, 1., a\nUSRBDX, 1., 0., 40., 6., 0., 5., &\n", 200),
        ("USRBDX, 1., PIONS+-, -21., R, S, 1., a\n", (10 + 260) * 3),
        ("RESNUCLEi, 3., -21., 70., 40., R, 1., a\n", 70 * 40),
        ("RESNUCLEi, 3., -21., , , R, 1., a\n", 120 * 100),
        (
            "USRBIN, 10., DOSE, -21., 5., 5., 5., a\n* between\nUSRBIN, 0., 0., 0., 2., 2., 2., &\n"
            "USRBIN, 10., DOSE, -21., 5., 5., 5., b\nUSRBIN, 0., 0., 0., 3., 1., 1., &\n",
            8 + 3,
        ),
    ],
)
def test_bins_of_fluka_detectors(cards: str, expected: int) -> None:
    assert bins("fluka", fluka(cards)) == expected


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        (
            "USRBIN, 10., DOSE, -21., 5., 5., 5., a\nUSRBIN, 0., 0., 0., NX, 1., 1., &\n",
            "a.inp:3: WHAT(4) of USRBIN is no number of bins: 'NX'",
        ),
        ("USRBIN, CART, DOSE, -21., 5., 5., 5., a\n", "a.inp:2: WHAT(1) of USRBIN is no type"),
        ("USRTRACK, 1., PROTON, -21., R, 1., inf, a\n", "WHAT(6) of USRTRACK is no number of bins"),
        ("USRTRACK, 1., PROTON, -21., R, 1., 1e300, a\n", f"a has more than {MAX_BINS} bins"),
        (
            "USRBIN, 10., DOSE, -21., 5., 5., 5., a\nUSRBIN, 0., 0., 0., -9999., 9999., 2., &\n",
            f"a.inp:2: USRBIN a has more than {MAX_BINS} bins",
        ),
    ],
)
def test_fluka_bins_that_cannot_be_counted_are_refused(cards: str, reason: str) -> None:
    assert reason in refused("fluka", fluka(cards))


@pytest.mark.parametrize(
    ("detect", "expected"),
    [
        (f"{CYLINDER}Output\n Filename a.bdo\n Geo tube\n Quantity Dose\n Quantity DLET\n", 400),
        (
            f"Output\n Filename a.bdo\n Geo Tube\n Quantity Fluence\n Diff1 1 9 5 log\n"
            f" Diff1Type E\n diff2 0 1 3\n Quantity Dose\n{CYLINDER}",
            200 * 5 * 3 + 200,
        ),
        ("Geometry Zone\n Name A\n Zone 3 7\nOutput\n Filename a.bdo\n Geo A\n Quantity Dose\n", 5),
        ("Geometry Zone\n Name A\n Zone 3\nOutput\n Filename a.bdo\n Geo A\n Quantity Dose\n", 1),
        ("Geometry All\n Name A\nOutput\n Filename a.bdo\n Geo A\n Quantity Energy\n", 1),
        (
            columns(-5, -5, 0, 5, 5, 30, name="MSH") + columns(2, 3, 300, -1, "ENERGY", "ex"),
            2 * 3 * 300,
        ),
        (columns(1, 3, "", -1, "ENERGY", "en_z13", name="ZONE"), 3),
        (columns(1, "", "", -1, "ENERGY", "en_z1", name="ZONE"), 1),
        (columns(0, 0, 5, 0, 0, 1, name="PLANE") + columns("", "", "", -1, "COUNTER", "c"), 1),
        (
            columns(-1, -25, -15, 1, 25, 35, name="GEOMAP") + columns(1, 50, 50, "", "ZONE", "yz"),
            2500,
        ),
    ],
)
def test_bins_of_shieldhit_outputs(detect: str, expected: int) -> None:
    assert bins("shieldhit", shieldhit(detect)) == expected


@pytest.mark.parametrize(
    ("detect", "reason"),
    [
        (
            "Geometry Mesh\n Name A\n X 0 1\nOutput\n Filename a.bdo\n Geo A\n Quantity Dose\n",
            "detect.dat:3: X has no number of bins: ''",
        ),
        (
            f"{CYLINDER}Output\n Filename a.bdo\n Geo Tub\n Quantity Dose\n",
            "detect.dat:7: there is no Geometry 'Tub'",
        ),
        (
            f"{CYLINDER}Output\n Filename a.bdo\n Geo Tube\n Quantity Dose\n Diff1 0 1 1e9\n",
            f"detect.dat:8: Quantity Dose has more than {MAX_BINS} bins",
        ),
        (
            f"{CYLINDER}Output\n Filename a.bdo\n Geo Tube\n Diff1 0 1 9\n Quantity Dose\n",
            "detect.dat:8: Diff1 precedes its Quantity",
        ),
        (
            columns(-5, -5, 0, 5, 5, 30, name="DMSH") + columns(2, 3, 300, -1, "FLUENCE", "ex"),
            "detect.dat:2: DMSH: differential detectors are taken in blocks Geometry and Output",
        ),
    ],
)
def test_shieldhit_bins_that_cannot_be_counted_are_refused(detect: str, reason: str) -> None:
    assert reason in refused("shieldhit", shieldhit(detect))


@pytest.mark.skipif(not REALDATA.is_dir(), reason="needs ../shared/realdata")
def test_bins_of_genuine_inputs() -> None:
    folders = {
        "topas": ("topas/minimal", 2 * 16),
        "fluka": ("fluka/minimal_input", 32),
        "shieldhit": ("shieldhit/yz_mesh", 3 * 30_000),
    }
    for name, (folder, expected) in folders.items():
        here = REALDATA / folder
        files = {
            p.name: p.read_text() for p in here.iterdir() if p.suffix in {".txt", ".inp", ".dat"}
        }
        assert bins(name, files) == expected
