"""Run a prepared task and print the energy that steps deposit, besides its results.

``FOLDER PRIMARIES SEED REGIONS.json``: regions are ``[shape, half sizes or radius and half length,
centre]`` in cm. Prints the energy in MeV in each, by the middle of each step.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from kerma_engines.geant4.reporter import Reporter
from kerma_engines.geant4.transport.run import Transport, environment
from kerma_engines.geant4.transport.streams import redirected
from kerma_engines.geant4.transport.watch import Watch


def inside(region: list[Any], x: float, y: float, z: float) -> bool:
    shape: str = region[0]
    size: list[float] = region[1]
    centre: list[float] = region[2]
    x, y, z = (value - c for value, c in zip((x, y, z), centre, strict=True))
    if shape == "cylinder":
        return x * x + y * y < size[0] ** 2 and abs(z) < size[1]
    return all(abs(value) < half for value, half in zip((x, y, z), size, strict=True))


def main(folder: str, primaries: str, seed: str, listed: str) -> None:
    os.chdir(folder)
    regions = json.loads(listed)
    energies = [0.0] * len(regions)
    task = json.loads(Path("task.json").read_text())
    log = Path("geant4.log")
    with redirected(log):
        full = environment(Path())
        reporter = Reporter(int(primaries), os.open(os.devnull, os.O_WRONLY))
        run = Transport(task, full=full, reporter=reporter, watch=Watch(log))
        import geant4_pybind as g4  # the data variables must be set before

        class Steps(g4.G4UserSteppingAction):  # type: ignore[misc]
            def UserSteppingAction(self, step: Any) -> None:  # noqa: N802 - Geant4's name
                energy = step.GetTotalEnergyDeposit()
                if energy <= 0:
                    return
                before, after = (
                    point.GetPosition()
                    for point in (step.GetPreStepPoint(), step.GetPostStepPoint())
                )
                middle = (before + after) * 0.05  # mm to cm, and half
                for number, region in enumerate(regions):
                    if inside(region, middle.x, middle.y, middle.z):
                        energies[number] += energy

        action = Steps()
        run.manager.SetUserAction(action)
        run.run(task["commands"], int(primaries), int(seed))
        meshes = {
            mesh["name"]: {name: list(sums) for name, sums, _ in run.scored(mesh, Path())}
            for mesh in task["meshes"]
        }
    sys.stdout.write(json.dumps({"steps": energies, "meshes": meshes}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
