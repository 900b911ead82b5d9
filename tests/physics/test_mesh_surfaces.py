"""Meshes with coincident surfaces count the deposit of every step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kerma_engines.geant4.engine import Geant4
from kit.programs import geant4_steps

if TYPE_CHECKING:
    from collections.abc import Mapping

PRIMARIES = 1500
TOLERANCE = 5e-4

#: A phantom of water from z = 0 to 20 cm; with or without a PMMA rod of 0.5 cm about the axis.
GEOMETRY = """<gdml>
  <solids>
    <box name="b" x="40" y="40" z="60" lunit="cm"/>
    <box name="p" x="10" y="10" z="20" lunit="cm"/>
    <tube name="t" rmax="0.5" z="20" deltaphi="360" aunit="deg" lunit="cm"/>
  </solids>
  <structure>
    <volume name="Rod"><materialref ref="{rod}"/><solidref ref="t"/></volume>
    <volume name="Phantom"><materialref ref="G4_WATER"/><solidref ref="p"/>
      <physvol name="rod"><volumeref ref="Rod"/></physvol></volume>
    <volume name="World"><materialref ref="G4_AIR"/><solidref ref="b"/>
      <physvol name="phantom"><volumeref ref="Phantom"/><position z="10" unit="cm"/></physvol>
    </volume>
  </structure>
  <setup name="Default" version="1.0"><world ref="World"/></setup>
</gdml>"""
BEAM = """/gps/particle proton
/gps/energy 150 MeV
/gps/pos/type Beam
/gps/pos/sigma_x 0.3 cm
/gps/pos/sigma_y 0.3 cm
/gps/pos/centre 0 0 -1 cm
/gps/direction 0 0 1
"""
END = "/score/mesh/translate/xyz 0 0 10 cm\n/score/quantity/energyDeposit e MeV\n/score/close\n"


def box(name: str, half: float, bins: int, turn: str = "") -> str:
    return (
        f"/score/create/boxMesh {name}\n/score/mesh/boxSize {half} {half} 10 cm\n"
        f"/score/mesh/nBin {bins} {bins} 1\n{turn}{END}"
    )


def cylinder(name: str, radius: float, bins: str) -> str:
    return (
        f"/score/create/cylinderMesh {name}\n/score/mesh/cylinderSize {radius} 10 cm\n"
        f"/score/mesh/nBin {bins}\n{END}"
    )


def region(shape: str, *size: float) -> list[Any]:
    return [shape, list(size), [0, 0, 10]]


def run(meshes: str, regions: list[Any], directory: Path, rod: str) -> Mapping[str, Any]:
    engine = Geant4()
    macro = f"{BEAM}{meshes}/run/beamOn {PRIMARIES}\n"
    inputs = engine.accept_files({"g.gdml": GEOMETRY.format(rod=rod), "run.mac": macro})
    command = engine.prepare(inputs, directory, primaries=PRIMARIES, seed=5)
    script = geant4_steps.__file__
    finished = subprocess.run(
        [sys.executable, script, str(directory), str(PRIMARIES), "5", json.dumps(regions)],
        env={**os.environ, **command.env},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    found: Mapping[str, Any] = json.loads(finished.stdout)
    return found


TURN = "/score/mesh/rotate/rotateZ 90 deg\n"


@pytest.mark.parametrize("rod", ["G4_WATER", "G4_PLEXIGLASS"])
@pytest.mark.parametrize(
    ("meshes", "regions"),
    [
        (
            [cylinder("a", 0.5, "1 1 1"), cylinder("b", 4, "8 1 1")],
            [region("cylinder", 0.5, 10), region("cylinder", 4, 10)],
        ),
        (
            [cylinder("b", 4, "8 40 4"), cylinder("a", 0.5, "1 40 4")],
            [region("cylinder", 4, 10), region("cylinder", 0.5, 10)],
        ),
        (
            [box("a", 0.5, 1), box("b", 2.5, 5), box("c", 2.5, 1)],
            [region("box", 0.5, 0.5, 10), *[region("box", 2.5, 2.5, 10)] * 2],
        ),
        (
            [box("a", 0.5, 1, TURN), box("b", 2.5, 5), box("c", 5, 2, TURN)],
            [region("box", 0.5, 0.5, 10), region("box", 2.5, 2.5, 10), region("box", 5, 5, 10)],
        ),
    ],
)
def test_meshes_count_what_steps_deposit(
    meshes: list[str], regions: list[Any], rod: str, tmp_path: Path
) -> None:
    found = run("".join(meshes), regions, tmp_path, rod)
    names = [mesh.split()[1] for mesh in meshes]
    scored = [sum(found["meshes"][name]["e"]) for name in names]
    assert min(scored) > 0.4 * 150 * PRIMARIES * 0.9
    assert scored == pytest.approx(found["steps"], rel=TOLERANCE)
