"""SHIELD-HIT12A as an engine: convert, prepare, watch, read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerma_engines.adapter.files import limit_primaries, write_files
from kerma_engines.adapter.port import Command
from kerma_engines.project.project import parse_project
from kerma_engines.shieldhit.convert.convert import convert
from kerma_engines.shieldhit.files import accept, with_task
from kerma_engines.shieldhit.monitor import ShieldHitMonitor
from kerma_engines.shieldhit.read.read import read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet
    from kerma_engines.results.estimators import Estimator

_MOST_PRIMARIES = 2**31 - 1
_SEEDS = 780_000_000
"""So many runs have random numbers of their own, whatever RNDSEED is by default."""

_OFFSETS = 9999
"""Files are named by an offset of four digits; what a seed has beyond shifts RNDSEED instead."""


@dataclass(frozen=True, slots=True)
class ShieldHit:
    """The engine."""

    name: str = "shieldhit"

    def convert(self, project: Mapping[str, Any]) -> InputSet:
        """Input files of an editor project. Raises InvalidInput with every problem found."""
        return convert(parse_project(project))

    def accept_files(self, files: Mapping[str, str]) -> InputSet:
        """Check user-supplied input files and find their primaries. Raises InvalidInput."""
        return accept(files)

    def prepare(self, inputs: InputSet, directory: Path, *, primaries: int, seed: int) -> Command:
        """Write the files of one task and say how to start it.

        Raises InvalidInput for more primaries than the engine counts.
        """
        limit_primaries("SHIELD-HIT12A", primaries, _MOST_PRIMARIES)
        number = 1 + (seed - 1) % _SEEDS
        offset = 1 + (number - 1) % _OFFSETS
        beam = with_task(inputs.files["beam.dat"], primaries, number - offset)
        write_files(directory, {**inputs.files, "beam.dat": beam})
        log = f"shieldhit_{offset:04d}.log"
        return Command(
            ("shieldhit", "-N", str(offset), str(directory)),
            watch=log,
            results=("*.bdo",),
            logs=("shieldhit_*.log",),
        )

    def monitor(self, primaries: int) -> ShieldHitMonitor:
        """A monitor for one run of ``primaries``."""
        return ShieldHitMonitor(primaries)

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        """Estimators of a finished task, ordered by the output map. Raises ReadError."""
        return read(directory, inputs)
