"""The interface between engines and the rest of Kerma: one protocol, with one package per engine.

A job is converted once, at submission, for any number of primaries. Each task then runs the same
input files with its own number of primaries and its own seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kerma_engines.project.project import Project
    from kerma_engines.results.estimators import Estimator


@dataclass(frozen=True, slots=True)
class OutputQuantity:
    """One page of an output: its position in the estimator and the quantity that was asked for."""

    number: int
    name: str
    keyword: str
    filter_name: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """The file (or unit) of the engine that belongs to one scoring output of the project."""

    id: str
    name: str
    file: str
    quantities: tuple[OutputQuantity, ...] = ()


@dataclass(frozen=True, slots=True)
class InputSet:
    """Everything a task needs to run, except its number of primaries and its seed.

    ``files`` maps plain file names to text, as users see and edit them. ``primaries`` is the number
    of the whole job. ``outputs`` is the output map, in the order of the project's scoring outputs;
    for user-supplied files it lists what the files declare, as far as that can be known.
    ``options`` are facts that only the engine's ``command`` and ``read`` use; JSON values only.
    ``stands_in_for`` is the requested engine when ``engine`` substitutes for it.
    """

    engine: str
    files: Mapping[str, str]
    primaries: int
    outputs: tuple[Output, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    stands_in_for: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """What all commands of an engine have in common, whatever their input is.

    ``name`` is the first argument, ``env`` the extra environment. ``readable`` are the directories
    and files that the engine reads besides those of its program. ``refusal`` is the exit code with
    which the engine says that no attempt at this input can succeed.
    """

    name: str
    env: Mapping[str, str] = field(default_factory=dict)
    readable: tuple[Path, ...] = ()
    refusal: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """How to start one task: argument list, extra environment, and where progress is reported.

    ``watch`` is None when progress comes on stdout, otherwise the glob, relative to the work
    directory, of the log file to follow. ``results`` are globs of the files to keep. ``readable``
    and ``refusal`` are those of the engine's program.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    watch: str | None = None
    results: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    readable: tuple[Path, ...] = ()
    refusal: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress reported by a line of output. ``eta_seconds`` is None when the engine gives none."""

    primaries: int
    eta_seconds: float | None = None


class Monitor(Protocol):
    """Parses lines of output for progress; never raises, whatever the line."""

    def feed(self, line: str) -> Progress | None:
        """Return the progress that this line reports, None if it reports none."""


class Engine(Protocol):
    """A Monte-Carlo code."""

    @property
    def name(self) -> str:
        """The name by which jobs refer to it."""

    @property
    def program(self) -> Program:
        """What it starts for every task."""

    def convert(self, project: Mapping[str, Any] | Project) -> InputSet:
        """Convert an editor project, as JSON or parsed, to input files.

        Raises InvalidInput with every problem found.
        """

    def accept_files(self, files: Mapping[str, str]) -> InputSet:
        """Check user-supplied input files and find their primaries. Raises InvalidInput."""

    def scored_bins(self, inputs: InputSet) -> int:
        """Return the bins of all quantities of a task, or more.

        Raises InvalidInput, as ``accept_files`` does, where they can't be counted.
        """

    def prepare(self, inputs: InputSet, directory: Path, *, primaries: int, seed: int) -> Command:
        """Write the files of one task (>= 1 primaries, seed >= 1) and return how to start it."""

    def monitor(self, primaries: int) -> Monitor:
        """Return a monitor for one run of ``primaries``."""

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        """Read the estimators of a finished task, in the order of the output map. Raises ReadError."""
