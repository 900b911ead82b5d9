"""TOPAS as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.adapter.program import ProgramEngine
from kerma_engines.topas.monitor import TopasMonitor

if TYPE_CHECKING:
    from kerma_engines.adapter.program import Code


def _code() -> Code:
    from kerma_engines.topas import code

    return code


TOPAS = ProgramEngine(
    "topas",
    "TOPAS",
    "topas",
    most_primaries=2**31 - 1,
    seeds=2**31 - 1,
    code=_code,
    new_monitor=TopasMonitor,
)
