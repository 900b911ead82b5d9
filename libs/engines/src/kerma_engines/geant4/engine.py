"""Geant4 as an engine: convert, prepare, monitor, read.

Its own code is imported when it is first called: workers and services know engines without it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerma_engines.adapter.port import Program, Progress
from kerma_engines.geant4.data import DATA_SETS, installed
from kerma_engines.geant4.transport.watch import REFUSAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kerma_engines.adapter.port import Command, InputSet
    from kerma_engines.project.project import Project
    from kerma_engines.results.estimators import Estimator

_PROGRESS = re.compile(r"primaries (\d{1,18})(?: (\d{1,9}\.\d))?\s*")


@dataclass(frozen=True, slots=True)
class ProgressMonitor:
    """Reads the progress lines of the transport process."""

    primaries: int

    def feed(self, line: str) -> Progress | None:
        """Return the progress that this line reports, None if it reports none."""
        match = _PROGRESS.fullmatch(line)
        if match is None:
            return None
        done = min(int(match[1]), self.primaries)
        return Progress(done, float(match[2]) if match[2] else None)


@dataclass(frozen=True, slots=True)
class Geant4:
    """The engine. ``data`` holds the variables of installed data sets, empty without them."""

    data: Mapping[str, str] = field(default_factory=dict)
    name: str = "geant4"

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Geant4:
        """Return the engine with the data sets that the environment names, if they exist."""
        return cls(installed(env))

    @property
    def program(self) -> Program:
        """What it starts for every task: the transport, with Python."""
        sources = str(Path(__file__).parents[2])
        env = {"PYTHONPATH": sources, **(self.data or dict.fromkeys(DATA_SETS, ""))}
        return Program(sys.executable, env, refusal=REFUSAL)

    @property
    def full(self) -> bool:
        """Whether data sets make all particles and interactions available."""
        return bool(self.data)

    def convert(self, project: Mapping[str, Any] | Project) -> InputSet:
        """Convert an editor project to input files. Raises InvalidInput with all problems."""
        from kerma_engines.geant4 import code

        return code.convert(project, full=self.full)

    def accept_files(self, files: Mapping[str, str]) -> InputSet:
        """Check user-supplied input files and find their primaries. Raises InvalidInput."""
        from kerma_engines.geant4 import code

        return code.accept_files(files, full=self.full)

    def scored_bins(self, inputs: InputSet) -> int:
        """Return the bins of all quantities of a task."""
        from kerma_engines.geant4 import code

        return code.scored_bins(inputs)

    def prepare(self, inputs: InputSet, directory: Path, *, primaries: int, seed: int) -> Command:
        """Write the files of one task (>= 1 primaries, seed >= 1) and return how to start it."""
        from kerma_engines.geant4 import code

        return code.prepare(inputs, directory, self.program, primaries=primaries, seed=seed)

    def monitor(self, primaries: int) -> ProgressMonitor:
        """Return a monitor for one run of ``primaries``."""
        return ProgressMonitor(primaries)

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        """Read the estimators of a finished task, ordered by the output map. Raises ReadError."""
        from kerma_engines.geant4 import code

        return code.read(directory, inputs)
