"""FLUKA as an engine: convert, prepare, watch, read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerma_engines.adapter.files import limit_primaries, write_files
from kerma_engines.adapter.port import Command
from kerma_engines.fluka.convert.convert import convert
from kerma_engines.fluka.files import accept, input_name, with_task
from kerma_engines.fluka.monitor import FlukaMonitor
from kerma_engines.fluka.read.read import read
from kerma_engines.project.project import parse_project

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet
    from kerma_engines.results.estimators import Estimator

_MOST_PRIMARIES = 10**9 - 1
_SEEDS = 899_999_999
"""RANDOMIZ takes 1 to 9e8."""


@dataclass(frozen=True, slots=True)
class Fluka:
    """The engine."""

    name: str = "fluka"

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
        limit_primaries("FLUKA", primaries, _MOST_PRIMARIES)
        name = input_name(inputs.files)
        text = with_task(inputs.files, primaries, 1 + (seed - 1) % _SEEDS)
        write_files(directory, {**inputs.files, name: text})
        return Command(
            ("rfluka", "-N0", "-M1", name),
            watch="fluka_*/*001.out",
            results=("*_fort.*",),
            logs=("*.out", "*.err", "*.log", "fluka_*/*.out", "fluka_*/*.err", "fluka_*/*.log"),
        )

    def monitor(self, primaries: int) -> FlukaMonitor:
        """A monitor for one run of ``primaries``."""
        return FlukaMonitor(primaries)

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        """Estimators of a finished task, ordered by the output map. Raises ReadError."""
        return read(directory, inputs)
