"""What the jobs service needs from outside its rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from kerma_jobs.domain.offers import Offer
from kerma_jobs.domain.quotas import Quotas


@dataclass(frozen=True, slots=True)
class Converted:
    """An input set as it is stored: ``inputs`` is its encoding, which nobody needs to read here.

    ``bins`` are those of all scorers of one task, 0 where they are not known before it runs.
    """

    engine: str
    primaries: int
    inputs: bytes
    bins: int = 0


class Converter(Protocol):
    """Turns what ``user`` submitted into the input set of an engine, within limits.

    Both raise InvalidRequest naming the fields or files, TooManyRequests when the user has too many
    conversions waiting, and Unavailable when all users have. ``stands_in_for`` is the engine that
    was asked for, where another runs in its place.
    """

    async def from_project(
        self, engine: str, project: Mapping[str, Any], *, user: str, stands_in_for: str = ""
    ) -> Converted:
        """Input set of an editor project."""

    async def from_files(
        self, engine: str, files: Mapping[str, str], *, user: str, stands_in_for: str = ""
    ) -> Converted:
        """Input set of user-supplied files."""


class Admission(Protocol):
    """Lets submissions in as far as quotas leave room."""

    def reserved(
        self, job_id: str, owner: str, quotas: Quotas, *, tasks: int, size: int
    ) -> AbstractAsyncContextManager[None]:
        """Hold room for a job of ``tasks`` tasks and ``size`` bytes of input while it is submitted.

        Room is free again when the block fails. Raises QuotaExceeded.
        """


class Offers(Protocol):
    """What workers offer now, as far as is known."""

    async def offers(self) -> Sequence[Offer]:
        """One entry per worker."""


class LiveProgress(Protocol):
    """Last told progress of running tasks; may know nothing."""

    def of(self, job_id: str, index: int, lease: int) -> tuple[int, float | None] | None:
        """Primaries simulated under this lease and seconds left, if told."""
