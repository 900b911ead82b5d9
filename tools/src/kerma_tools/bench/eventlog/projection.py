"""Projecting events into rows, compared with writing the same rows by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import sqlalchemy as sa
import uvloop
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from kerma_allinone.children import nats_server, postgres_server
from kerma_common.commands.consistency import Positions
from kerma_common.contracts.envelope import Commit, Meta, make_commit
from kerma_common.contracts.events import jobs, runner
from kerma_common.contracts.ids import commit_id, split_primaries
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import Subject, job_subject, task_subject
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.streams import apply_streams
from kerma_common.garbage import collect_less
from kerma_common.nats import connection
from kerma_common.projection.rebuild import rebuild
from kerma_common.projection.router import At, Projection
from kerma_common.projection.rows.fold import fold
from kerma_common.projection.rows.ops import Op, Update, Upsert
from kerma_common.projection.rows.schema import create_read_models
from kerma_common.projection.runner import project, projection_loop
from kerma_tools.bench.figure import Figure

JOBS = 300
TASKS = 20
ROUNDS = 3
HAND_BATCH = 1000
BAR = 0.4

_METADATA = sa.MetaData()
_TIME = sa.DateTime(timezone=True)
_JOB = sa.Table(
    "job",
    _METADATA,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("state", sa.Text),
    sa.Column("primaries", sa.BigInteger),
    sa.Column("n_tasks", sa.Integer),
    sa.Column("submitted_at", _TIME),
    sa.Column("ended_at", _TIME),
    sa.Column("task_started_at", _TIME),
    sa.Index("job_by_owner", "owner", "submitted_at", "job_id"),
)
_TASK = sa.Table(
    "task",
    _METADATA,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("index", sa.Integer, primary_key=True),
    sa.Column("state", sa.Text),
    sa.Column("lease", sa.Integer),
    sa.Column("requested", sa.BigInteger),
    sa.Column("simulated", sa.BigInteger),
    sa.Column("started_at", _TIME),
    sa.Column("ended_at", _TIME),
    sa.Column("output", JSONB),
)
_PROJECTION = Projection("jobs", "jobs", ("JOBS", "RUNNER"), _METADATA)


@_PROJECTION.on(jobs.JobSubmitted)
def _submitted(event: jobs.JobSubmitted, at: At) -> Iterator[Op]:
    yield Upsert(
        _JOB,
        {"job_id": event.job_id},
        {
            "owner": event.owner,
            "title": event.title,
            "state": "PENDING",
            "primaries": event.primaries,
            "n_tasks": event.n_tasks,
            "submitted_at": at.time,
        },
    )
    for index, requested in enumerate(split_primaries(event.primaries, event.n_tasks)):
        yield Upsert(_TASK, {"job_id": event.job_id, "index": index}, {"requested": requested})


@_PROJECTION.on(jobs.JobCompleted)
def _completed(event: jobs.JobCompleted, at: At) -> Iterator[Op]:
    yield Update(_JOB, {"job_id": event.job_id}, {"state": "COMPLETED", "ended_at": at.time})


@_PROJECTION.on(runner.TaskStarted)
def _started(event: runner.TaskStarted, at: At) -> Iterator[Op]:
    key = {"job_id": event.job_id, "index": event.index}
    yield Upsert(_TASK, key, {"state": "RUNNING", "lease": event.lease, "started_at": at.time})
    yield Upsert(_JOB, {"job_id": event.job_id}, {"task_started_at": at.time})


@_PROJECTION.on(runner.TaskSucceeded)
def _succeeded(event: runner.TaskSucceeded, at: At) -> Iterator[Op]:
    ref = event.output_ref
    yield Upsert(
        _TASK,
        {"job_id": event.job_id, "index": event.index},
        {
            "state": "COMPLETED",
            "simulated": event.primaries,
            "ended_at": at.time,
            "output": {"sha256": ref.sha256, "size": ref.size},
        },
    )


def projection_throughput() -> Figure:
    """Compare events per second from the log into rows with writing the same rows by hand.

    The events are read from a real log, decoded, projected, folded and written with their
    checkpoints. By hand means: the same rows, in the same order, are ready in memory and go in by
    ``executemany`` of ``INSERT .. ON CONFLICT``, a thousand per transaction.
    """
    return uvloop.run(_measure("projection throughput", _Stage.project))


def rebuild_throughput() -> Figure:
    """Compare events per second of a rebuild with writing the same rows by hand.

    A rebuild starts from zero and ends when the new read models have replaced the old.
    """
    return uvloop.run(_measure("rebuild throughput", _Stage.rebuild))


async def _measure(name: str, work: Callable[[_Stage], Awaitable[None]]) -> Figure:
    async with _stage() as stage:
        await stage.project()
        measured, by_hand = [], []
        for _ in range(ROUNDS):
            by_hand.append(stage.events / await stage.write_by_hand())
            await stage.project()
            measured.append(stage.events / await _timed(work(stage)))
    return Figure(
        name,
        median(measured),
        "events/s",
        "batched INSERTs of the same rows",
        median(by_hand),
        BAR,
    )


async def _timed(work: Awaitable[None]) -> float:
    started = perf_counter()
    await work
    return perf_counter() - started


@dataclass(slots=True)
class _Stage:
    """A log full of events, and a database to project them into."""

    log: JetStreamLog
    plain: AsyncEngine
    events: int
    last: dict[str, int]

    @property
    def db(self) -> AsyncEngine:
        return self.plain.execution_options(schema_translate_map={None: "jobs"})

    async def project(self) -> None:
        """Project the whole log into an empty schema."""
        await _recreate(self.db)
        positions = Positions("jobs")
        loop = projection_loop(_PROJECTION, self.log, self.db, positions)
        running = asyncio.create_task(loop.run())
        for stream, seq in self.last.items():
            assert await positions.wait("jobs", stream, seq, 300)
        running.cancel()
        await asyncio.wait([running])

    async def rebuild(self) -> None:
        """Replace the read models by ones that are projected from the first event."""
        await rebuild([_PROJECTION], self.log, self.db)

    async def write_by_hand(self) -> float:
        """Return the seconds to write the rows of every batch of events into an empty schema."""
        batches = []
        for stream, last in self.last.items():
            read = 0
            async with self.log.follow(stream, 0, max_batch=HAND_BATCH) as following:
                while read < last:
                    records = await anext(following)
                    read = records[-1].seq
                    batches += _rows(await project(_PROJECTION, records, self.db.begin))
        await _recreate(self.db)
        return await _timed(_write(self.plain, batches))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of one table that set the same columns."""

    table: sa.Table
    columns: tuple[str, ...]
    values: list[tuple[Any, ...]]


def _rows(operations: Sequence[Op]) -> list[_Rows]:
    found: dict[tuple[sa.Table, tuple[str, ...]], list[tuple[Any, ...]]] = {}
    for phase in fold(operations):
        for name, pending in phase.rows.items():
            values = (pending.update or {}) | (pending.upsert or {})
            row = tuple(Jsonb(v) if isinstance(v, dict) else v for v in values.values())
            found.setdefault((phase.table, (*phase.columns, *values)), []).append((*name, *row))
    return [_Rows(table, columns, values) for (table, columns), values in found.items()]


async def _recreate(db: AsyncEngine) -> None:
    async with db.begin() as conn:
        await conn.execute(sa.text("DROP SCHEMA IF EXISTS jobs CASCADE"))
        await conn.run_sync(create_read_models, "jobs", [_PROJECTION])


async def _write(db: AsyncEngine, batches: Sequence[_Rows]) -> None:
    for rows in batches:
        key = [sql.Identifier(column.name) for column in rows.table.primary_key]
        statement = sql.SQL(
            "INSERT INTO {t} ({columns}) VALUES ({values}) ON CONFLICT ({key}) DO UPDATE SET {sets}"
        ).format(
            t=sql.Identifier("jobs", rows.table.name),
            columns=sql.SQL(", ").join(map(sql.Identifier, rows.columns)),
            values=sql.SQL(", ").join([sql.Placeholder()] * len(rows.columns)),
            key=sql.SQL(", ").join(key),
            sets=sql.SQL(", ").join(
                sql.SQL("{c} = excluded.{c}").format(c=sql.Identifier(c))
                for c in rows.columns[len(key) :]
            ),
        )
        for start in range(0, len(rows.values), HAND_BATCH):
            async with db.begin() as conn:
                driver: Any = (await conn.get_raw_connection()).driver_connection
                async with driver.cursor() as cursor:
                    await cursor.executemany(statement, rows.values[start : start + HAND_BATCH])


@asynccontextmanager
async def _stage() -> AsyncIterator[_Stage]:
    with TemporaryDirectory(prefix="kerma-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # noqa: ASYNC240
        async with (
            nats_server(folder / "nats") as server,
            postgres_server(folder / "postgres") as database,
            connection(server.url, name="bench") as nc,
        ):
            await apply_streams(nc)
            collect_less()  # as in a service
            log = JetStreamLog(nc)
            events = await _fill(log)
            url = database.url.replace("postgresql://", "postgresql+psycopg://", 1)
            plain = create_async_engine(url, connect_args={"prepare_threshold": None})
            last = {s: (await log.state(s)).last for s in _PROJECTION.streams}
            yield _Stage(log, plain, events, last)
            await plain.dispose()


async def _fill(log: JetStreamLog) -> int:
    """Append whole stories of jobs, many at a time; return the number of events."""
    slots = asyncio.Semaphore(64)
    now = datetime(2026, 8, 1, tzinfo=UTC)

    async def story(number: int) -> int:
        job = f"20260801-000000-00000000-0000-4000-8000-{number:012d}DIRECT"
        last: dict[Subject, int] = {}
        events = _story(job)
        async with slots:
            for n, (subject, event) in enumerate(events):
                expected = last.get(subject, 0)
                commit = _commit(subject, expected, event, now + timedelta(seconds=number + n))
                last[subject] = (await log.append(subject, expected, commit)).seq
        return len(events)

    return sum(await asyncio.gather(*map(story, range(JOBS))))


def _commit(subject: Subject, expected: int, event: object, at: datetime) -> Commit:
    cause = commit_id(str(subject), str(expected))
    meta = Meta("svc:bench", "Bench", cause, subject.context)
    return make_commit(cause, subject.aggregate, subject.id, 1, meta, (event,), at)


def _story(job: str) -> list[tuple[Subject, object]]:
    """Return the events of a job; each changes rows."""
    ref, primaries = Ref("0" * 64, 1000), 20_000
    submitted = jobs.JobSubmitted(
        job_id=job,
        owner="user",
        title="Protons in water",
        platform="DIRECT",
        sim_type="geant4",
        engine="geant4",
        engine_version="11",
        input_kind="editor",
        input_ref=ref,
        project_ref=ref,
        primaries=primaries,
        n_tasks=TASKS,
        max_attempts=3,
        allow_partial=True,
    )
    ended = datetime(2026, 8, 2, tzinfo=UTC)
    completed = jobs.JobCompleted(
        job_id=job, tasks_merged=TASKS, primaries_merged=primaries, partial=False, ended_at=ended
    )
    story: list[tuple[Subject, object]] = [(job_subject(job), submitted)]
    for index, share in enumerate(split_primaries(primaries, TASKS)):
        subject = task_subject(job, index)
        story.append((subject, runner.TaskStarted(job_id=job, index=index, lease=1, worker="w")))
        succeeded = runner.TaskSucceeded(
            job_id=job,
            index=index,
            lease=1,
            attempt=1,
            output_ref=ref,
            log_ref=None,
            primaries=share,
            cpu_seconds=1.5,
        )
        story.append((subject, succeeded))
    return [*story, (job_subject(job), completed)]
