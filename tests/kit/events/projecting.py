"""A small read model over real events, and ways to drive its loop in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from kerma_common.contracts.envelope import Meta, make_commit
from kerma_common.contracts.events import auth, jobs, runner
from kerma_common.contracts.ids import commit_id
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import (
    Subject,
    account_subject,
    api_token_subject,
    job_subject,
    keyring_subject,
    session_subject,
    task_subject,
    user_subject,
)
from kerma_common.eventlog.port import EventLog
from kerma_common.projection.loop import LogLoop
from kerma_common.projection.router import At, Projection
from kerma_common.projection.rows.ops import Delete, Op, Update, Upsert
from kerma_common.projection.rows.schema import create_read_models

NOW = datetime(2026, 8, 1, 10, 15, tzinfo=UTC)
REF = Ref("0" * 64, 1)

METADATA = sa.MetaData()
JOB = sa.Table(
    "job",
    METADATA,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("title", sa.Text),
    sa.Column("state", sa.Text),
    sa.Column("first_task_at", sa.DateTime(timezone=True)),
)
TASK = sa.Table(
    "task",
    METADATA,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("index", sa.Integer, primary_key=True),
    sa.Column("state", sa.Text, server_default="PENDING"),
    sa.Column("primaries", sa.BigInteger),
    sa.Column("output", sa.JSON),
)


def read_model(poison: Callable[[jobs.JobSubmitted], bool] = lambda _: False) -> Projection:
    """Return a read model of jobs and tasks; it fails on the submissions in ``poison``."""
    made = Projection("jobs", "jobs", ("JOBS", "RUNNER"), METADATA)

    @made.on(jobs.JobSubmitted)
    def submitted(event: jobs.JobSubmitted, at: At) -> Iterator[Op]:
        if poison(event):
            raise ArithmeticError(f"cannot project {event.title}")
        yield Upsert(JOB, {"job_id": event.job_id}, {"title": event.title, "state": "PENDING"})
        for index in range(event.n_tasks):
            yield Upsert(TASK, {"job_id": event.job_id, "index": index})

    @made.on(jobs.JobCompleted)
    def completed(event: jobs.JobCompleted, at: At) -> Iterator[Op]:
        yield Update(JOB, {"job_id": event.job_id}, {"state": "COMPLETED"})

    @made.on(jobs.JobCancellationRequested)
    def cancel(event: jobs.JobCancellationRequested, at: At) -> Iterator[Op]:
        yield Update(JOB, {"job_id": event.job_id, "state": "PENDING"}, {"state": "CANCELED"})
        yield Delete(TASK, {"job_id": event.job_id})

    @made.on(runner.TaskStarted)
    def started(event: runner.TaskStarted, at: At) -> Iterator[Op]:
        key = {"job_id": event.job_id, "index": event.index}
        yield Upsert(TASK, key, {"state": "RUNNING"})
        yield Upsert(JOB, {"job_id": event.job_id}, {"first_task_at": at.time})

    @made.on(runner.TaskSucceeded)
    def succeeded(event: runner.TaskSucceeded, at: At) -> Iterator[Op]:
        key = {"job_id": event.job_id, "index": event.index}
        yield Upsert(
            TASK,
            key,
            {
                "state": "COMPLETED",
                "primaries": event.primaries,
                "output": {"sha256": event.output_ref.sha256, "size": event.output_ref.size},
            },
        )

    return made


def submitted(job_id: str, title: str = "water", n_tasks: int = 2) -> jobs.JobSubmitted:
    """Return a minimal submission."""
    return jobs.JobSubmitted(
        job_id=job_id,
        owner="user",
        title=title,
        platform="DIRECT",
        sim_type="geant4",
        engine="geant4",
        engine_version="1",
        input_kind="editor",
        input_ref=REF,
        project_ref=None,
        primaries=100,
        n_tasks=n_tasks,
        max_attempts=3,
        allow_partial=True,
    )


def started(job_id: str, index: int) -> runner.TaskStarted:
    """Return the event of a started task."""
    return runner.TaskStarted(job_id=job_id, index=index, lease=1, worker="w")


def succeeded(job_id: str, index: int) -> runner.TaskSucceeded:
    """Return the event of a succeeded task."""
    return runner.TaskSucceeded(
        job_id=job_id,
        index=index,
        lease=1,
        attempt=1,
        output_ref=REF,
        log_ref=None,
        primaries=50,
        cpu_seconds=1.5,
    )


async def record(
    log: EventLog, *events: Any, after: dict[str, int] | None = None, now: datetime = NOW
) -> int:
    """Append events of one aggregate as one commit; return its stream sequence."""
    subject = _subject(events[0])
    expected = await log.last_seq(subject)
    cause = commit_id("test", str(subject), str(expected))
    meta = Meta("user:test", "Test", cause, subject.context, after=after or {})
    commit = make_commit(cause, subject.aggregate, subject.id, 1, meta, events, now)
    return (await log.append(subject, expected, commit)).seq


def _subject(event: Any) -> Subject:
    if isinstance(event, runner.TaskStarted | runner.TaskSucceeded):
        return task_subject(event.job_id, event.index)
    if isinstance(event, auth.SigningKeyIntroduced | auth.SigningKeyRetired):
        return keyring_subject()
    if isinstance(event, auth.SessionEnded):
        return session_subject(event.user_id, event.session_id)
    if isinstance(event, auth.ApiTokenCreated | auth.ApiTokenRevoked):
        return api_token_subject(event.user_id, event.token_id)
    if isinstance(event, auth.AccountDisabled | auth.AccountEnabled):
        return account_subject(event.user_id)
    if isinstance(
        event, auth.SessionsRevoked | auth.UserRegistered | auth.RoleGranted | auth.RoleRevoked
    ):
        return user_subject(event.user_id)
    return job_subject(event.job_id)


def mapped(engine: AsyncEngine, schema: str) -> AsyncEngine:
    """Return the engine, mapping tables without a schema to ``schema``."""
    return engine.execution_options(schema_translate_map={None: schema})


@asynccontextmanager
async def schema(
    postgres_url: str, name: str = "jobs", metadata: sa.MetaData = METADATA
) -> AsyncIterator[AsyncEngine]:
    """Create a fresh schema with the tables of ``metadata`` for the block."""
    url = postgres_url.replace("postgresql://", "postgresql+psycopg://")
    plain = create_async_engine(url, connect_args={"prepare_threshold": None})
    engine = mapped(plain, name)
    try:
        async with engine.begin() as conn:
            await conn.execute(sa.text(f'DROP SCHEMA IF EXISTS "{name}" CASCADE'))
            if metadata is METADATA:
                await conn.run_sync(create_read_models, name, [read_model()])
            else:
                await conn.execute(sa.text(f'CREATE SCHEMA "{name}"'))
                await conn.run_sync(metadata.create_all)
        yield engine
    finally:
        await plain.dispose()


async def rows(engine: AsyncEngine, *tables: sa.Table) -> list[list[tuple[Any, ...]]]:
    """Return all rows of the tables, in key order."""
    async with engine.connect() as conn:
        return [
            [tuple(r) for r in await conn.execute(sa.select(t).order_by(*t.primary_key))]
            for t in tables or (JOB, TASK)
        ]


@asynccontextmanager
async def running(*awaitables: Awaitable[None]) -> AsyncIterator[None]:
    """Run loops during the block; a failing loop makes the block fail."""

    async def run(awaitable: Awaitable[None]) -> None:
        await awaitable

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(a)) for a in awaitables]
        # The group cancels them if the block fails: a second cancellation would interrupt those
        # that are returning their connections.
        yield
        for task in tasks:
            task.cancel()


async def caught_up(loop: LogLoop) -> None:
    """Wait until the loop has applied everything that is stored now."""
    assert loop.positions is not None
    for stream in loop.sink.streams:
        last = (await loop.log.state(stream)).last
        assert await loop.positions.wait(loop.sink.name, stream, last, 60)
