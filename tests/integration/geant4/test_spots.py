"""Beams of spots in Geant4: real runs in vacuum and water, macros, and users' files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine_inputs import real_project
from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.code import MACRO
from kerma_engines.geant4.engine import Geant4
from kit.inputs import editor as make
from kit.programs.geant4 import transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from kerma_engines.results.estimators import Page

PRIMARIES = 600
SIGMA = 1 / 2.35482  # of a width of 1
INPUTS = Path(__file__).parents[2] / "unit" / "engines" / "geant4" / "inputs"
GEOMETRY = (INPUTS / "box.gdml").read_text()


def beam(*lines: str, **more: Any) -> dict[str, Any]:
    source = {"name": "plan.dat", "value": "\n".join(lines) + "\n"}
    return {"sourceType": "file", "sourceFile": source, "position": [0, 0, -20], **more}


def in_vacuum(
    planes: list[dict[str, Any]],
    beam: dict[str, Any],
    quantities: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    return make.project(
        {"a": make.box((1, 1, 1), position=[18, 18, 18])},
        [make.zone("vacuum", "a")],
        world=make.box((40, 40, 60)),
        detectors=planes,
        quantities=quantities or [{"keyword": "Fluence"}],
        **beam,
    )


def plane(z: float) -> dict[str, Any]:
    return make.mesh((30, 30, 0.02), (300, 300, 1)) | {"position": [0, 0, z]}


def moments(page: Page) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and standard deviation of the fluence along both axes."""
    image = page.values.reshape(page.shape, order="F")
    found = []
    for across, axis in zip((1, 0), page.axes, strict=True):
        weight = image.sum(axis=across) / image.sum()
        mean = float((weight * axis.centres).sum())
        found.append((mean, float((weight * (axis.centres - mean) ** 2).sum()) ** 0.5))
    means, deviations = np.array(found).T
    return means, deviations


def test_spots_meet_the_isocentre_plane_where_the_list_says(tmp_path: Path) -> None:
    source = beam("0.1 4 -3 1 2 1", sad={"type": "double", "x": 100, "y": 50})
    start, isocentre, behind = transport(
        in_vacuum([plane(-19.9), plane(0), plane(10)], source), tmp_path, PRIMARIES, seed=3
    )
    for page, z in ((start, -19.9), (isocentre, 0), (behind, 10)):
        means, deviations = moments(page)
        # along the ray from lines 100 and 50 cm upstream of the isocentre, as wide everywhere
        expected = 4 * (1 + z / 100), -3 * (1 + z / 50)
        error = np.array([SIGMA, 2 * SIGMA]) / PRIMARIES**0.5
        assert np.all(np.abs(means - expected) < 4 * error)
        np.testing.assert_allclose(deviations, (SIGMA, 2 * SIGMA), rtol=0.12)


def test_primaries_of_a_spot_are_parallel(tmp_path: Path) -> None:
    source = beam("0.1 6 8 0.5 1", sad={"type": "single", "x": 100})
    angles = {"diffType": "ANGLE", "lowerLimit": 0, "upperLimit": 10, "binsNumber": 1000}
    quantities = [{"keyword": "Fluence", "modifiers": [angles]}]
    detector = make.mesh((30, 30, 0.02), (1, 1, 1))
    (page,) = transport(in_vacuum([detector], source, quantities), tmp_path, 50, seed=4)
    (only,) = np.flatnonzero(page.values)
    assert page.axes[0].centres[only] == pytest.approx(np.degrees(np.arctan(0.1)), abs=0.01)


def test_without_distances_spots_fly_straight_on(tmp_path: Path) -> None:
    start, end = transport(
        in_vacuum([plane(-19.9), plane(20)], beam("0.1 4.05 -3.05 0 1")), tmp_path, 20, seed=4
    )
    for page in (start, end):
        x, y = np.argwhere(page.values.reshape(page.shape, order="F"))[0]
        assert abs(page.axes[0].centres[x] - 4.05) < 0.06
        assert abs(page.axes[1].centres[y] + 3.05) < 0.06
        assert np.count_nonzero(page.values) == 1
    np.testing.assert_array_equal(start.values > 0, end.values > 0)


def test_a_turned_beam_carries_its_spots_along(tmp_path: Path) -> None:
    source = beam("0.1 4 -3 1 2 1", direction=[1, 0, 0], position=[-15, 0, 0])
    detector = make.mesh((0.02, 30, 30), (1, 300, 300))
    (page,) = transport(in_vacuum([detector], source), tmp_path, PRIMARIES, seed=5)
    means, deviations = moments(page)
    # along x the beam's own x lies along -z and its y along y
    np.testing.assert_allclose(means, (-3, -4), atol=4 * 2 * SIGMA / PRIMARIES**0.5)
    np.testing.assert_allclose(deviations, (2 * SIGMA, SIGMA), rtol=0.12)


@pytest.mark.parametrize(
    ("particle", "line", "more", "mean", "sigma"),
    [
        ({"id": 2}, "0.1 0.002 0 0 1 1 1", {"energySpread": 9}, 100, 2),
        ({"id": 2}, "0.1 0 0 1 1", {"energySpread": 3}, 100, 3),
        ({"id": 25, "a": 12, "z": 6}, "0.1 0.002 0 0 1 1 1", {}, 1200, 24),
        (
            {"id": 25, "a": 12, "z": 6},
            "0.1 0 0 1 1",
            {"energy": 500, "energySpread": 36, "energyUnit": "MeV"},
            1200,
            36,
        ),
        (
            {"id": 24},
            "0.1 0 0 1 1",
            {"energy": 500, "energySpread": 3, "energyUnit": "MeV/nucl"},
            400,
            12,
        ),
    ],
)
def test_energies(
    particle: dict[str, Any],
    line: str,
    more: dict[str, Any],
    mean: float,
    sigma: float,
    tmp_path: Path,
) -> None:
    width = 0.02 * sigma
    spectrum = {
        "diffType": "E",
        "lowerLimit": mean - 6 * sigma,
        "upperLimit": mean + 6 * sigma,
        "binsNumber": 600,
    }
    quantities = [{"keyword": "Fluence", "modifiers": [spectrum]}]
    source = beam(line, particle=particle, **more)
    detector = make.mesh((30, 30, 0.02), (1, 1, 1))
    (page,) = transport(in_vacuum([detector], source, quantities), tmp_path, PRIMARIES, seed=6)
    weight = page.values / page.values.sum()
    found = (weight * page.axes[0].centres).sum()
    spread = ((weight * (page.axes[0].centres - found) ** 2).sum()) ** 0.5
    assert found == pytest.approx(mean, abs=4 * sigma / PRIMARIES**0.5 + width)
    assert spread == pytest.approx(sigma, rel=0.12)


def test_doses_are_as_the_weights(tmp_path: Path) -> None:
    lines = ("0.1 -3 0 0.1 0", "0.1 -1 0 0.1 1e7", "0.1 1 0 0.1 3e7", "0.1 3 0 0.1 0")
    definition = make.project(
        {"a": make.box((10, 10, 2))},
        [make.zone("water", "a")],
        world=make.box((30, 30, 60)),
        detectors=[make.mesh((8, 8, 1), (4, 1, 1))],
        quantities=[{"keyword": "Dose"}, {"keyword": "Fluence"}],
        **beam(*lines),
    )
    n = 1000
    dose, fluence = transport(definition, tmp_path, n, seed=7)
    # a share of 1/4 of n primaries, each of about the same dose
    error = (0.25 * 0.75 / n) ** 0.5
    assert dose.values[1] / (dose.values[1] + dose.values[2]) == pytest.approx(0.25, abs=4 * error)
    assert dose.values[[0, 3]].sum() < 0.01 * dose.values.sum()
    assert fluence.values[2] > 2 * fluence.values[1] > 0


def files_of(definition: dict[str, Any]) -> dict[str, str]:
    return dict(Geant4().convert(definition).files)


def result(files: Mapping[str, str], directory: Path, seed: int) -> bytes:
    engine = Geant4()
    directory.mkdir()
    command = engine.prepare(engine.accept_files(files), directory, primaries=40, seed=seed)
    env = {**os.environ, **command.env}
    subprocess.run(command.argv, cwd=directory, env=env, check=True, timeout=120)
    (file,) = directory.glob(command.results[0])
    return file.read_bytes()


def test_seeds_decide_every_byte_and_tasks_differ(tmp_path: Path) -> None:
    source = beam("0.1 0.001 -1 0 1 1 1", "0.12 0.001 1 0 1 1 3")
    files = files_of(in_vacuum([plane(0)], source))
    assert set(files) == {"geometry.gdml", "run.mac", "sobp.dat"}
    first = result(files, tmp_path / "a", 1)
    assert result(files, tmp_path / "b", 1) == first
    assert result(files, tmp_path / "c", 2) != first


def test_a_project_becomes_commands_and_the_users_own_list() -> None:
    sad = {"type": "double", "x": 200, "y": 256}
    definition = in_vacuum([plane(0)], beam("*a list", "0.1 1 2 1 1", sad=sad, energySpread=2))
    inputs = Geant4().convert(definition)
    assert inputs.files["sobp.dat"] == definition["beam"]["sourceFile"]["value"]
    macro = inputs.files[MACRO].splitlines()
    assert [line for line in macro if line.startswith(("/kerma/spots", "/gps/"))] == [
        "/gps/particle proton",
        "/gps/pos/centre 0 0 -20 cm",
        "/gps/pos/rot1 1 0 0",
        "/gps/pos/rot2 0 1 0",
        "/kerma/spots/file sobp.dat",
        "/kerma/spots/isocentre 20 cm",
        "/kerma/spots/sad 200 256 cm",
        "/kerma/spots/energySpread 2 MeV",
    ]
    assert any("list of spots" in note for note in inputs.options["notes"])


@pytest.mark.parametrize(
    ("source", "path", "reason"),
    [
        (beam(), "beam.sourceFile.value", "no spots"),
        (beam("0.1 0 0 1 1", "0.1 0 0 -1 1"), "beam.sourceFile.value", "line 2: widths"),
        (beam("0.1 0 0 1 0"), "beam.sourceFile.value", "all zero"),
        (beam("2e5 0 0 1 1"), "beam.sourceFile.value", "Geant4 transports up to 1e+08"),
        (beam("1e-9 0 0 1 1"), "beam.sourceFile.value", "Geant4 transports from 0.0001"),
        (beam("0.1 0.03 0 0 1 1 1"), "beam.sourceFile.value", "less than a 5th"),
        (beam("0.1 0 0 1 1", energySpread=25), "beam.sourceFile.value", "less than a 5th"),
        (beam("0.1 0 0 1 1", position=[1, 0, -20]), "beam.position", "origin"),
        (beam("0.1 0 0 1 1", direction=[0, 1, 1]), "beam.position", "origin"),
        (beam("0.1 0 0 1 1", sad={"type": "single", "x": -5}), "beam.sad", "greater than 0"),
        (beam("0.1 0 0 1 1", sad={"type": "single", "x": 20}), "beam.sad", "beyond its source"),
        (beam("0.1 0 0 1 1", energyLowCutoff=101), "beam.energyLowCutoff", "whole spot"),
        (
            beam("0.1 0.01 0 0 1 1 1", energyHighCutoff=140),
            "beam.energyHighCutoff",
            "standard deviations",
        ),
        (beam("0.1 0 0 1 1", divergence={"x": 5, "y": 0}), "beam.divergence", "sad"),
    ],
)
def test_beams_of_spots_that_are_refused(source: dict[str, Any], path: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Geant4().convert(in_vacuum([plane(0)], source))
    assert [(p.path, reason in p.reason) for p in caught.value.problems] == [(path, True)]


def test_energies_of_the_beam_itself_do_not_matter() -> None:
    spots = "0.1 0.001 0 0 1 1 1"
    more = {"energy": 1, "energySpread": 90, "energyLowCutoff": 5, "energyHighCutoff": 200}
    without = files_of(in_vacuum([plane(0)], beam(spots)))
    assert files_of(in_vacuum([plane(0)], beam(spots, **more))) == without


def test_the_world_reaches_to_where_spots_start() -> None:
    near = files_of(in_vacuum([plane(0)], beam("0.1 0 0 0 1")))["geometry.gdml"]
    far = files_of(in_vacuum([plane(0)], beam("0.1 50 0 0 1")))["geometry.gdml"]
    shrunk = files_of(in_vacuum([plane(0)], beam("0.1 50 0 0 1", sad={"type": "single", "x": 21})))[
        "geometry.gdml"
    ]
    assert near != far
    assert shrunk == near


LIST = "0.1 0.001 -1 0 1 1 1\n"
SCORING = """/score/create/boxMesh m
/score/mesh/boxSize 1 1 1 cm
/score/mesh/nBin 1 1 1
/score/quantity/energyDeposit e MeV
/score/close
/run/beamOn 10
"""
SOURCE = "/gps/particle proton\n/gps/pos/centre 0 0 -5 cm\n/kerma/spots/file my.dat\n"


def refused(source: str = SOURCE, **others: str) -> list[str]:
    files = {"g.gdml": GEOMETRY, "run.mac": source + SCORING}
    files |= {name.replace("__", "."): text for name, text in others.items()}
    with pytest.raises(InvalidInput) as caught:
        Geant4().accept_files(files)
    return [str(problem) for problem in caught.value.problems]


def test_files_of_users_are_accepted() -> None:
    files = {"g.gdml": GEOMETRY, "run.mac": SOURCE + SCORING, "my.dat": LIST}
    assert Geant4().accept_files(files).primaries == 10


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("/gps/energy 5 MeV", "/gps/energy has no meaning beside"),
        ("/gps/direction 0 0 1", "/gps/direction has no meaning beside"),
        ("/gps/source/add 2", "/gps/source/add has no meaning beside"),
        ("/gps/pos/type Beam", "/gps/pos/type has no meaning beside"),
        ("/kerma/divergence 5 5 cm", "/kerma/divergence has no meaning beside"),
        ("/kerma/spots/file your.dat", "once only"),
        ("/kerma/spots/isocentre 5", "unit of length"),
        ("/kerma/spots/isocentre nan cm", "needs 1 numbers"),
        ("/kerma/spots/sad 5 cm", "needs 2 numbers"),
        ("/kerma/spots/sad 0 5 cm", "greater than 0"),
        ("/kerma/spots/sad 5 5 cm\n/kerma/spots/isocentre 5 cm", "upstream"),
        ("/kerma/spots/energySpread -1 MeV", "from 0"),
        ("/kerma/spots/energySpread 1 GeV", "MeV"),
        ("/kerma/spots/energySpread 30 MeV", ""),
        ("/kerma/spots/shell ls", "unknown command"),
        ("/gps/pos/rot1 0 1 0", "zero or parallel"),
        ("/gps/pos/rot1 0 0 0", "zero or parallel"),
    ],
)
def test_macros_that_are_refused(more: str, reason: str) -> None:
    if reason:
        assert any(reason in told for told in refused(SOURCE + more + "\n", my__dat=LIST))
    else:
        assert "less than a 5th" in refused(SOURCE + more + "\n", my__dat="0.1 0 0 1 1")[0]


@pytest.mark.parametrize(
    "name", ["../my.dat", "/etc/passwd.txt", "task.json", "my.dat x", ".dat", "m.kg4"]
)
def test_lists_are_plain_files_of_their_own(name: str) -> None:
    source = SOURCE.replace("my.dat", name)
    assert any("a list of spots is a file" in told for told in refused(source, my__dat=LIST))


@pytest.mark.parametrize(
    ("particle", "energy", "reason"),
    [
        ("proton", "9e-8", "9e-05 MeV per nucleon; Geant4 transports from 0.0001"),
        ("proton", "2e5", "2e+08 MeV per nucleon; Geant4 transports up to 1e+08"),
        ("alpha", "0", "0 MeV per nucleon; Geant4 transports from 0.0001"),
    ],
)
def test_energies_of_lists_are_bounded_with_their_line(
    particle: str, energy: str, reason: str
) -> None:
    source = SOURCE.replace("proton", particle)
    assert refused(source, my__dat=f"# spots\n0.1 0 0 1 1\n{energy} 0 0 1 1\n") == [
        f"my.dat:3: {reason}"
    ]


def test_the_macro_and_the_files_agree() -> None:
    assert refused() == ["run.mac: there is no list of spots 'my.dat'"]
    assert refused("/gps/particle proton\n/gps/energy 5 MeV\n", my__dat=LIST) == [
        "my.dat: run.mac does not name it"
    ]
    assert refused(your__dat=LIST) == [
        "your.dat: run.mac does not name it",
        "run.mac: there is no list of spots 'my.dat'",
    ]
    assert "files: Geant4 needs one geometry" in refused(my__dat=LIST, your__dat=LIST)[0]
    assert refused("/gps/particle proton\n/kerma/spots/isocentre 5 cm\n", my__dat=LIST) == [
        "run.mac: /kerma/spots/file is missing"
    ]


def test_faults_of_a_list_are_told_with_their_line() -> None:
    assert refused(my__dat=f"{LIST}0.1 0 0 x 1\n") == [
        "my.dat:2: holds something else than numbers"
    ]
    assert refused(my__dat="") == ["my.dat: there are no spots"]
    assert refused(my__dat=f"* \udcff\n{LIST}") == ["'my.dat': is not valid Unicode"]
    assert refused(my__dat=f"* \0\n{LIST}") == ["'my.dat': contains NUL"]


def test_the_editors_example_runs(tmp_path: Path) -> None:
    definition = real_project("ex5")["input"]["inputJson"]
    pages = transport(definition, tmp_path, 60, seed=8)
    inputs = Geant4().convert(definition)
    names = [quantity.name for output in inputs.outputs for quantity in output.quantities]
    assert names == [
        "Dose",
        "Dose",
        "Fluence",
        "Dose",
        "Dose_protons",
        "TLET_Protons",
        "DLET",
        "DLET_primary",
        "DLET_Protons",
        "TLET",
        "TLET_Primary",
    ]
    assert len(pages) == 11
    image = pages[1].values.reshape(300, 300, order="F")
    assert image.sum() > 0
    # the field at the isocentre: spots to 4.76 and 4.44 cm, half a cm wide
    x, y = (axis.centres for axis in pages[1].axes)
    assert image[np.abs(x) < 6.5][:, np.abs(y) < 6].sum() > 0.95 * image.sum()
