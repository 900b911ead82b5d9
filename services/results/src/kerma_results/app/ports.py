"""Ports of the merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kerma_common.contracts.pages import PageMaterialised
from kerma_common.contracts.refs import Ref

if TYPE_CHECKING:
    from kerma_engines.results.estimators import Estimator
    from kerma_results.read.queries import JobSource, TaskOutput


class Unmergeable(Exception):  # noqa: N818 - a verdict on the outputs
    """The outputs can never be merged; ``code`` is stable, ``message`` is for users."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


class Merger(Protocol):
    """Reads and merges the outputs of tasks."""

    async def merge(self, source: JobSource, outputs: Sequence[TaskOutput]) -> Sequence[Estimator]:
        """Return merged estimators in the order of the project's outputs. Raises Unmergeable."""


@dataclass(frozen=True, slots=True)
class KeptPages:
    """Stored pages: listed here, or by a blob when there are many.

    ``stored_bytes`` counts all of their blobs.
    """

    pages: tuple[PageMaterialised, ...]
    manifest_ref: Ref | None = None
    stored_bytes: int = 0


class PageStore(Protocol):
    """Permanent storage of merged estimators."""

    async def keep_pages(self, estimator: Estimator) -> KeptPages:
        """Store every page: its arrays and its JSON fragment."""

    async def keep_metadata(self, body: bytes) -> Ref:
        """Store the JSON of an estimator's metadata."""
