"""What can go wrong between a project and its results, in terms that a user can act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_PROBLEMS = 100


class EngineError(Exception):
    """Root of the errors of this library."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a project or a set of input files.

    ``path`` is a JSON path into the project (``beam.energy``, ``scoringManager.outputs[2].name``)
    or ``<file>:<line>`` for input files; empty when it is about the whole.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class InvalidInput(EngineError):  # noqa: N818 - a verdict on the input, not a fault of ours
    """The project or file set is malformed or asks for what the engine cannot do.

    Conversion collects all problems before it raises, so that a user mends them in one go. Of a
    hostile file with a million of them, ``problems`` holds the first ``MAX_PROBLEMS`` and
    ``count`` says how many there are.
    """

    def __init__(self, problems: Sequence[Problem], count: int | None = None) -> None:
        self.problems = tuple(problems[:MAX_PROBLEMS])
        self.count = len(problems) if count is None else count
        text = "; ".join(str(problem) for problem in self.problems)
        more = self.count - len(self.problems)
        super().__init__(f"{text}; and {more} more" if more else text)


class ReadError(EngineError):
    """A result file is truncated, empty, or not what it claims to be; says where."""

    def __init__(self, file: str, where: str, reason: str) -> None:
        self.file = file
        self.where = where
        self.reason = reason
        super().__init__(f"{file}: {where}: {reason}")
