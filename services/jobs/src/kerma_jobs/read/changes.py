"""What changed since a position: jobs as a status answer shows them, and deleted jobs.

A position is how far the projection has come in each stream. It is read before the rows, and rows that
have changed since then are left to the next reading. So a reader who asks again from there misses none,
and gets none twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    true,
    union,
)

from kerma_common.projection.rows.tables import CHECKPOINT
from kerma_jobs.domain.state import BATCH
from kerma_jobs.read.models import DELETED, JOB, OFFER, TASK
from kerma_jobs.read.progress import TASK_PROGRESS
from kerma_jobs.read.project import JOBS
from kerma_jobs.read.queries import HEAD, OFFERED, JobHead, head_of

if TYPE_CHECKING:
    from kerma_common.db.connections import Statement
    from kerma_common.db.reads import Reads

MOST = 2_000
"""Jobs of one reading; who missed more reads the list."""
_POSITION = re.compile(r"(\d{1,18})-(\d{1,18})-(\d{1,18})", re.ASCII)
ENDINGS = ("COMPLETED", "FAILED", "CANCELED")
_STREAMS = ("JOBS", "RUNNER", "RESULTS")


class Position(NamedTuple):
    """The last sequence of each stream that the rows hold; its text is the id of an event."""

    jobs: int
    runner: int
    results: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return a position from its text; None for anything else."""
        found = _POSITION.fullmatch(text)
        return cls(*map(int, found.groups())) if found else None

    def holds(self, other: Position) -> bool:
        """Return whether it is nowhere before another one."""
        return all(a >= b for a, b in zip(self, other, strict=True))

    def __str__(self) -> str:
        """Return the text."""
        return "-".join(map(str, tuple(self)))


@dataclass(frozen=True, slots=True)
class ChangedJob:
    """A job with its ended tasks by state, their primaries, and its running tasks.

    ``running`` holds number, lease and simulated primaries of each. ``at`` is its last change in each
    stream; after its end, in its own.
    """

    job: JobHead
    ended: dict[str, int]
    simulated: int
    running: Sequence[tuple[int, int, int]]
    at: Position


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything of some users that changed up to a position; ``deleted`` maps jobs to owners."""

    position: Position
    jobs: Sequence[ChangedJob]
    deleted: dict[str, str]
    complete: bool = True
    """Whether nothing was left out; otherwise everything was."""


@dataclass(slots=True)
class ChangeQueries:
    """Queries on what changed."""

    reads: Reads
    _position: Statement = field(init=False)
    _chosen: Statement = field(init=False)
    _changed: Statement = field(init=False)
    _deleted: Statement = field(init=False)

    def __post_init__(self) -> None:
        self._position = self.reads.statement(_position())
        self._chosen = self.reads.statement(_chosen())
        self._changed = self.reads.statement(_changed())
        self._deleted = self.reads.statement(_deleted())

    async def position(self) -> Position:
        """Return how far the rows have come."""
        known = dict[str, int](await self.reads.all(self._position))
        return Position(*(known.get(stream, 0) for stream in _STREAMS))

    async def since(
        self,
        before: Position,
        owners: Collection[str],
        jobs: Collection[str] = (),
        *,
        most: int = MOST,
    ) -> Changes:
        """Return what changed after a position, and ``jobs`` in any case, of these owners.

        Of jobs that have ended, only their own events count. With more than ``most``, nothing is
        returned, and tasks are not counted: that takes long.
        """
        now = await self.position()
        after = {"owners": list(owners), "jobs_seq": before.jobs, "most": most + 1}
        known = {"jobs_now": now.jobs, "runner_now": now.runner, "results_now": now.results}
        named = list(jobs)
        chosen = await self.reads.all(
            self._chosen,
            **after,
            **known,
            runner_seq=before.runner,
            results_seq=before.results,
            named=named,
        )
        deleted: dict[str, str] = {}
        if now.jobs > before.jobs:
            gone = await self.reads.all(self._deleted, **after, jobs_now=now.jobs)
            deleted = dict[str, str](gone)
        if len(chosen) + len(deleted) > most:
            return Changes(now, (), {}, complete=False)
        ids = [job_id for (job_id,) in chosen]
        rows = await self.reads.all(self._changed, chosen=ids, named=named, **known) if ids else ()
        return Changes(now, [_job(row) for row in rows], deleted)


def _job(row: Sequence[Any]) -> ChangedJob:
    job = head_of(row[: len(HEAD)])
    seq, tasks_seq, results_seq, *ended, simulated, running = row[len(HEAD) :]
    return ChangedJob(
        job,
        dict(zip(ENDINGS, ended, strict=True)),
        simulated,
        orjson.loads(running) if running else (),
        Position(seq, 0, 0) if job.ended_at else Position(seq, tasks_seq, results_seq),
    )


def _position() -> Select[Any]:
    return select(CHECKPOINT.c.stream, CHECKPOINT.c.seq).where(CHECKPOINT.c.name == JOBS.name)


def _chosen() -> Select[Any]:
    owners = _any_of("owners")
    jobs_seq = bindparam("jobs_seq", type_=BigInteger)
    active = select(JOB.c.job_id).where(
        JOB.c.owner == owners,
        JOB.c.ended_at.is_(None),
        or_(
            JOB.c.seq > jobs_seq,
            JOB.c.tasks_seq > bindparam("runner_seq", type_=BigInteger),
            JOB.c.results_seq > bindparam("results_seq", type_=BigInteger),
        ),
        *_known(),
    )
    most = bindparam("most", type_=BigInteger)
    own = select(JOB.c.job_id).where(JOB.c.owner == owners, JOB.c.seq > jobs_seq, *_known())
    named = select(JOB.c.job_id).where(JOB.c.owner == owners, JOB.c.job_id == _any_of("named"))
    shown = JOB.c.state.is_not(None)
    found = union(*(part.where(shown).limit(most) for part in (active, own, named)))
    chosen = found.subquery("chosen")
    return select(chosen.c.job_id).limit(most)


def _any_of(name: str) -> Any:
    return func.any(bindparam(name, type_=ARRAY(Text)))


def _changed() -> Select[Any]:
    counted = _counted()
    # what has changed since the ids were read is left to the next reading
    still = or_(and_(*_known()), JOB.c.job_id == _any_of("named"))
    # of each row, not of one job
    offered = select(OFFER.c.worker).where(OFFER.c.engines.has_key(JOB.c.engine)).exists()
    head = [offered if column is OFFERED else column for column in HEAD]
    return (
        select(*head, JOB.c.seq, JOB.c.tasks_seq, JOB.c.results_seq, *counted.c)
        .select_from(JOB.join(counted, true()))
        .where(JOB.c.job_id == _any_of("chosen"), still)
        .order_by(JOB.c.seq)
    )


def _known() -> tuple[ColumnElement[bool], ...]:
    """Return the condition that a job has not changed since the position was read.

    No later reading asks what the last tasks of a job that has ended did, so it does not wait for them.
    """
    others = and_(
        JOB.c.tasks_seq <= bindparam("runner_now", type_=BigInteger),
        JOB.c.results_seq <= bindparam("results_now", type_=BigInteger),
    )
    known = JOB.c.seq <= bindparam("jobs_now", type_=BigInteger)
    return known, or_(JOB.c.ended_at.is_not(None), others)


def _counted() -> Any:
    state = TASK.c.state
    runs = state == "RUNNING"
    # only jobs on a cluster have rows of progress
    reported = (
        select(TASK_PROGRESS.c.simulated)
        .where(TASK_PROGRESS.c.job_id == JOB.c.job_id, TASK_PROGRESS.c.index == TASK.c.index)
        .correlate(JOB, TASK)
        .scalar_subquery()
    )
    simulated = func.greatest(TASK.c.simulated, case((JOB.c.platform == BATCH, reported)))
    # a report on the end may have been read before the last one on progress
    share = JOB.c.primaries // JOB.c.n_tasks + case(
        (TASK.c.index < JOB.c.primaries % JOB.c.n_tasks, 1), else_=0
    )
    reached = func.least(simulated, func.coalesce(TASK.c.requested, share))
    early = and_(JOB.c.platform == BATCH, or_(state == "FAILED", state == "CANCELED"))
    stands = case((early, reached), else_=TASK.c.simulated)
    running = func.json_agg(func.json_build_array(TASK.c.index, TASK.c.lease, simulated))
    return (
        select(
            *(func.count().filter(state == name).label(name.lower()) for name in ENDINGS),
            func.coalesce(func.sum(stands).filter(~runs), 0).cast(BigInteger).label("simulated"),
            running.filter(runs).cast(Text).label("running"),
        )
        .where(TASK.c.job_id == JOB.c.job_id)
        .correlate(JOB)
        .lateral("counted")
    )


def _deleted() -> Select[Any]:
    return (
        select(DELETED.c.job_id, DELETED.c.owner)
        .where(
            DELETED.c.owner == _any_of("owners"),
            DELETED.c.seq > bindparam("jobs_seq", type_=BigInteger),
            DELETED.c.seq <= bindparam("jobs_now", type_=BigInteger),
        )
        .limit(bindparam("most", type_=BigInteger))
    )
