"""The dispatcher's queries on a real database: the right tasks, by walks along one index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.contracts.rpc_runner import Lane
from kerma_common.db.connections import Connection, Statement
from kerma_common.db.reads import Reads, open_reads
from kerma_common.settings import PgSettings
from kerma_runner.domain.fairness import Deficits, pick
from kerma_runner.read.models import HEARTBEATS, METADATA, TASK, WORKER, WORKER_HEARTBEAT
from kerma_runner.read.open_tasks import COUNTED, LaneDemand, OpenTasks, Waiting
from kit.events.projecting import schema

LANE = Lane("pool", "geant4")
OTHER = Lane("pool", "topas")
NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """An empty queue."""
    async with schema(postgres_url, "runner", METADATA) as engine:
        async with engine.begin() as conn:
            await conn.execute(sa.text("CREATE SCHEMA IF NOT EXISTS runner_process"))
            await conn.run_sync(HEARTBEATS.drop_all)
            await conn.run_sync(HEARTBEATS.create_all)
        yield engine


@pytest.fixture
async def reads(postgres_url: str) -> AsyncIterator[Reads]:
    """Reads of the queue."""
    made = open_reads(PgSettings(url=SecretStr(postgres_url)), "queue", "runner")
    yield made
    await made.close()


def rows(
    owner: str, job_id: str, n: int, state: str = "QUEUED", lane: Lane = LANE, **values: Any
) -> list[dict[str, Any]]:
    """Make rows of tasks of one job in one state."""
    task = {
        "owner": owner,
        "job_id": job_id,
        "resource_class": lane.resource_class,
        "engine": lane.engine,
        "state": state,
        "attempt": 1,
        "queued_seq": 1,
        "not_before": None,
        **values,
    }
    return [{**task, "index": index} for index in range(n)]


async def put(db: AsyncEngine, *some: list[dict[str, Any]]) -> None:
    async with db.begin() as conn:
        await conn.execute(sa.insert(TASK), [row for each in some for row in each])


def shown(found: Any) -> dict[str, dict[str, list[int]]]:
    return {
        owner: {job: [task.index for task in tasks] for job, tasks in jobs.items()}
        for owner, jobs in found.items()
    }


async def test_of_each_user_the_first_tasks_of_the_oldest_jobs(
    db: AsyncEngine, reads: Reads
) -> None:
    await put(
        db,
        rows("ada", "job-3", 2),
        rows("ada", "job-1", 9),
        rows("bob", "job-2", 9, "SUCCEEDED"),
        rows("bob", "job-4", 9),
        rows("eve", "job-5", 9, lane=OTHER),
        rows("kim", "job-6", 9, "LEASED"),
    )
    found = await OpenTasks(reads).waiting(LANE, NOW, 2, ())
    assert shown(found) == {
        "ada": {"job-1": [0, 1], "job-3": [0, 1]},
        "bob": {"job-4": [0, 1, 2, 3]},
    }


async def test_tasks_that_back_off_or_are_out_hide_no_others(db: AsyncEngine, reads: Reads) -> None:
    later = NOW + timedelta(seconds=30)
    await put(
        db,
        rows("ada", "job-1", 4, not_before=later),
        rows("ada", "job-2", 3, not_before=NOW),
        rows("ada", "job-3", 1),
    )
    tasks = OpenTasks(reads)
    assert shown(await tasks.waiting(LANE, NOW, 1, ())) == {"ada": {"job-2": [0, 1]}}
    out = {("job-2", 0), ("job-2", 1), ("job-2", 2)}
    assert shown(await tasks.waiting(LANE, NOW, 1, out)) == {"ada": {"job-3": [0]}}
    assert await tasks.next_due(NOW) == later
    assert await tasks.next_due(later) is None


async def test_rounds_hand_out_everything_however_uneven_jobs_are(
    db: AsyncEngine, reads: Reads
) -> None:
    await put(db, rows("ada", "job-1", 1), rows("ada", "job-2", 40), rows("bob", "job-3", 7))
    tasks, deficits, out = OpenTasks(reads), Deficits(), set[tuple[str, int]]()
    sizes = []
    while picks := (picked := pick(await tasks.waiting(LANE, NOW, 8, out), deficits, 8, {}))[0]:
        deficits = picked[1]
        out |= {(task.job_id, task.index) for task in picks}
        sizes.append(len(picks))
    assert len(out) == sum(sizes) == 48
    assert sizes == [8] * 6


async def test_a_ticket_is_out_for_as_long_as_its_task_waits_without_a_lease(
    db: AsyncEngine,
    reads: Reads,
) -> None:
    await put(db, rows("ada", "job-1", 2), rows("ada", "job-2", 1, "RUNNING"))
    first, second, held = (
        Waiting("job-1", 0, 1, 0),
        Waiting("job-1", 1, 2, 1),
        Waiting("job-2", 0, 1, 0),
    )
    assert await OpenTasks(reads).still([first, second, held]) == {first}
    assert await OpenTasks(reads).still([]) == set()


async def test_demand_by_lane(db: AsyncEngine, reads: Reads) -> None:
    await put(
        db,
        rows("ada", "job-1", 3),
        rows("ada", "job-2", 2, "LEASED"),
        rows("ada", "job-3", 1, "RUNNING"),
        rows("ada", "job-4", 5, "SUCCEEDED"),
        rows("bob", "job-5", COUNTED + 1, lane=OTHER),
    )
    offer = {"resource_class": "pool", "engines": {"geant4": "1", "fluka": "1"}}
    async with db.begin() as conn:
        for worker, slots, seen in (
            ("w-1", 4, NOW),
            ("w-2", 8, NOW),
            ("w-3", 16, NOW - timedelta(1)),
        ):
            await conn.execute(
                sa.insert(WORKER).values(
                    worker=worker, slots=slots, digests={}, substitutes={}, sandbox="off", **offer
                )
            )
            await conn.execute(
                sa.insert(WORKER_HEARTBEAT).values(worker=worker, seen=seen, leases=[])
            )
    found = await OpenTasks(reads).demand(NOW, timedelta(seconds=15))
    assert set(found) == {
        LaneDemand(LANE, 3, 3, 12),
        LaneDemand(OTHER, COUNTED, 0, 0),
        LaneDemand(Lane("pool", "fluka"), 0, 0, 12),
    }


ENDED, USERS, JOBS, TASKS, ROOM = 20_000, 4, 50, 40, 8


async def _filled(db: AsyncEngine) -> None:
    series = "INSERT INTO runner.task (owner, job_id, index, resource_class, engine, state, attempt, queued_seq)"
    async with db.begin() as conn:
        await conn.execute(
            sa.text(
                f"{series} SELECT 'user-' || n % {USERS}, 'job-' || n / 1000, n % 1000, 'pool', 'geant4',"
                f" 'SUCCEEDED', 1, n FROM generate_series(1, {ENDED}) AS n"
            )
        )
        await conn.execute(
            sa.text(
                f"{series} SELECT 'user-' || u, 'open-' || u || '-' || j, t, 'pool', 'geant4', 'QUEUED', 1, 1"
                f" FROM generate_series(1, {USERS}) u, generate_series(1, {JOBS}) j,"
                f" generate_series(0, {TASKS - 1}) t"
            )
        )


@pytest.mark.parametrize("analysed", [False, True])
async def test_a_round_reads_few_rows_along_its_indexes(
    db: AsyncEngine, reads: Reads, analysed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _filled(db)
    if analysed:
        async with db.execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
            await conn.execute(sa.text("VACUUM ANALYZE runner.task"))
    tasks, statements = OpenTasks(reads), []
    execute = Statement.execute

    async def note(statement: Statement, connection: Connection, **parameters: Any) -> Any:
        statements.append((statement.sql, {**statement.fixed, **parameters}))
        return await execute(statement, connection, **parameters)

    monkeypatch.setattr(Statement, "execute", note)
    found = await tasks.waiting(LANE, NOW, ROOM, ())
    await tasks.still([task for jobs in found.values() for of in jobs.values() for task in of])
    await tasks.next_due(NOW)
    await tasks.demand(NOW, timedelta(seconds=15))
    assert len(statements) == 6
    read = 0
    async with db.connect() as conn:
        for statement, parameters in statements:
            explained = await conn.exec_driver_sql(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
            )
            for node in _scans(explained.scalar_one()[0]["Plan"]):
                assert node.get("Index Name") in {"task_open", "task_backing_off", "task_pkey"}, (
                    statement,
                    node,
                )
                read += node["Actual Rows"] * node["Actual Loops"]
    waiting = USERS * JOBS * TASKS
    # demand counts all that wait here; the others read as much as the room asks for
    assert read - waiting < 20 * USERS * ROOM


def _scans(plan: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """Return the nodes of a plan that read tasks."""
    below = [node for child in plan.get("Plans", ()) for node in _scans(child)]
    return [plan, *below] if plan.get("Relation Name") == "task" else below
