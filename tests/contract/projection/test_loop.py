"""The log loop on a real database: exactly once in effect, whatever happens."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace as replaced
from pathlib import Path
from unittest.mock import Mock

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_allinone.children import postgres_server
from kerma_common.commands.consistency import Positions
from kerma_common.contracts.events import jobs
from kerma_common.contracts.subjects import job_subject
from kerma_common.eventlog.memory import MemoryLog
from kerma_common.eventlog.pull import LogWentBackwards
from kerma_common.projection import lease as leadership
from kerma_common.projection import session as sessions
from kerma_common.projection.ahead import Ahead
from kerma_common.projection.mending import replay
from kerma_common.projection.retries.failures import LoopHalted
from kerma_common.projection.retries.progress import STUCK_SECONDS
from kerma_common.projection.rows.tables import LEASE, QUARANTINE
from kerma_common.projection.runner import ProjectionSink, projection_loop
from kerma_common.projection.sink import Transaction
from kit.events.projecting import (
    NOW,
    TASK,
    caught_up,
    read_model,
    record,
    rows,
    running,
    schema,
    started,
    submitted,
    succeeded,
)


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    async with schema(postgres_url) as engine:
        yield engine


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


async def test_events_of_two_streams_become_rows(db: AsyncEngine, log: MemoryLog) -> None:
    loop = projection_loop(read_model(), log, db, Positions("jobs"))
    await record(log, submitted("a", n_tasks=3))
    async with running(loop.run()):
        await caught_up(loop)
        await record(log, started("a", 1))
        await record(log, succeeded("a", 1))
        await record(log, submitted("b", n_tasks=1))
        await caught_up(loop)
    assert await rows(db) == [
        [("a", "water", "PENDING", NOW), ("b", "water", "PENDING", None)],
        [
            ("a", 0, "PENDING", None, None),
            ("a", 1, "COMPLETED", 50, {"sha256": "0" * 64, "size": 1}),
            ("a", 2, "PENDING", None, None),
            ("b", 0, "PENDING", None, None),
        ],
    ]


async def test_a_loop_that_hangs_is_not_ready(
    db: AsyncEngine, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "RENEWAL", 0.05)
    monkeypatch.setattr(sessions, "BEATS", 1)
    begun, gate, measured = asyncio.Event(), asyncio.Event(), asyncio.Event()
    now = 0.0

    def clock() -> float:
        measured.set()
        return now

    async def prepare(events: Sequence[object], _fenced: Transaction) -> Sequence[object]:
        begun.set()
        await gate.wait()
        return events

    loop = projection_loop(replaced(read_model(), prepare=prepare), log, db, Positions("jobs"))
    loop.retries.progress.clock = clock
    await record(log, submitted("a"))
    async with running(loop.run()):
        for ready in (begun, measured):
            await ready.wait()
            measured.clear()
        await measured.wait()
        now = STUCK_SECONDS
        assert not loop.ready
        assert loop.retries.fault == "stuck at 0 of JOBS for 120 s"
        gate.set()
        await caught_up(loop)
        while not loop.ready:
            measured.clear()
            await measured.wait()


async def test_a_restarted_loop_goes_on_from_its_checkpoint(
    db: AsyncEngine, log: MemoryLog
) -> None:
    await record(log, submitted("a"))
    first = projection_loop(read_model(), log, db, Positions("jobs"))
    async with running(first.run()):
        await caught_up(first)
    async with db.begin() as conn:
        await conn.execute(sa.delete(TASK))
    await record(log, started("a", 1))
    second = projection_loop(read_model(), log, db, Positions("jobs"))
    async with running(second.run()):
        await caught_up(second)
    assert (await rows(db, TASK))[0] == [("a", 1, "RUNNING", None, None)]


async def test_a_poison_commit_stops_its_aggregate_alone_until_it_is_fixed(
    db: AsyncEngine, log: MemoryLog
) -> None:
    for name in "abcdefgh":
        await record(log, submitted(name, "poison" if name == "c" else "water", n_tasks=0))
    await record(log, jobs.JobCancellationRequested(job_id="c", by="u", collect=False))
    broken = read_model(lambda event: event.title == "poison")
    loop = projection_loop(broken, log, db, Positions("jobs"))
    async with running(loop.run()):
        await caught_up(loop)
        assert [r[0] for r in (await rows(db))[0]] == list("abdefgh")
        fixed = ProjectionSink(read_model())
        assert await replay(fixed, db, str(job_subject("c"))) == 2
        await record(
            log,
            jobs.JobCompleted(
                job_id="c", tasks_merged=0, primaries_merged=0, partial=False, ended_at=NOW
            ),
        )
        await caught_up(loop)
    found = dict(r[:1] + r[2:3] for r in (await rows(db))[0])
    assert found["c"] == "COMPLETED"
    assert await rows(db, QUARANTINE) == [[]]


async def test_batches_that_are_read_ahead_are_applied_once_in_order(
    db: AsyncEngine, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SHORT", 0)
    begin = Mock(side_effect=Ahead.begin)
    monkeypatch.setattr(Ahead, "begin", lambda ahead: begin(ahead))
    names = [f"j{number:02}" for number in range(20)]
    for name in names:
        await record(log, submitted(name, "poison" if name == "j05" else "water", n_tasks=1))
    for name in names:
        await record(log, started(name, 0))
        await record(log, succeeded(name, 0))
    broken = read_model(lambda event: event.title == "poison")
    loop = projection_loop(broken, log, db, Positions("jobs"), max_batch=3)
    async with running(loop.run()):
        await caught_up(loop)
        found = await rows(db)
        titles = [(row[0], row[1]) for row in found[0]]
        assert titles == [(name, None if name == "j05" else "water") for name in names]
        assert [row[2] for row in found[1]] == ["COMPLETED"] * 20
        assert len(await log.load(job_subject("j05"))) == len((await rows(db, QUARANTINE))[0])
    assert begin.call_count >= 60 / 3


async def test_a_value_that_the_database_refuses_is_quarantined(
    db: AsyncEngine, log: MemoryLog
) -> None:
    await record(log, submitted("a", "before\x00after"))
    await record(log, submitted("b"))
    loop = projection_loop(read_model(), log, db, Positions("jobs"))
    async with running(loop.run()):
        await caught_up(loop)
    assert [r[0] for r in (await rows(db))[0]] == ["b"]
    [[kept]] = await rows(db, QUARANTINE)
    assert kept[:4] == ("jobs", "JOBS", 1, str(job_subject("a")))
    assert "UntranslatableCharacter" in kept[5]


async def test_many_poison_aggregates_halt_the_loop(db: AsyncEngine, log: MemoryLog) -> None:
    for n in range(30):
        await record(log, submitted(f"job{n}", n_tasks=0))
    loop = projection_loop(read_model(lambda _: True), log, db, Positions("jobs"))
    with pytest.raises(ExceptionGroup) as caught:
        await loop.run()
    assert caught.group_contains(LoopHalted, match="21 aggregates failed")


async def test_a_log_that_went_backwards_halts_the_loop(db: AsyncEngine, log: MemoryLog) -> None:
    await record(log, submitted("a"))
    await record(log, submitted("b"))
    loop = projection_loop(read_model(), log, db, Positions("jobs"))
    async with running(loop.run()):
        await caught_up(loop)
    shorter = MemoryLog()
    await record(shorter, submitted("a"))
    with pytest.raises(LogWentBackwards, match="JOBS ends at 1, 2 was read"):
        await projection_loop(read_model(), shorter, db).run()


async def test_of_two_loops_one_leads_and_the_other_goes_on_after_it(
    db: AsyncEngine, log: MemoryLog
) -> None:
    positions = Positions("jobs")
    one = projection_loop(read_model(), log, db, positions, holder="one")
    two = projection_loop(read_model(), log, db, positions, holder="two")
    await record(log, submitted("a"))
    async with running(two.run()):
        async with running(one.run()):
            await caught_up(one)
            [[lease]] = await rows(db, LEASE)
        await record(log, submitted("b"))
        await caught_up(two)
        [[later]] = await rows(db, LEASE)
    assert {lease[1], later[1]} <= {"one", "two"}
    assert later[2] >= lease[2]
    assert [r[0] for r in (await rows(db))[0]] == ["a", "b"]


async def test_a_leader_that_was_taken_over_writes_nothing(db: AsyncEngine, log: MemoryLog) -> None:
    loop = projection_loop(read_model(), log, db, Positions("jobs"), holder="sleeper")
    await record(log, submitted("a"))
    async with running(loop.run()):
        await caught_up(loop)
        async with db.begin() as conn:
            await conn.execute(sa.update(LEASE).values(until=sa.func.now()))
        epochs = dict.fromkeys(("JOBS", "RUNNER"), "memory")
        other = await leadership.acquire(db, "jobs", "other", epochs)
        seq = await record(log, submitted("b"))
        assert loop.positions is not None
        assert not await loop.positions.wait("jobs", "JOBS", seq, 0.3)
        assert [r[0] for r in (await rows(db))[0]] == ["a"]
        await leadership.release(db, other)
        await caught_up(loop)
    [[lease]] = await rows(db, LEASE)
    assert lease[1:3] == ("sleeper", other.fence + 1)
    assert [r[0] for r in (await rows(db))[0]] == ["a", "b"]


async def test_a_commit_waits_for_what_it_builds_upon(db: AsyncEngine, log: MemoryLog) -> None:
    loop = projection_loop(read_model(), log, db, Positions("jobs"))
    await record(log, submitted("a", n_tasks=1))
    done = jobs.JobCompleted(
        job_id="a", tasks_merged=1, primaries_merged=1, partial=False, ended_at=NOW
    )
    last = await record(log, done, after={"RUNNER": 1})
    async with running(loop.run()):
        assert loop.positions is not None
        assert await loop.positions.wait("jobs", "JOBS", last - 1, 5)
        assert (await rows(db))[0][0][2] == "PENDING"
        await record(log, succeeded("a", 0))
        await caught_up(loop)
        assert (await rows(db))[0][0][2] == "COMPLETED"


async def test_a_barrier_that_nothing_lifts_is_given_up(
    db: AsyncEngine, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BARRIER_SECONDS", 0.05)
    await record(log, submitted("a"), after={"RUNNER": 7})
    loop = projection_loop(read_model(), log, db, Positions("jobs"))
    async with running(loop.run()):
        await caught_up(loop)
    assert len((await rows(db))[0]) == 1


async def test_the_loop_outlives_a_crash_of_the_database(
    servers_folder: Path, log: MemoryLog
) -> None:
    async with (
        postgres_server(servers_folder / "crashing", durable=False) as server,
        schema(server.url) as db,
    ):
        loop = projection_loop(read_model(), log, db, Positions("jobs"))
        await record(log, submitted("a"))
        async with running(loop.run()):
            await caught_up(loop)
            await server.child.stop(signal.SIGKILL)
            await record(log, submitted("b"))
            await server.restart()
            await caught_up(loop)
        assert [r[0] for r in (await rows(db))[0]] == ["a", "b"]
