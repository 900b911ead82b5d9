"""Conversions as a kind of work: their nursery has imported the engines and used them."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from kerma_jobs.adapters.conversion import work
from kerma_sandbox.forks.nursery import Answer, ForkLimits, Kind, Message, Walls

_BOX = {"geometryType": "BoxGeometry", "parameters": {"width": 2, "height": 2, "depth": 2}}
_WORLD = {"geometryType": "BoxGeometry", "parameters": {"width": 9, "height": 9, "depth": 9}}
_MESH = {
    "geometryType": "Mesh",
    "parameters": {"width": 2, "height": 2, "depth": 2, "zSegments": 10},
}
REHEARSAL = {
    "beam": {"particle": {"id": 2}, "energy": 150, "numberOfParticles": 10},
    "figureManager": {"figures": [{"uuid": "box", "geometryData": _BOX}]},
    "zoneManager": {
        "zones": [
            {
                "uuid": "zone",
                "materialUuid": "water",
                "unionOperations": [[{"mode": "union", "objectUuid": "box"}]],
            }
        ],
        "worldZone": {"uuid": "world", "materialUuid": "water", "geometryData": _WORLD},
    },
    "materialManager": {"materials": [{"uuid": "water", "icru": 276}]},
    "detectorManager": {"detectors": [{"uuid": "mesh", "name": "mesh", "geometryData": _MESH}]},
    "scoringManager": {
        "outputs": [
            {
                "uuid": "dose",
                "name": "dose",
                "detectorUuid": "mesh",
                "quantities": [{"name": "dose", "keyword": "Dose"}],
            }
        ]
    },
}
"""A small project that exercises all steps: reading, geometry, beam, scoring, writing."""
REHEARSED = "geant4"
"""The engine for which each fork converts that project, so that the memory pages that a conversion
writes to are copied before a request waits. It writes to the most: a conversion for another engine
takes 1 ms more than after a rehearsal of its own, and each of those would cost every fork 2 ms."""


@dataclass(frozen=True, slots=True)
class Conversions:
    """What forks do: one conversion each."""

    available: work.Engines

    def begin(self) -> Answer:
        """Touch the pages that a conversion writes to."""
        with _memory_kept():
            self.rehearse(REHEARSED)
        return self.answer

    def rehearse(self, engine: str) -> None:
        """Convert a small project."""
        order = {"engine": engine, "kind": "project", "stands_in_for": ""}
        self.answer(orjson.dumps(order), orjson.dumps(REHEARSAL))

    def answer(self, order: bytes, payload: bytes) -> Message:
        """See ``work.answer``."""
        return work.answer(order, payload, self.available)


@contextmanager
def _memory_kept() -> Iterator[None]:
    """Keep the garbage collector from writing to pages that are shared with other conversions."""
    gc.disable()
    yield
    gc.enable()


def kind(settings: Mapping[str, Any]) -> Kind:
    """Prepare for conversions. Settings: the engines' data, and limits in seconds and bytes."""
    conversions = Conversions(work.engines(settings["geant4_data"]))
    for engine in conversions.available:
        conversions.rehearse(engine)
    limits = ForkLimits(settings["cpu_seconds"], data=settings["memory"])
    return Kind(conversions.begin, limits, Walls.make())
