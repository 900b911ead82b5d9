"""Projects for FLUKA, their decks, and results read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from engine_inputs import detector, output, phantom
from fluka_deck import Deck, read_deck
from kerma_engines.errors import InvalidInput
from kerma_engines.fluka.engine import FLUKA

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet
    from kerma_engines.results.estimators import Estimator

GY = 1.602176634e-10  # per MeV/g


def deck_of(mapping: dict[str, Any]) -> Deck:
    return read_deck(FLUKA.convert(mapping).files["fl_sim.inp"])


def refused(mapping: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidInput) as verdict:
        FLUKA.convert(mapping)
    return {problem.path: problem.reason for problem in verdict.value.problems}


def rules(*tests: tuple[str, str, float]) -> dict[str, Any]:
    listed = [{"keyword": k, "operator": o, "value": v} for k, o, v in tests]
    return {"uuid": "f", "name": "f", "rules": listed}


def scored(*keywords: str, known: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return a phantom that scores all quantities on one detector, through one filter."""
    detectors = [changes.pop("on", None) or detector()]
    beam = phantom()["beam"] | changes.pop("beam", {})
    if known is not None:
        changes["filter"] = "f"
    scoring = {"filters": [known] if known else [], "outputs": [output("o", *keywords, **changes)]}
    return phantom(scoringManager=scoring, detectorManager={"detectors": detectors}, beam=beam)


def in_zone(uuid: str = "z") -> dict[str, Any]:
    return detector(geometryType="Zone", parameters={"zoneUuid": uuid})


def spectrum(low: float, high: float, n: int, *, log: bool = False) -> dict[str, Any]:
    axis = {"diffType": "E", "lowerLimit": low, "upperLimit": high, "binsNumber": n, "isLog": log}
    return {"modifiers": [axis]}


def read(folder: Path, inputs: InputSet, **files: bytes) -> Estimator:
    for unit, data in files.items():
        (folder / f"fl_sim001_fort.{unit[1:]}").write_bytes(data)
    (found,) = FLUKA.read(folder, inputs)
    return found
