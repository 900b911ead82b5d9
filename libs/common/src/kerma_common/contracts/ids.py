"""Identifiers and the numbers that derive from them; each rule here is fixed for ever."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import NewType
from uuid import NAMESPACE_URL, UUID, uuid5

JobId = NewType("JobId", str)
UserId = NewType("UserId", str)
WorkerId = NewType("WorkerId", str)

COMMITS = uuid5(NAMESPACE_URL, "urn:kerma:commit")
"""Namespace of commit ids: the same cause gives the same id, so at most one commit."""


def job_id(now: datetime, unique: UUID, platform: str) -> JobId:
    """``YYYYmmdd-HHMMSS-<uuid>DIRECT`` or ``…BATCH``: the form that clients know."""
    return JobId(f"{now:%Y%m%d-%H%M%S}-{unique}{platform}")


def commit_id(*cause: str) -> str:
    """Commit id of a cause, e.g. (actor, request id) or (event id, policy, n)."""
    return str(uuid5(COMMITS, "\x1f".join(cause)))


def split_primaries(total: int, n_tasks: int) -> tuple[int, ...]:
    """Primaries of each task: all are simulated, the first tasks take one more of the remainder."""
    base, rest = divmod(total, n_tasks)
    return tuple(base + (index < rest) for index in range(n_tasks))


def task_seed(job: str, index: int) -> int:
    """Seed of a task in 1 … 2^31-2: the same for every attempt, never 0.

    Tasks of one job get distinct seeds: a keyed start plus a stride that is coprime to the range.
    """
    span = 2**31 - 2
    digest = hashlib.sha256(job.encode()).digest()
    start = int.from_bytes(digest[:8], "big") % span
    # 48271 shares no factor with the span, so the walk visits every value before it repeats
    return (start + index * 48271) % span + 1
