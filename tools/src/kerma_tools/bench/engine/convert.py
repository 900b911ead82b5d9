"""Measure time and size of converting many subtracted zones to SHIELD-HIT12A."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from kerma_engines.catalogue.registry import engine
from kerma_tools.bench.figure import Figure
from kerma_tools.bench.run import limit

ZONES = 16
MILLISECONDS = 20.0
KILOBYTES = 100.0
ROUNDS = 15


def convert_sixteen_zones() -> tuple[Figure, Figure]:
    """Measure time to convert, best of 15, and bytes of all input files, of 16 zones of two bodies."""
    project = subtracted_zones(ZONES)
    shieldhit = engine("shieldhit")
    times: list[float] = []
    for _ in range(ROUNDS):
        start = perf_counter()
        inputs = shieldhit.convert(project)
        times.append(1e3 * (perf_counter() - start))
    size = sum(len(text) for text in inputs.files.values()) / 1e3
    return (
        limit("conversion_time", min(times), "ms", MILLISECONDS),
        limit("conversion_size", size, "kB", KILOBYTES),
    )


def subtracted_zones(count: int) -> dict[str, Any]:
    """Return a project of ``count`` zones, each a box less a sphere that reaches out of it.

    Multiplying out the rest of the world gives 2 to the power of ``count`` alternatives.
    """
    figures = [_figure(f"box{k}", "BoxGeometry", [0, 0, 3 * k]) for k in range(count)]
    figures += [_figure(f"ball{k}", "SphereGeometry", [1, 0, 3 * k]) for k in range(count)]
    water = {"uuid": "water", "icru": 276}
    detector = {
        "uuid": "mesh",
        "name": "mesh",
        "geometryData": {
            "geometryType": "Mesh",
            "parameters": {"width": 2, "height": 2, "depth": 3 * count, "zSegments": 300},
        },
    }
    output = {
        "uuid": "dose",
        "name": "dose",
        "detectorUuid": "mesh",
        "quantities": [{"name": "dose", "keyword": "Dose"}],
    }
    world = {"width": 40, "height": 40, "depth": 12 * count}
    return {
        "beam": {"particle": {"id": 2}, "energy": 150, "numberOfParticles": 10_000},
        "figureManager": {"figures": figures},
        "zoneManager": {
            "zones": [_zone(k) for k in range(count)],
            "worldZone": {
                "uuid": "world",
                "materialUuid": "air",
                "geometryData": {"geometryType": "BoxGeometry", "parameters": world},
            },
        },
        "materialManager": {"materials": [water, {"uuid": "air", "icru": 104}]},
        "detectorManager": {"detectors": [detector]},
        "scoringManager": {"outputs": [output]},
    }


def _figure(uuid: str, kind: str, position: list[float]) -> dict[str, Any]:
    sizes = {"width": 2, "height": 2, "depth": 2} if kind == "BoxGeometry" else {"radius": 0.7}
    return {
        "uuid": uuid,
        "geometryData": {"geometryType": kind, "position": position, "parameters": sizes},
    }


def _zone(k: int) -> dict[str, Any]:
    operations = [
        {"mode": "union", "objectUuid": f"box{k}"},
        {"mode": "subtraction", "objectUuid": f"ball{k}"},
    ]
    return {"uuid": f"zone{k}", "materialUuid": "water", "unionOperations": [operations]}
