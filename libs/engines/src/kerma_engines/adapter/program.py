"""An engine that is an external program, described by how it differs from others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from kerma_engines.adapter.files import limit_primaries
from kerma_engines.adapter.port import Program
from kerma_engines.adapter.seeds import narrowed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from kerma_engines.adapter.port import Command, InputSet, Monitor
    from kerma_engines.project.project import Project
    from kerma_engines.results.estimators import Estimator


class Code(Protocol):
    """An engine's own code, as a module."""

    def convert(self, project: Project, /) -> InputSet:
        """Convert an editor project to input files. Raises InvalidInput with every problem found."""

    def accept(self, files: Mapping[str, str], /) -> InputSet:
        """Check user-supplied input files and find their primaries. Raises InvalidInput."""

    def scored_bins(self, inputs: InputSet, /) -> int:
        """Return the bins of all quantities of a task, or more. Raises InvalidInput."""

    def write_task(
        self, inputs: InputSet, directory: Path, primaries: int, seed: int, /
    ) -> Command:
        """Write the files of a task and return how to start it."""

    def read(self, directory: Path, inputs: InputSet, /) -> tuple[Estimator, ...]:
        """Read the estimators of a finished task, in the order of the output map. Raises ReadError."""


@dataclass(frozen=True, slots=True)
class ProgramEngine:
    """An ``Engine`` that starts a program and has its own code as a module.

    ``title`` is its name as users know it, ``executable`` the name of its program. A task has at most
    ``most_primaries``. The program takes ``seeds`` different seeds, counted from 1. ``code`` imports
    the module: workers and services know engines without it.
    """

    name: str
    title: str
    executable: str
    most_primaries: int
    seeds: int
    code: Callable[[], Code]
    new_monitor: Callable[[int], Monitor]

    @property
    def program(self) -> Program:
        """What it starts for every task."""
        return Program(self.executable)

    def convert(self, project: Mapping[str, Any] | Project) -> InputSet:
        """Convert an editor project to input files. Raises InvalidInput with every problem found."""
        from kerma_engines.project.project import parse_project

        return self.code().convert(parse_project(project))

    def accept_files(self, files: Mapping[str, str]) -> InputSet:
        """Check user-supplied input files and find their primaries. Raises InvalidInput."""
        return self.code().accept(files)

    def scored_bins(self, inputs: InputSet) -> int:
        """Return the bins of all quantities of a task, or more. Raises InvalidInput."""
        return self.code().scored_bins(inputs)

    def prepare(self, inputs: InputSet, directory: Path, *, primaries: int, seed: int) -> Command:
        """Write the files of one task and return how to start it.

        Raises InvalidInput for more primaries than the program can count.
        """
        limit_primaries(self.title, primaries, self.most_primaries)
        seed = narrowed(seed, self.seeds)
        return self.code().write_task(inputs, directory, primaries, seed)

    def monitor(self, primaries: int) -> Monitor:
        """Return a monitor for one run of ``primaries``."""
        return self.new_monitor(primaries)

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        """Read the estimators of a finished task, in the order of the output map. Raises ReadError."""
        return self.code().read(directory, inputs)
