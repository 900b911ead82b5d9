"""Users' SHIELD-HIT12A files: what they may read and write, and that they score."""

from __future__ import annotations

import pytest

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


def refused(files: dict[str, str]) -> str:
    with pytest.raises(InvalidInput) as verdict:
        engine("shieldhit").accept_files(files)
    return str(verdict.value)


@pytest.mark.parametrize(
    ("file", "line", "reason"),
    [
        ("beam.dat", "USECBEAM /etc/passwd", "USECBEAM names '/etc/passwd', which is an abs"),
        ("beam.dat", "usecbeam ../sobp.dat", "parent folder"),
        ("beam.dat", "USECBEAM sobp.dat", "not among the files"),
        ("beam.dat", "USEBMOD 3 /dev/zero", "absolute path"),
        ("beam.dat", "OTHER ~/x", "depends on the machine"),
        ("mat.dat", "LOADDEDX /tmp/table", "absolute path"),
    ],
)
def test_files_elsewhere_are_refused_with_their_line(file: str, line: str, reason: str) -> None:
    files = {**SHIELDHIT, file: f"{line}\n{SHIELDHIT[file]}"}
    told = refused(files)
    assert f"{file}:1: " in told
    assert reason in told


def test_files_that_came_along_are_read() -> None:
    beam = f"USECBEAM sobp.dat ! /not/a/path\n{SHIELDHIT['beam.dat']}"
    files = {**SHIELDHIT, "beam.dat": beam, "sobp.dat": "1 2 3\n", "mat.dat": "LOADDEDX\n"}
    assert engine("shieldhit").accept_files(files).primaries == 10_000


@pytest.mark.parametrize("name", ["EX_YZMSH", "/tmp/x", "../x"])
def test_detectors_of_the_old_form_write_here(name: str) -> None:
    first = f"{'MSH':<10}" + "".join(f"{x:>10}" for x in (-5.0, -5.0, 0.0, 5.0, 5.0, 30.0))
    second = f"{'':10}{1:>10}{1:>10}{300:>10}{-1:>10}{'ENERGY':>10}{name}"
    files = {**SHIELDHIT, "detect.dat": f"* old\n{first}\n{second}\n"}
    if name == "EX_YZMSH":
        assert engine("shieldhit").accept_files(files).outputs == ()
    else:
        assert f"detect.dat:3: writes to {name!r}" in refused(files)


@pytest.mark.parametrize("name", ["geo.dat", "detect.dat"])
@pytest.mark.parametrize("path", ["/etc/passwd", "../ct", "~/ct"])
def test_no_line_of_any_file_leads_elsewhere(name: str, path: str) -> None:
    """A voxel geometry, or a detector of a kind that is not known here, names a file."""
    files = {**SHIELDHIT, name: f"{SHIELDHIT[name]}VOX 1\n  {path}\n"}
    place = f"{name}:{files[name].count(chr(10))}"
    assert f"{place}: a line holds {path!r}, which" in refused(files)


@pytest.mark.parametrize("detect", ["", "Geometry Cyl\n    Name A\n", "* nothing\n"])
def test_inputs_that_score_nothing_are_refused(detect: str) -> None:
    told = refused({**SHIELDHIT, "detect.dat": detect})
    assert told == "detect.dat: nothing is scored: it has no Output"


def test_an_output_without_a_quantity_is_refused() -> None:
    detect = f"{SHIELDHIT['detect.dat']}Output\n    Filename b.bdo\n    Trace Protons\n"
    told = refused({**SHIELDHIT, "detect.dat": detect})
    assert told == "detect.dat:5: nothing is scored: this Output has no Quantity"
