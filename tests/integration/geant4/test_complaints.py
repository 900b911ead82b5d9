"""Geant4 reads macros as Kerma does, and commands that it rejects fail the task: real runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kerma_engines.geant4.engine import Geant4
from kit.programs.geant4 import GEOMETRY, MACRO, execute, run_files

if TYPE_CHECKING:
    from pathlib import Path


def test_doubled_slashes_blanks_and_comments_run_as_geant4_takes_them(tmp_path: Path) -> None:
    usual = {"g.gdml": GEOMETRY, "run.mac": MACRO}
    odd = MACRO.replace("/gps/particle proton", " \t/gps//particle\tproton   # {not} an alias")
    odd = odd.replace("/score/close", "//score///close").replace("MeV", "MeV#x")
    pages = []
    for name, files in (("a", usual), ("b", {**usual, "run.mac": odd})):
        (tmp_path / name).mkdir()
        (estimator,) = run_files(files, tmp_path / name, 5)
        pages.append(estimator.pages)
    assert pages[0][0].values.any()
    for one, other in zip(*pages, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


CONFINED = "/gps/pos/type Volume\n/gps/pos/shape Para\n/gps/pos/halfx 1 cm\n/gps/pos/halfy 1 cm\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("/gps/energy", f"{CONFINED}/gps/pos/confine nosuch\n/gps/energy", "nosuch NOT found"),
        ("/gps/energy", "/gps/source/set 5\n/gps/energy", "set 5 is invalid"),
        ("/gps/energy", "/gps/ene/applyEneWeight true\n/gps/energy", "only for Linear"),
        ("/gps/energy", "/process/msc/RangeFactor 7\n/gps/energy", "out of range"),
        ("/gps/energy", "/run/setCutForRegion nosuch 1 mm\n/gps/energy", "nosuch"),
        ("/gps/energy", "/process/eLoss/UseICRU90 true\n/gps/energy", "before /run/initialize"),
        ("/gps/energy", "/process/msc/Skin -1\n/gps/energy", "Skin -1"),
        ("onlyProtons proton", "f nosuch", "nosuch"),
    ],
)
def test_what_geant4_ignores_fails_the_task(tmp_path: Path, old: str, new: str, said: str) -> None:
    engine = Geant4()
    files = {"g.gdml": GEOMETRY, "run.mac": MACRO.replace(old, new, 1)}
    inputs = engine.accept_files(files)
    finished = execute(engine.prepare(inputs, tmp_path, primaries=5, seed=1), tmp_path)
    assert finished.returncode == engine.program.refusal
    assert said in finished.stderr
    assert not list(tmp_path.glob("*.kg4"))


def test_a_source_that_geant4_gives_up_on_ends_the_run_early(tmp_path: Path) -> None:
    # the confining volume exists, but contains no point of the source
    geometry = GEOMETRY.replace(
        "</solids>", '<box name="s" x="1" y="1" z="1" lunit="cm"/></solids>'
    ).replace(
        "<structure>",
        '<structure><volume name="V"><materialref ref="G4_WATER"/><solidref ref="s"/></volume>',
    )
    inside = '<physvol name="far"><volumeref ref="V"/><position x="4" unit="cm"/></physvol>'
    geometry = geometry.replace(
        '<solidref ref="b"/></volume>', f'<solidref ref="b"/>{inside}</volume>'
    )
    confined = f"{CONFINED}/gps/pos/halfz 1 cm\n/gps/pos/confine far\n/gps/energy"
    engine = Geant4()
    files = {"g.gdml": geometry, "run.mac": MACRO.replace("/gps/energy", confined)}
    inputs = engine.accept_files(files)
    finished = execute(engine.prepare(inputs, tmp_path, primaries=10**6, seed=1), tmp_path)
    assert finished.returncode == engine.program.refusal
    assert "confine" in finished.stderr


def test_a_solid_that_geant4_aborts_on_is_a_fault_of_the_input(tmp_path: Path) -> None:
    engine = Geant4()
    tiny = '<box name="tiny" x="1e-12" y="1" z="1" lunit="cm"/></solids>'
    files = {"g.gdml": GEOMETRY.replace("</solids>", tiny), "run.mac": MACRO}
    inputs = engine.accept_files(files)
    finished = execute(engine.prepare(inputs, tmp_path, primaries=5, seed=1), tmp_path)
    assert "too small" in finished.stderr
    assert finished.returncode == engine.program.refusal
