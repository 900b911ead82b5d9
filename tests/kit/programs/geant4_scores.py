"""A thick water block whose first millimetre Geant4 scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kerma_engines.results.estimators import Page
from kit.inputs import editor as make
from kit.programs.geant4 import transport

if TYPE_CHECKING:
    from pathlib import Path

PROTONS = {
    "uuid": "p",
    "name": "Protons",
    "rules": [
        {"keyword": "Z", "operator": "==", "value": 1},
        {"keyword": "A", "operator": "==", "value": 1},
    ],
}


def generation(uuid: str, compare: str, value: int, species: Any = ()) -> dict[str, Any]:
    rule = {"keyword": "GEN", "operator": compare, "value": value}
    return {"uuid": uuid, "name": uuid, "rules": [*species, rule]}


def spectrum(key: str, low: float, high: float, n: int, *, log: bool = False) -> dict[str, Any]:
    return {
        "diffType": key,
        "lowerLimit": low,
        "upperLimit": high,
        "binsNumber": n,
        "isLog": log,
    }


def score(
    quantities: list[dict[str, Any]],
    directory: Path,
    *,
    primaries: int = 100,
    detector: dict[str, Any] | None = None,
    **beam: Any,
) -> list[Page]:
    """Score a thick water block; by default in its first millimetre."""
    definition = make.project(
        {"a": make.box((10, 10, 20), position=[0, 0, 10])},
        [make.zone("water", "a")],
        world=make.box((30, 30, 60)),
        detectors=[detector or make.mesh((10, 10, 0.1), (1, 1, 1)) | {"position": [0, 0, 0.05]}],
        quantities=quantities,
        filters=[
            PROTONS,
            generation("primary", "==", 0, PROTONS["rules"]),
            generation("secondary", ">=", 1, PROTONS["rules"]),
            generation("beam", "==", 0),
            generation("first", "==", 1),
            generation("later", ">", 1),
            {
                "uuid": "fast",
                "name": "fast",
                "rules": [{"keyword": "ENUC", "operator": ">", "value": 30}],
            },
            {
                "uuid": "carbon",
                "name": "carbon",
                "rules": [{"keyword": "Z", "operator": "==", "value": 6}],
            },
            {
                "uuid": "helium",
                "name": "helium",
                "rules": [
                    {"keyword": "Z", "operator": "==", "value": 2},
                    {"keyword": "AMU", "operator": ">", "value": 3.5},
                    {"keyword": "EAMU", "operator": ">", "value": 80},
                ],
            },
        ],
        position=[0, 0, -1],
        **beam,
    )
    return transport(definition, directory, primaries, seed=17)
