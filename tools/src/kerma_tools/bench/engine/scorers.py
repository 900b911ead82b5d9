"""Measure how much Kerma's own scorers slow a Geant4 run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kerma_engines.catalogue.registry import engine
from kerma_tools.bench.figure import Figure

PRIMARIES = 1500
DEPTH = 20.0
"""cm of water, enough to stop the beam."""

_PROTON = [{"keyword": key, "operator": "==", "value": 1} for key in ("Z", "A")]
_FILTERS = {
    "protons": _PROTON,
    "primaries": [*_PROTON, {"keyword": "GEN", "operator": "==", "value": 0}],
    "secondaries": [*_PROTON, {"keyword": "GEN", "operator": ">=", "value": 1}],
}
_SPECTRUM = {"diffType": "E", "lowerLimit": 0, "upperLimit": 160, "binsNumber": 640}
_BUILT_IN: dict[str, list[dict[str, Any]]] = {
    "profile": [{"keyword": "Dose"}, {"keyword": "Fluence", "filter": "protons"}],
    "slab": [{"keyword": "Dose"}],
}
_OWN: dict[str, list[dict[str, Any]]] = {
    "profile": [{"keyword": "Fluence", "filter": name} for name in ("primaries", "secondaries")],
    "slab": [
        {"keyword": "AvgEnergy", "filter": "protons"},
        {"keyword": "AvgEnergy", "filter": "primaries"},
        {"keyword": "AvgEnergy", "filter": "secondaries"},
        {"keyword": "dLET", "filter": "protons"},
        {"keyword": "tLET", "filter": "protons"},
        {"keyword": "Fluence", "filter": "protons", "modifiers": [_SPECTRUM]},
    ],
}


def own_scorers() -> Figure:
    """Measure 150 MeV protons in water: 400 slices and a slab, with and without Kerma's quantities."""
    both = {name: [*_BUILT_IN[name], *_OWN[name]] for name in _BUILT_IN}
    return Figure(
        name="Geant4 with averages, a spectrum and generations",
        value=PRIMARIES / _seconds(_project(both)),
        unit="primaries/s of a processor",
        peer="built-in quantities only",
        peer_value=PRIMARIES / _seconds(_project(_BUILT_IN)),
        bar=0.4,
    )


def built_in_project(primaries: int) -> dict[str, Any]:
    """Return the project with Geant4's own beam and scorers."""
    project = _project(_BUILT_IN)
    project["beam"]["numberOfParticles"] = primaries
    return project


def _seconds(project: dict[str, Any]) -> float:
    geant4 = engine("geant4")
    inputs = geant4.convert(project)
    with TemporaryDirectory(prefix="kerma-bench-") as folder:
        command = geant4.prepare(inputs, Path(folder), primaries=PRIMARIES, seed=1)
        began = _children()
        subprocess.run(
            command.argv,
            cwd=folder,
            env={**os.environ, **command.env},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return _children() - began


def _children() -> float:
    """Return processor seconds of all finished child processes, which other load does not change."""
    used = os.times()
    return used.children_user + used.children_system


def _project(quantities: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    water = {"radius": 5, "depth": DEPTH}
    return {
        "beam": {"particle": {"id": 2}, "energy": 150, "numberOfParticles": PRIMARIES},
        "figureManager": {"figures": [{"uuid": "f", "geometryData": _cylinder(water)}]},
        "zoneManager": {
            "zones": [
                {
                    "uuid": "z",
                    "materialUuid": "water",
                    "unionOperations": [[{"mode": "union", "objectUuid": "f"}]],
                }
            ],
            "worldZone": {
                "uuid": "world",
                "materialUuid": "vacuum",
                "geometryData": _cylinder({"radius": 6, "depth": DEPTH + 4}),
            },
        },
        "materialManager": {
            "materials": [{"uuid": "water", "icru": 276}, {"uuid": "vacuum", "icru": 1000}]
        },
        "detectorManager": {
            "detectors": [_detector("profile", DEPTH / 2, DEPTH, 400), _detector("slab", 15, 0.1)]
        },
        "scoringManager": {
            "filters": [
                {"uuid": name, "name": name, "rules": rules} for name, rules in _FILTERS.items()
            ],
            "outputs": [
                {"uuid": name, "name": name, "detectorUuid": name, "quantities": listed}
                for name, listed in quantities.items()
            ],
        },
    }


def _cylinder(parameters: dict[str, float]) -> dict[str, Any]:
    return {
        "geometryType": "HollowCylinderGeometry",
        "position": [0, 0, DEPTH / 2],
        "parameters": parameters,
    }


def _detector(name: str, centre: float, depth: float, slices: int = 1) -> dict[str, Any]:
    return {
        "uuid": name,
        "name": name,
        "geometryData": {
            "geometryType": "Cyl",
            "position": [0, 0, centre],
            "parameters": {"radius": 5, "depth": depth, "zSegments": slices},
        },
    }
