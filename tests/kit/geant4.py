"""Runs Geant4 tasks as a worker would."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

from kerma_engines.geant4.engine import Geant4

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.estimators import Page


def transport(definition: dict[str, Any], directory: Path, primaries: int, seed: int) -> list[Page]:
    """Convert, run and read a project; the pages of all its outputs in order."""
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
