"""What an engine is to the rest of Kerma: one protocol, implemented by one folder per engine.

A job is converted once, at submission, for any number of primaries; a task then runs the same
input files with its own number of primaries and its own seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kerma_engines.results.estimators import Estimator


@dataclass(frozen=True, slots=True)
class OutputQuantity:
    """One page of an output: its position in the estimator and what was asked for."""

    number: int
    name: str
    keyword: str
    filter_name: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """Which file (or unit) of the engine belongs to which scoring output of the project."""

    id: str
    name: str
    file: str
    quantities: tuple[OutputQuantity, ...] = ()


@dataclass(frozen=True, slots=True)
class InputSet:
    """Everything a task needs to run, beside its number of primaries and its seed.

    ``files`` maps plain file names to text, as a user would see and edit them; ``primaries`` is
    that of the whole job. ``outputs`` is the output map, in the order of the project's scoring
    outputs; for user-supplied files it is what the files declare, as far as that can be known.
    ``options`` are engine-private facts that ``command`` and ``read`` need; JSON values only.
    ``stands_in_for`` is the engine that was asked for, where ``engine`` runs in its place.
    """

    engine: str
    files: Mapping[str, str]
    primaries: int
    outputs: tuple[Output, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    stands_in_for: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """How to start one task: argument list, extra environment, and where its progress is.

    ``watch`` is None when progress comes on stdout, otherwise a glob relative to the work
    directory of the log file to follow. ``results`` are globs of the files to keep. ``readable``
    are folders and files that the engine reads besides its program's own.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    watch: str | None = None
    results: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    readable: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """What a line of output told. ``eta_seconds`` is None when the engine gives none."""

    primaries: int
    eta_seconds: float | None = None


class Monitor(Protocol):
    """Turns lines of output into progress; never raises, whatever the line."""

    def feed(self, line: str) -> Progress | None:
        """Progress if this line told any."""


class Engine(Protocol):
    """One Monte-Carlo code."""

    @property
    def name(self) -> str:
        """What jobs call it."""

    def convert(self, project: Mapping[str, Any]) -> InputSet:
        """Input files of an editor project. Raises InvalidInput with every problem found."""

    def accept_files(self, files: Mapping[str, str]) -> InputSet:
        """Check user-supplied input files and find their primaries. Raises InvalidInput."""

    def prepare(self, inputs: InputSet, directory: Path, *, primaries: int, seed: int) -> Command:
        """Write the files of one task (>= 1 primaries, seed >= 1) and say how to start it."""

    def monitor(self, primaries: int) -> Monitor:
        """A monitor for one run of ``primaries``."""

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        """Estimators of a finished task, ordered by the output map. Raises ReadError."""
