"""What the jobs service needs from outside its rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kerma_engines.adapter.port import InputSet
from kerma_jobs.domain.offers import Offer


class Converter(Protocol):
    """Turns what a user submitted into the input set of an engine, within limits."""

    async def from_project(self, engine: str, project: Mapping[str, Any]) -> InputSet:
        """Input set of an editor project. Raises InvalidRequest naming the fields."""

    async def from_files(self, engine: str, files: Mapping[str, str]) -> InputSet:
        """Input set of user-supplied files. Raises InvalidRequest naming the files."""


class Offers(Protocol):
    """What workers offer now, as far as is known."""

    async def offers(self) -> Sequence[Offer]:
        """One entry per worker."""


class LiveProgress(Protocol):
    """Last told progress of running tasks; may know nothing."""

    def of(self, job_id: str, index: int, lease: int) -> tuple[int, float | None] | None:
        """Primaries simulated under this lease and seconds left, if told."""
