"""Real Geant4 runs of small tasks: progress, results, determinism, failures."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerma_engines.adapter.port import Command, InputSet
from kerma_engines.errors import ReadError
from kerma_engines.geant4.data import REQUIRED
from kerma_engines.geant4.engine import Geant4

INPUTS = Path(__file__).parent / "inputs"
GEOMETRY = (INPUTS / "box.gdml").read_text()
MACRO = (INPUTS / "depth.mac").read_text()


def demo() -> dict[str, Any]:
    text = (files("kerma_client") / "data" / "demo-project.json").read_text()
    project: dict[str, Any] = json.loads(text)
    return project


def execute(command: Command, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command.argv,
        cwd=directory,
        env={**os.environ, **command.env},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def run(inputs: InputSet, directory: Path, primaries: int, seed: int = 1) -> list[str]:
    directory.mkdir(exist_ok=True)
    command = Geant4().prepare(inputs, directory, primaries=primaries, seed=seed)
    finished = execute(command, directory)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


def test_the_demo_runs_from_project_to_estimators(tmp_path: Path) -> None:
    engine = Geant4()
    inputs = engine.convert(demo())
    lines = run(inputs, tmp_path, 200)
    monitor = engine.monitor(200)
    progress = [monitor.feed(line) for line in lines]
    assert all(progress), lines
    assert [p.primaries for p in progress if p][-1] == 200
    estimators = engine.read(tmp_path, inputs)
    assert [e.name for e in estimators] == ["depth_dose", "dose_map", "proton_fluence"]
    assert all(e.primaries == 200 for e in estimators)
    depth, plane, fluence = (e.pages[0] for e in estimators)
    assert (depth.name, depth.unit, depth.shape) == ("DOSE", "MeV/g/prim", (400,))
    assert (plane.name, plane.unit, plane.shape) == ("DOSE", "MeV/g/prim", (60, 100))
    assert (fluence.name, fluence.unit) == ("FLUENCE", "/cm^2/prim")
    assert [axis.name for axis in plane.axes] == ["Position (Y)", "Position (Z)"]
    np.testing.assert_allclose(depth.axes[0].edges[[0, -1]], [0.0, 20.0])
    # dose x area x density x bin length = energy; 150 MeV minus the loss to neutral particles
    energy = depth.values.sum() * np.pi * 10.0**2 * 0.05
    assert 130.0 < energy < 150.0
    # one proton per primary crosses the entrance
    assert fluence.values[0] * np.pi * 10.0**2 == pytest.approx(1.0, abs=0.02)
    assert depth.errors is not None
    assert np.all(depth.errors[depth.values > 0] > 0)


def test_seeds_decide_every_byte(tmp_path: Path) -> None:
    inputs = Geant4().accept_files({"g.gdml": GEOMETRY, "run.mac": MACRO})
    results = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4), ("d", 3 + 2**32)):
        run(inputs, tmp_path / name, 30, seed)
        results.append((tmp_path / name / "m.kg4").read_bytes())
    assert results[0] == results[1]
    assert len(set(results)) == 3


def test_sums_of_squares_are_per_primary(tmp_path: Path) -> None:
    inputs = Geant4().accept_files({"g.gdml": GEOMETRY, "run.mac": MACRO})
    run(inputs, tmp_path, 1)
    (estimator,) = Geant4().read(tmp_path, inputs)
    for page in estimator.pages:
        assert page.sums is not None
        assert page.squares is not None
        assert page.sums.any()
        np.testing.assert_allclose(page.squares, page.sums**2, rtol=1e-12)


def test_user_files_are_scored_in_their_units(tmp_path: Path) -> None:
    inputs = Geant4().accept_files({"g.gdml": GEOMETRY, "run.mac": MACRO})
    run(inputs, tmp_path, 20)
    (estimator,) = Geant4().read(tmp_path, inputs)
    assert [(p.name, p.unit) for p in estimator.pages] == [
        ("DOSE-GY", "Gy/prim"),
        ("FLUENCE", "/cm^2/prim"),
    ]
    (axis,) = estimator.pages[0].axes
    np.testing.assert_allclose(axis.edges[[0, -1]], [-4.0, 6.0])


def test_copies_of_a_volume_are_scored_apart(tmp_path: Path) -> None:
    slabs = "".join(
        f'<physvol name="s{k}" copynumber="{k}"><volumeref ref="slab"/>'
        f'<position name="p{k}" z="{2 * k}" unit="cm"/></physvol>'
        for k in range(2)
    )
    geometry = GEOMETRY.replace(
        "</solids>", '<box name="s" x="9" y="9" z="1" lunit="cm"/></solids>'
    )
    geometry = geometry.replace(
        "<structure>",
        '<structure><volume name="slab"><materialref ref="G4_WATER"/><solidref ref="s"/></volume>',
    ).replace('<solidref ref="b"/></volume>', f'<solidref ref="b"/>{slabs}</volume>')
    macro = "\n".join(
        [
            "/gps/particle proton",
            "/gps/energy 150 MeV",
            "/gps/direction 0 0 1",
            "/score/create/realWorldLogVol slab",
            "/score/quantity/energyDeposit e MeV",
            "/score/close",
            "/run/beamOn 5",
        ]
    )
    inputs = Geant4().accept_files({"g.gdml": geometry, "run.mac": macro})
    run(inputs, tmp_path, 20)
    (estimator,) = Geant4().read(tmp_path, inputs)
    (page,) = estimator.pages
    (axis,) = page.axes
    assert (axis.name, axis.n) == ("Copy number", 2)
    # the first slab is entered half way
    assert 2 < page.values[0] < 4 < page.values[1] < 8


@pytest.mark.parametrize(
    ("geometry", "macro"),
    [
        (GEOMETRY.replace('<solidref ref="b"/>', '<solidref ref="x"/>'), MACRO),
        (GEOMETRY.replace("G4_WATER", "G4_NOSUCH"), MACRO),
        (GEOMETRY, MACRO.replace("/gps/energy", "/gps/pos/confine nosuch\n/gps/energy")),
        (GEOMETRY, MACRO.replace("onlyProtons proton", "f nosuch")),
    ],
)
def test_a_run_that_fails_says_so(tmp_path: Path, geometry: str, macro: str) -> None:
    engine = Geant4()
    inputs = engine.accept_files({"g.gdml": geometry, "run.mac": macro})
    finished = execute(engine.prepare(inputs, tmp_path, primaries=5, seed=1), tmp_path)
    assert finished.returncode != 0
    assert finished.stderr
    with pytest.raises(ReadError):
        engine.read(tmp_path, inputs)


def test_results_of_other_inputs_are_not_believed(tmp_path: Path) -> None:
    engine = Geant4()
    inputs = engine.accept_files({"g.gdml": GEOMETRY, "run.mac": MACRO})
    run(inputs, tmp_path, 2)
    other = MACRO.replace("nBin 1 50 1", "nBin 1 25 1")
    changed = engine.accept_files({"g.gdml": GEOMETRY, "run.mac": other})
    with pytest.raises(ReadError, match="another mesh"):
        engine.read(tmp_path, changed)


@pytest.mark.parametrize(
    "line", ["", "primaries", "primaries x", "primaries -1", "primaries 1 2", "\0", "x" * 9999]
)
def test_the_monitor_ignores_other_lines(line: str) -> None:
    assert Geant4().monitor(10).feed(line) is None


def test_the_monitor_reads_progress() -> None:
    progress = Geant4().monitor(100).feed("primaries 25 3.5\n")
    assert progress is not None
    assert (progress.primaries, progress.eta_seconds) == (25, 3.5)


def test_a_vanished_data_set_fails_the_task_without_blame(tmp_path: Path) -> None:
    """Physics without data is another; another attempt or worker may find the data sets."""
    gone = {variable: str(tmp_path / "gone") for variable in REQUIRED}
    inputs = Geant4().accept_files({"box.gdml": GEOMETRY, "depth.mac": MACRO})
    command = Geant4(data=gone).prepare(inputs, tmp_path, primaries=5, seed=1)
    finished = execute(command, tmp_path)
    assert finished.returncode == 1
    assert finished.stderr.startswith("data sets cannot be read: G4ENSDFSTATEDATA")
