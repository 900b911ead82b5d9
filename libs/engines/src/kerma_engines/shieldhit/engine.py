"""SHIELD-HIT12A as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.adapter.files import write_files
from kerma_engines.adapter.port import Command
from kerma_engines.adapter.program import ProgramEngine
from kerma_engines.shieldhit.bins import scored_bins
from kerma_engines.shieldhit.convert.convert import convert
from kerma_engines.shieldhit.files import accept, with_task
from kerma_engines.shieldhit.monitor import ShieldHitMonitor
from kerma_engines.shieldhit.read.read import read

if TYPE_CHECKING:
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet

_OFFSETS = 9999
"""Files are named by an offset of four digits; the rest of a seed shifts RNDSEED instead."""


def _write_task(inputs: InputSet, directory: Path, primaries: int, seed: int) -> Command:
    offset = 1 + (seed - 1) % _OFFSETS
    beam = with_task(inputs.files["beam.dat"], primaries, seed - offset)
    write_files(directory, {**inputs.files, "beam.dat": beam})
    return Command(
        ("shieldhit", "-N", str(offset), str(directory)),
        watch=f"shieldhit_{offset:04d}.log",
        results=("*.bdo",),
        logs=("shieldhit_*.log",),
    )


SHIELDHIT = ProgramEngine(
    "shieldhit",
    "SHIELD-HIT12A",
    "shieldhit",
    most_primaries=2**31 - 1,
    seeds=780_000_000,  # this many runs differ in their random numbers, whatever RNDSEED is
    converted=convert,
    accepted=accept,
    bins=scored_bins,
    written=_write_task,
    new_monitor=ShieldHitMonitor,
    results=read,
)
