"""SHIELD-HIT12A as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.adapter.program import ProgramEngine
from kerma_engines.shieldhit.monitor import ShieldHitMonitor

if TYPE_CHECKING:
    from kerma_engines.adapter.program import Code


def _code() -> Code:
    from kerma_engines.shieldhit import code

    return code


SHIELDHIT = ProgramEngine(
    "shieldhit",
    "SHIELD-HIT12A",
    "shieldhit",
    most_primaries=2**31 - 1,
    seeds=780_000_000,  # this many runs differ in their random numbers, whatever RNDSEED is
    code=_code,
    new_monitor=ShieldHitMonitor,
)
