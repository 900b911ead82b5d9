"""Ports of the jobs service."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
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


@dataclass(frozen=True, slots=True)
class RegisteredCluster:
    """A cluster of the registry."""

    cluster: str
    name: str


class Clusters(Protocol):
    """The registry of clusters."""

    async def registered(self) -> Sequence[RegisteredCluster]:
        """Return the clusters, the one registered first in front."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """What a script on a cluster says of a task's progress, under a key of ``issued_at``."""

    job_id: str
    index: int
    simulated: int
    eta_seconds: float | None
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """What the rows say of the job and the task of a report.

    ``job_state`` is None for a job that does not exist. ``void``: the key was revoked. ``settled``:
    every task has ended. ``simulated``: the furthest progress reported, 0 if the report was not
    accepted.
    """

    job_state: str | None
    platform: str
    n_tasks: int
    primaries: int
    void: bool
    settled: bool
    task_state: str
    started: bool
    ended: bool
    requested: int | None
    simulated: int


class Progress(Protocol):
    """The progress of tasks on clusters, which only grows."""

    async def report(self, reports: Sequence[Progressed]) -> Sequence[Found]:
        """Store progress where a job accepts it; return what the rows say, for each report."""

    async def forget(self, job_id: str) -> None:
        """Delete the progress of a job."""


class LiveProgress(Protocol):
    """The last known progress of running tasks, which may be missing."""

    def of(self, job_id: str, index: int, lease: int) -> tuple[int, float | None] | None:
        """Return the primaries simulated under this lease and the seconds left, if known."""
