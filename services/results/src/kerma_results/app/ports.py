"""Ports of the merge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

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


@dataclass(frozen=True, slots=True)
class KeptEstimator:
    """A stored estimator."""

    name: str
    metadata_ref: Ref
    kept: KeptPages


class DeliveryBody(Protocol):
    """A delivered body, read as it arrives in a process of its own.

    Calls raise InvalidRequest naming what is wrong with it, and Unavailable.
    """

    async def feed(self, piece: bytes) -> None:
        """Read the next bytes."""

    async def end(self) -> None:
        """Read the end of the body."""

    async def match(self, inputs: bytes) -> str:
        """Assign the estimators to the outputs of an input set; return their digest."""


Body = TypeVar("Body", bound=DeliveryBody, covariant=True)
Given = TypeVar("Given", bound=DeliveryBody, contravariant=True)


class DeliveryBodies(Protocol[Body]):
    """Makes processes that read delivered bodies."""

    def open(self, *, gzipped: bool) -> AbstractAsyncContextManager[Body]:
        """Provide one. Raises Unavailable."""


class DeliveryStore(Protocol[Given]):
    """Permanent storage of what was delivered."""

    def keep(self, body: Given) -> AsyncIterator[KeptEstimator]:
        """Store a matched body; yield its estimators in the order of the outputs."""


class PageStore(Protocol):
    """Permanent storage of merged estimators."""

    async def keep_pages(self, estimator: Estimator) -> KeptPages:
        """Store every page: its arrays and its JSON fragment."""

    async def keep_metadata(self, body: bytes) -> Ref:
        """Store the JSON of an estimator's metadata."""
