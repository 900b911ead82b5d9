"""Ports of the jobs service."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from kerma_common.http.idempotency import RequestKey
from kerma_jobs.domain.offers import Offer
from kerma_jobs.domain.quotas import Quotas


@dataclass(frozen=True, slots=True)
class Converted:
    """An input set as it is stored; ``inputs`` is its encoding, which need not be decoded here.

    ``bins`` is the number of bins of all scorers of one task, or more.
    """

    engine: str
    primaries: int
    inputs: bytes
    bins: int


class Converter(Protocol):
    """Converts what ``user`` submits into the input set of an engine, within limits.

    Both methods raise InvalidRequest naming the fields or files, TooManyRequests when the user has
    too many conversions waiting, and Unavailable when all users together have. ``stands_in_for`` is
    the engine that was asked for, if another runs in its place.
    """

    async def from_project(
        self, engine: str, project: bytes, *, user: str, stands_in_for: str = ""
    ) -> Converted:
        """Return the input set of an editor project, an object as JSON."""

    async def from_files(
        self, engine: str, files: bytes, *, user: str, stands_in_for: str = ""
    ) -> Converted:
        """Return the input set of user-supplied files, an object of names and texts as JSON."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The job that a key stands for, and the digest of the request that claimed it."""

    job_id: str
    digest: str


class Keys(Protocol):
    """The keys by which clients repeat requests."""

    async def claim(self, owner: str, key: RequestKey, job_id: str) -> Claim:
        """Claim a key for a job, durably; return the claim, which may be an earlier one.

        Raises TooManyRequests.
        """


class Admission(Protocol):
    """Admits submissions within the quotas."""

    def reserved(
        self,
        job_id: str,
        owner: str,
        quotas: Quotas,
        *,
        tasks: int,
        size: int,
        again: bool = False,
    ) -> AbstractAsyncContextManager[None]:
        """Reserve room for a job of ``tasks`` tasks and ``size`` input bytes until it is submitted.

        ``again``: another request may have reserved for the same job.
        The room is released when the block fails. Raises QuotaExceeded.
        """


class Offers(Protocol):
    """The offers of workers, as far as they are known."""

    async def offers(self) -> Sequence[Offer]:
        """Return one offer per worker."""


class LiveProgress(Protocol):
    """The last known progress of running tasks, which may be missing."""

    def of(self, job_id: str, index: int, lease: int) -> tuple[int, float | None] | None:
        """Return the primaries simulated under this lease and the seconds left, if known."""
