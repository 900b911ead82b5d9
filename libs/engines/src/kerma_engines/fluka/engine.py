"""FLUKA as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.adapter.program import ProgramEngine
from kerma_engines.fluka.monitor import FlukaMonitor

if TYPE_CHECKING:
    from kerma_engines.adapter.program import Code


def _code() -> Code:
    from kerma_engines.fluka import code

    return code


FLUKA = ProgramEngine(
    "fluka",
    "FLUKA",
    "rfluka",
    most_primaries=10**9 - 1,
    seeds=899_999_999,  # RANDOMIZ takes 1 to 9e8
    code=_code,
    new_monitor=FlukaMonitor,
)
