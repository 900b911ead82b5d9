"""Volumes have the names that Geant4 users know, without the pointers that writers append."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.convert.gdml_write import clean
from kerma_engines.geant4.engine import Geant4
from kerma_engines.geant4.gdml.check import numbering, strip, volume_names
from kit.programs.geant4 import run_files

if TYPE_CHECKING:
    from pathlib import Path

GEOMETRY = """<gdml>
  <solids>
    <box name="WorldBox" x="60" y="60" z="100" lunit="cm"/>
    <box name="WaterBox" x="30" y="30" z="40" lunit="cm"/>
  </solids>
  <structure>
    <volume name="Water_vol{pointer}">
      <materialref ref="{material}"/><solidref ref="WaterBox"/>
    </volume>
    <volume name="World"><materialref ref="G4_AIR"/><solidref ref="WorldBox"/>
      <physvol{name}><volumeref ref="Water_vol{pointer}"/><position z="20" unit="cm"/></physvol>
    </volume>
  </structure>
  <setup name="Default" version="1.0"><world ref="World"/></setup>
</gdml>"""
#: Alpha particles of 5 MeV that start anywhere in a box around the water, confined to it.
SOURCE = """/gps/particle alpha
/gps/pos/type Volume
/gps/pos/shape Para
/gps/pos/centre 0 0 0 cm
/gps/pos/halfx 20 cm
/gps/pos/halfy 20 cm
/gps/pos/halfz 45 cm
/gps/pos/confine {volume}
/gps/ang/type iso
/gps/ene/mono 5 MeV
"""
#: Protons that cross the water.
BEAM = "/gps/particle proton\n/gps/energy 500 MeV\n/gps/position 0 0 -10 cm\n/gps/direction 0 0 1\n"
MESH = """/score/create/boxMesh m
/score/mesh/boxSize 15 15 20 cm
/score/mesh/nBin 1 1 1
/score/mesh/translate/xyz 0 0 20 cm
/score/quantity/energyDeposit e MeV
/score/close
"""
VOLUME = "/score/create/realWorldLogVol {name}\n/score/quantity/energyDeposit e MeV\n/score/close\n"
POINTER = "0x7fa1b2c3d400"


def geometry(pointer: str = "", name: str = "", material: str = "G4_WATER") -> str:
    named = f' name="{name}"' if name else ""
    return GEOMETRY.format(pointer=pointer, name=named, material=material)


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        (geometry(name="WaterPV"), "WaterPV"),
        (geometry(pointer=POINTER, name=f"WaterPV{POINTER}"), "WaterPV"),
        (geometry(), "Water_vol_PV"),
        # Geant4 generates Water_vol0x..._PV and drops everything from 0x on
        (geometry(pointer=POINTER), "Water_vol"),
    ],
)
def test_a_source_is_confined_to_the_volume_of_that_name(
    text: str, volume: str, tmp_path: Path
) -> None:
    macro = SOURCE.format(volume=volume) + MESH + "/run/beamOn 100\n"
    (estimator,) = run_files({"g.gdml": text, "run.mac": macro}, tmp_path, 100)
    # everything but what starts within a few micrometres of the surface
    assert estimator.pages[0].values[0] == pytest.approx(5.0, rel=1e-3)


def test_a_volume_is_scored_under_its_plain_name(tmp_path: Path) -> None:
    text = geometry(pointer=POINTER, name="W")
    macro = SOURCE.format(volume="W") + VOLUME.format(name="Water_vol") + "/run/beamOn 20\n"
    (estimator,) = run_files({"g.gdml": text, "run.mac": macro}, tmp_path, 20)
    assert estimator.pages[0].values[0] == pytest.approx(5.0, rel=1e-3)


def test_black_holes_are_known_without_their_pointers(tmp_path: Path) -> None:
    material = (
        f'<materials><material name="BlackHole{POINTER}" Z="1"><D value="1"/><atom value="1"/>'
        "</material></materials><solids>"
    )
    text = geometry(name="W", material=f"BlackHole{POINTER}").replace("<solids>", material)
    macro = BEAM + MESH.replace("0 0 20 cm", "0 0 65 cm").replace(
        "energyDeposit e MeV", "population e"
    )
    found = []
    for name, content in (("hole", text), ("water", geometry(name="W"))):
        (tmp_path / name).mkdir()
        files = {"g.gdml": content, "run.mac": f"{macro}/run/beamOn 5\n"}
        (estimator,) = run_files(files, tmp_path / name, 5)
        found.append(estimator.pages[0].values[0])
    # nothing leaves behind the hole
    assert found[0] == 0 < found[1]


TWICE = geometry(name="W").replace(
    "<structure>",
    '<structure><volume name="Cell0x1"><materialref ref="G4_WATER"/><solidref ref="WaterBox"/>'
    '</volume><volume name="Cell0x2"><materialref ref="G4_AIR"/><solidref ref="WaterBox"/></volume>',
)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Cell", "2 volumes are called 'Cell'"),
        ("nosuch", "no volume 'nosuch'"),
        ("Cell0x1", "no volume 'Cell0x1'"),
    ],
)
def test_a_volume_that_is_scored_must_be_there_once(name: str, reason: str) -> None:
    macro = SOURCE.format(volume="W") + VOLUME.format(name=name) + "/run/beamOn 20\n"
    with pytest.raises(InvalidInput, match=reason) as caught:
        Geant4().accept_files({"g.gdml": TWICE, "run.mac": macro})
    (problem,) = caught.value.problems
    assert problem.path == "run.mac:11"


def test_names_are_those_that_geant4_keeps() -> None:
    assert [strip(name) for name in ("a", "a0x1f", "0x1", "b_0x2_PV", "c0X1")] == [
        "a",
        "a",
        "",
        "b_",
        "c0X1",
    ]
    assert volume_names(TWICE) == {"Cell": 2, "Water_vol": 1, "World": 1}
    assert numbering(TWICE)["zone"] == {"Cell": 1, "Water_vol": 3, "World": 4}


def test_projects_make_no_name_that_geant4_would_cut() -> None:
    assert clean("Phantom 0x1 0x2") == "Phantom_0_x1_0_x2"
