"""Identifiers and the numbers that derive from them. These rules never change."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import NewType
from uuid import NAMESPACE_URL, UUID, uuid5

JobId = NewType("JobId", str)
UserId = NewType("UserId", str)
WorkerId = NewType("WorkerId", str)

UNKNOWN_JOB = "Job with provided ID does not exist"
"""Clients compare messages with this text."""

COMMITS = uuid5(NAMESPACE_URL, "urn:kerma:commit")
"""Namespace of commit ids: the same cause gives the same id, so at most one commit."""


def job_id(now: datetime, unique: UUID, platform: str) -> JobId:
    """Return ``YYYYmmdd-HHMMSS-<uuid>DIRECT`` or ``…BATCH``, the form that clients know."""
    return JobId(f"{now:%Y%m%d-%H%M%S}-{unique}{platform}")


def commit_id(*cause: str) -> str:
    """Return the commit id of a cause, e.g. (actor, request id) or (event id, policy, n)."""
    return str(uuid5(COMMITS, "\x1f".join(cause)))


def share_of_primaries(total: int, n_tasks: int, index: int) -> int:
    """Return the primaries of one task; the first tasks take one more each of the remainder."""
    base, rest = divmod(total, n_tasks)
    return base + (index < rest)


def split_primaries(total: int, n_tasks: int) -> tuple[int, ...]:
    """Return the primaries of each task."""
    return tuple(share_of_primaries(total, n_tasks, index) for index in range(n_tasks))


SEED_RULE = 2
"""The seed rule of new jobs; every job records the rule it uses."""

_INDEX_BITS = 14
_BLOCKS = 2**49
_FIRST_BLOCK = 2**17


def task_seed(job: str, index: int, rule: int) -> int:
    """Return the seed of a task, the same for every attempt. Tasks of one job never share one.

    Rule 2: in 2^31 … 2^63 - 1, a block of 2^14 seeds per job, chosen by the hash of its id. Among n
    jobs, two share a block with a probability of n^2 / 2^50.

    Rule 1, for jobs that record no rule: in 1 … 2^31 - 2, with one stride for all jobs, so two of
    them may share a long run of seeds.
    """
    digest = hashlib.sha256(job.encode()).digest()
    number = int.from_bytes(digest[:8], "big")
    if rule == 1:
        span = 2**31 - 2
        # 48271 shares no factor with the span, so the walk visits every value before it repeats.
        return (number % span + index * 48271) % span + 1
    if rule != SEED_RULE or not 0 <= index < 1 << _INDEX_BITS:
        raise ValueError(f"no seed of task {index} by rule {rule}")
    block = _FIRST_BLOCK + number % (_BLOCKS - _FIRST_BLOCK)
    return (block << _INDEX_BITS) + index
