"""What each of Geant4's quantities counts, and in which unit: real runs with known answers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.engine import Geant4
from kerma_engines.geant4.macro.canonical import check_arguments
from kerma_engines.geant4.scorers.native import QUANTITIES
from kit.programs.geant4 import run_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kerma_engines.results.estimators import Page

PRIMARIES = 20
WORLD = """<gdml>
  <solids><box name="b" x="100" y="100" z="100" lunit="cm"/></solids>
  <structure><volume name="World">
    <materialref ref="{material}"/><solidref ref="b"/>
  </volume></structure>
  <setup name="Default" version="1.0"><world ref="World"/></setup>
</gdml>"""

#: Protons that cross a box of 10 x 10 x 1 cm at 60 degrees to z: path of 2 cm, cosine 1/2.
CROSSING = f"""/gps/particle proton
/gps/energy 150 MeV
/gps/position {-5 * math.tan(math.pi / 3):.12g} 0 -5 cm
/gps/direction {math.sin(math.pi / 3):.12g} 0 0.5
/score/create/boxMesh m
/score/mesh/boxSize 5 5 0.5 cm
/score/mesh/nBin 1 1 1
"""
#: Protons that start and stop in water; the mesh is the whole world.
STOPPING = """/gps/particle proton
/gps/energy {energy} MeV
/gps/position 0 0 0 cm
/gps/direction 0 0 1
/run/setCut 0.01 mm
/score/create/boxMesh m
/score/mesh/boxSize 50 50 50 cm
/score/mesh/nBin 1 1 1
"""
_MASS, _C = 938.27208816, 29979245800.0  # MeV, cm/s
SECONDS = 2 / (_C * math.sqrt(1 - (_MASS / (_MASS + 150)) ** 2))


def scored(macro: str, lines: Mapping[str, str], material: str, directory: Path) -> dict[str, Page]:
    """Return pages by the name of their scorer; ``lines`` give the quantity and its arguments."""
    quantities = "".join(
        f"/score/quantity/{line.split()[0]} {' '.join([name, *line.split()[1:]])}\n"
        for name, line in lines.items()
    )
    files = {
        "g.gdml": WORLD.format(material=material),
        "run.mac": f"{macro}{quantities}/score/close\n/run/beamOn {PRIMARIES}\n",
    }
    (estimator,) = run_files(files, directory, PRIMARIES)
    return dict(zip(lines, estimator.pages, strict=True))


CROSSED: dict[str, tuple[str, str, float | None]] = {
    "energyDeposit": ("ENERGY", "MeV/prim", 0.0),
    "energyDeposit keV": ("ENERGY", "keV/prim", 0.0),
    "doseDeposit": ("DOSE-GY", "Gy/prim", None),
    "cellCharge": ("CHARGE", "e+/prim", 0.0),
    "cellFlux": ("FLUENCE", "/cm^2/prim", 2 / 100),
    "cellFlux perm2": ("FLUENCE", "/m^2/prim", 2e4 / 100),
    "passageCellFlux": ("PASSAGE-FLUENCE", "/cm^2/prim", 2 / 100),
    "passageCellFlux permm2": ("PASSAGE-FLUENCE", "/mm^2/prim", 2e-2 / 100),
    "trackLength": ("TRACK-LENGTH", "mm/prim", 20.0),
    "trackLength false false false cm": ("TRACK-LENGTH", "cm/prim", 2.0),
    "trackLength true true false MeV_cm": ("TRACK-LENGTH", "MeV_cm/prim", 300.0),
    "trackLength true false true s": ("TRACK-LENGTH", "s/prim", SECONDS),
    "trackLength true true true MeV_s": ("TRACK-LENGTH", "MeV_s/prim", 150 * SECONDS),
    "passageTrackLength": ("PASSAGE-TRACK-LENGTH", "mm/prim", 20.0),
    "passageTrackLength true cm": ("PASSAGE-TRACK-LENGTH", "cm/prim", 2.0),
    "flatSurfaceCurrent": ("SURFACE-CURRENT", "/cm^2/prim", 1 / 100),
    "flatSurfaceCurrent 1 true true perm2": ("SURFACE-CURRENT", "/m^2/prim", 1e4 / 100),
    "flatSurfaceCurrent 2": ("SURFACE-CURRENT", "/cm^2/prim", 0.0),
    "flatSurfaceCurrent 0 true false": ("SURFACE-CURRENT", "1/prim", 1.0),
    "flatSurfaceFlux": ("SURFACE-FLUENCE", "/cm^2/prim", 2 / 100),
    "flatSurfaceFlux 1 true true permm2": ("SURFACE-FLUENCE", "/mm^2/prim", 2e-2 / 100),
    "flatSurfaceFlux 1 true false": ("SURFACE-FLUENCE", "1/prim", 2.0),
    "passageCellCurrent": ("PASSAGE-CURRENT", "1/prim", 1.0),
    "volumeFlux": ("VOLUME-FLUX", "1/prim", 1.0),
    "volumeFlux 1": ("VOLUME-FLUX", "1/prim", 2.0),
    "volumeFlux 0 2": ("VOLUME-FLUX", "1/prim", 1.0),
    "nOfTrack": ("TRACKS", "1/prim", 1.0),
    "nOfTrack 1": ("TRACKS", "1/prim", 1.0),
    "nOfTrack 2": ("TRACKS", "1/prim", 1.0),
    "population": ("POPULATION", "1/prim", 1.0),
    "nOfStep": ("STEPS", "1/prim", 1.0),
    "nOfStep true": ("STEPS", "1/prim", 1.0),
    "nOfSecondary": ("SECONDARIES", "1/prim", 0.0),
    "nOfCollision": ("COLLISIONS", "1/prim", 0.0),
    "nOfTerminatedTrack": ("TERMINATED-TRACKS", "1/prim", 0.0),
    "minKinEAtGeneration": ("ENERGY-AT-GENERATION", "MeV/prim", 0.0),
    "minKinEAtGeneration keV": ("ENERGY-AT-GENERATION", "keV/prim", 0.0),
}


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    names = {f"q{number}": line for number, line in enumerate(CROSSED)}
    pages = scored(CROSSING, names, "G4_Galactic", tmp_path_factory.mktemp("crossed"))
    return {names[name]: page for name, page in pages.items()}


def test_every_quantity_is_tried() -> None:
    assert {line.split()[0] for line in CROSSED} == set(QUANTITIES)


@pytest.mark.parametrize("line", CROSSED)
def test_protons_that_cross_vacuum_are_counted_as_documented(
    crossed: dict[str, Page], line: str
) -> None:
    name, unit, value = CROSSED[line]
    page = crossed[line]
    assert (page.name, page.unit) == (name, unit)
    # almost no energy over almost no mass is an arbitrary dose; use protons that stop
    if value is not None:
        assert page.values[0] == pytest.approx(value, rel=1e-6, abs=1e-12)


def test_protons_that_stop_leave_energy_charge_and_ends(tmp_path: Path) -> None:
    kinds = ("energyDeposit", "doseDeposit", "cellCharge", "nOfTerminatedTrack", "population")
    more = ("volumeFlux", "nOfCollision", "nOfStep", "passageTrackLength", "nOfTrack")
    lines = {kind: kind for kind in (*kinds, *more)}
    pages = scored(STOPPING.format(energy=5), lines, "G4_WATER", tmp_path)
    value = {kind: page.values[0] for kind, page in pages.items()}
    assert value["energyDeposit"] == pytest.approx(5.0, rel=0.01)
    gray = value["energyDeposit"] * 1.602176634e-10 / 1e6  # in 1000 kg
    assert value["doseDeposit"] == pytest.approx(gray, rel=1e-6)
    assert value["cellCharge"] == pytest.approx(1.0, abs=0.01)
    assert value["nOfTerminatedTrack"] == value["population"] >= 1
    # none enters or passes through, and no step ends at a boundary
    assert value["volumeFlux"] == value["passageTrackLength"] == value["nOfTrack"] == 0
    assert value["nOfCollision"] == value["nOfStep"] > 1


def test_secondaries_are_counted_where_they_start(tmp_path: Path) -> None:
    kinds = ("nOfSecondary", "population", "minKinEAtGeneration")
    lines = {kind: kind for kind in kinds}
    pages = scored(STOPPING.format(energy=100), lines, "G4_WATER", tmp_path)
    value = {kind: page.values[0] for kind, page in pages.items()}
    assert value["nOfSecondary"] > 10
    # the primary and all its secondaries
    assert value["population"] == pytest.approx(value["nOfSecondary"] + 1)
    # the slowest of many electrons has hardly more energy than the range cut
    assert 0 < value["minKinEAtGeneration"] < 0.02


BOX = "boxMesh m\n/score/mesh/boxSize 1 1 1 cm\n/score/mesh/nBin 1 1 1"
CYLINDER = "cylinderMesh m\n/score/mesh/cylinderSize 1 1 cm\n/score/mesh/nBin 1 1 1"


@pytest.mark.parametrize(
    ("shape", "line", "reason"),
    [
        ("realWorldLogVol World", "cellFlux q", "needs a mesh"),
        ("realWorldLogVol World", "passageCellFlux q", "needs a mesh"),
        ("realWorldLogVol World", "flatSurfaceFlux q", "needs a box mesh"),
        (CYLINDER, "flatSurfaceCurrent q", "box mesh"),
        ("realWorldLogVol World", "stepChecker q", "scores nothing"),
        ("realWorldLogVol World", "energyDeposit q Gy", "a unit of energy"),
        ("realWorldLogVol World", "volumeFlux q true", "one of 0, 1"),
        ("realWorldLogVol World", "volumeFlux q 1 2 percm2", "takes 3 arguments"),
        ("realWorldLogVol World", "nOfStep q true false", "takes 2 arguments"),
        ("realWorldLogVol World", "trackLength q true true", "such as MeV_mm"),
        ("realWorldLogVol World", "trackLength q true false true", "such as s"),
        ("realWorldLogVol World", "trackLength q false false false MeV_mm", "such as mm"),
        (BOX, "flatSurfaceFlux q 3", "the direction is"),
        (
            BOX,
            "flatSurfaceFlux q 0 true false percm2",
            "no unit",
        ),
    ],
)
def test_what_geant4_would_not_score_so_is_refused(shape: str, line: str, reason: str) -> None:
    macro = (
        f"/gps/particle proton\n/score/create/{shape}\n/score/quantity/{line}\n/score/close\n"
        "/run/beamOn 1\n"
    )
    files = {"g.gdml": WORLD.format(material="G4_WATER"), "run.mac": macro}
    with pytest.raises(InvalidInput, match=reason):
        Geant4().accept_files(files)


def test_arguments_of_every_quantity_are_understood() -> None:
    for line in CROSSED:
        kind, *arguments = line.split()
        check_arguments(f"/score/quantity/{kind}", ["q", *arguments])


def test_the_documents_have_every_quantity() -> None:
    text = (Path(__file__).parents[3] / "docs" / "geant4.md").read_text()
    for kind, quantity in QUANTITIES.items():
        row = f"| `{kind}` | `{quantity.source}` | {quantity.unit or '1'} | {quantity.meaning} |"
        assert row in text
