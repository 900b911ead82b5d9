"""Errors between a project and its results, in terms that a user can act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_PROBLEMS = 100


class EngineError(Exception):
    """Base class of this library's errors."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a project or a set of input files.

    ``path`` is a JSON path into the project (``beam.energy``, ``scoringManager.outputs[2].name``)
    or ``<file>:<line>`` for input files; empty for a fault of the whole.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class InvalidInput(EngineError):  # noqa: N818 - a verdict on the input, not a fault of ours
    """The project or file set is malformed, or needs something that the engine can't do.

    Conversion collects all problems before it raises, so that a user can fix them in one go. A
    hostile file may have a million: ``problems`` holds the first ``MAX_PROBLEMS``, ``count`` is
    their number.
    """

    def __init__(self, problems: Sequence[Problem], count: int | None = None) -> None:
        self.problems = tuple(problems[:MAX_PROBLEMS])
        self.count = len(problems) if count is None else count
        text = "; ".join(str(problem) for problem in self.problems)
        more = self.count - len(self.problems)
        super().__init__(f"{text}; and {more} more" if more else text)


class ReadError(EngineError):
    """A result file is truncated, empty or of another format; the message says where."""

    def __init__(self, file: str, where: str, reason: str) -> None:
        self.file = file
        self.where = where
        self.reason = reason
        super().__init__(f"{file}: {where}: {reason}")
