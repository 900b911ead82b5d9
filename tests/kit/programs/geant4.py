"""Run Geant4 tasks as a worker would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerma_engines.geant4.engine import Geant4

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from kerma_engines.adapter.port import Command
    from kerma_engines.results.estimators import Estimator, Page

_INPUTS = Path(__file__).parents[2] / "unit" / "engines" / "geant4" / "inputs"
GEOMETRY = (_INPUTS / "box.gdml").read_text()
"""A cube of water."""
MACRO = (_INPUTS / "depth.mac").read_text()
"""Protons of 70 MeV in water, with a cylinder that scores dose and fluence of protons."""


def transport(definition: dict[str, Any], directory: Path, primaries: int, seed: int) -> list[Page]:
    """Convert, run and read a project; return the pages of all its outputs in order."""
    engine = Geant4()
    inputs = engine.convert(definition)
    directory.mkdir(exist_ok=True)
    command = engine.prepare(inputs, directory, primaries=primaries, seed=seed)
    subprocess.run(
        command.argv,
        cwd=directory,
        env={**os.environ, **command.env},
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=250,
    )
    return [page for estimator in engine.read(directory, inputs) for page in estimator.pages]


def run_files(files: Mapping[str, str], directory: Path, primaries: int) -> tuple[Estimator, ...]:
    """Accept, run and read input files; return the estimators of their meshes."""
    engine = Geant4()
    inputs = engine.accept_files(files)
    finished = execute(engine.prepare(inputs, directory, primaries=primaries, seed=5), directory)
    assert finished.returncode == 0, finished.stderr
    return engine.read(directory, inputs)


def execute(command: Command, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that ``prepare`` returned, whatever its exit status."""
    return subprocess.run(
        command.argv,
        cwd=directory,
        env={**os.environ, **command.env},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )


def located(text: str, points: NDArray[np.float64], directory: Path) -> list[list[Any]]:
    """Return volume, material and density (g/cm3) at points, shape (n, 3) in cm, from Geant4."""
    geometry = directory / "g.gdml"
    geometry.write_text(text)
    (directory / "points.json").write_text(json.dumps(points.tolist()))
    locate = Path(__file__).with_name("geant4_locate.py")
    finished = subprocess.run(
        [sys.executable, str(locate), str(geometry), str(directory / "points.json")],
        capture_output=True,
        check=True,
        timeout=120,
    )
    found: list[list[Any]] = json.loads(finished.stdout)
    return found
