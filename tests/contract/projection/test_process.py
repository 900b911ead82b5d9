"""Process managers on a real database: commands at least once, in order, in effect once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.commands.consistency import Positions
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.subjects import task_subject
from kerma_common.errors import ContractViolation, DomainRejected, Unavailable
from kerma_common.eventlog.memory import MemoryLog
from kerma_common.process.runner import process_loop
from kerma_common.process.tables import OUTBOX, STATE, TIMER, placed_process_tables
from kerma_common.projection import lease as leadership
from kerma_common.projection.loop import LogLoop
from kerma_common.projection.mending import quarantined_units, skip
from kit.events.processing import Counting, Settle, now
from kit.events.projecting import (
    caught_up,
    mapped,
    record,
    rows,
    running,
    schema,
    submitted,
    succeeded,
)


class Executor:
    """Record of the commands to execute; raises its ``failures`` first."""

    def __init__(self, *failures: Exception) -> None:
        self.calls: list[tuple[Any, CommandContext]] = []
        self.failures = list(failures)
        self._called = asyncio.Condition()

    async def __call__(self, command: Any, context: CommandContext) -> None:
        async with self._called:
            self.calls.append((command, context))
            self._called.notify_all()
        if self.failures:
            raise self.failures.pop(0)

    async def until(self, n: int) -> None:
        async with asyncio.timeout(60), self._called:
            await self._called.wait_for(lambda: len(self.calls) >= n)


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    async with schema(postgres_url) as engine:
        async with engine.begin() as conn:
            await conn.execute(sa.text("DROP SCHEMA IF EXISTS jobs_process CASCADE"))
            await conn.execute(sa.schema.CreateSchema("jobs_process"))
            await conn.run_sync(placed_process_tables("jobs").create_all)
        yield engine


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


def loop_of(
    log: MemoryLog, db: AsyncEngine, executor: Executor, manager: Counting | None = None
) -> LogLoop:
    return process_loop(manager or Counting(), log, db, executor, now, positions=Positions("jobs"))


async def stored(db: AsyncEngine, table: sa.Table) -> list[tuple[Any, ...]]:
    return (await rows(mapped(db, "jobs_process"), table))[0]


async def emptied(db: AsyncEngine, table: sa.Table) -> None:
    async with asyncio.timeout(60):
        while await stored(db, table):
            await asyncio.sleep(0.01)


async def test_commands_follow_from_events(db: AsyncEngine, log: MemoryLog) -> None:
    executor = Executor()
    loop = loop_of(log, db, executor)
    await record(log, submitted("a", n_tasks=2), now=now())
    async with running(loop.run()):
        await record(log, succeeded("a", 0))
        await caught_up(loop)
        assert await stored(db, STATE) == [("counting", "a", {"expected": 2, "ended": 1})]
        await record(log, succeeded("a", 1), after={"JOBS": 1})
        await executor.until(1)
        await emptied(db, OUTBOX)
    [(command, context)] = executor.calls
    [last] = await log.load(task_subject("a", 1))
    assert isinstance(command, Settle)
    assert command.tasks == 2
    assert context.actor == "svc:jobs"
    assert context.causation == last.commit.events[0].id
    assert context.cause == (context.causation, "counting", "0")
    assert context.after == {"JOBS": 1, "RUNNER": 2}
    assert context.correlation == last.commit.meta.correlation
    assert await stored(db, STATE) == []
    assert await stored(db, TIMER) == []


async def test_a_former_leader_settles_and_reacts_to_nothing(
    db: AsyncEngine, log: MemoryLog
) -> None:
    go_on = asyncio.Event()

    class Slow(Executor):
        async def __call__(self, command: Any, context: CommandContext) -> None:
            await super().__call__(command, context)
            await go_on.wait()

    executor = Slow()
    loop = loop_of(log, db, executor)
    async with running(loop.run()):
        await record(log, submitted("a", n_tasks=1), succeeded("a", 0), now=now())
        await executor.until(1)
        async with mapped(db, "jobs_process").begin() as conn:
            await leadership.raise_fence(conn, "counting")
        await record(log, submitted("b", n_tasks=2))
        go_on.set()
        # the row was left for the next leader, which executes the command again
        await executor.until(2)
        await emptied(db, OUTBOX)
        await caught_up(loop)
    # the former leader may try once more before it notices; the cause makes one command of all tries
    assert len({context.cause for _, context in executor.calls}) == 1
    assert await stored(db, STATE) == [("counting", "b", {"expected": 2, "ended": 0})]


async def test_a_passing_failure_is_tried_again_and_keeps_the_order(
    db: AsyncEngine, log: MemoryLog
) -> None:
    executor = Executor(Unavailable("no log"), ConnectionResetError())
    loop = loop_of(log, db, executor, Counting(patience=timedelta(0)))
    await record(log, submitted("a", n_tasks=1))
    async with running(loop.run()):
        await executor.until(1)
        await record(log, succeeded("a", 0))
        await executor.until(4)
        await emptied(db, OUTBOX)
    kinds = [type(command).__name__ for command, _ in executor.calls]
    assert kinds == ["Remind", "Remind", "Remind", "Settle"]
    assert len({context.cause for _, context in executor.calls[:3]}) == 1


async def test_a_rejection_is_final_and_a_fault_is_parked(db: AsyncEngine, log: MemoryLog) -> None:
    executor = Executor(DomainRejected("DONE", "is over"), ContractViolation("no such aggregate"))
    loop = loop_of(log, db, executor)
    for job in "ab":
        seq = await record(log, submitted(job, n_tasks=1), now=now())
        await record(log, succeeded(job, 0), after={"JOBS": seq})
    async with running(loop.run()):
        await caught_up(loop)
        await executor.until(2)
        async with asyncio.timeout(60):
            while [r[-1] is None for r in await stored(db, OUTBOX)] != [False]:
                await asyncio.sleep(0.01)
    # The next leader retries parked commands.
    again = Executor()
    async with running(loop_of(log, db, again).run()):
        await again.until(1)
        await emptied(db, OUTBOX)
    assert again.calls[0][1].cause in {c.cause for _, c in executor.calls}


async def test_timers_fire_after_a_restart(db: AsyncEngine, log: MemoryLog) -> None:
    first = loop_of(log, db, Executor(), Counting(patience=timedelta(days=1)))
    for job in ("a", "broken", "b"):
        await record(log, submitted(job, n_tasks=1), now=now())
    async with running(first.run()):
        await caught_up(first)
    async with mapped(db, "jobs_process").begin() as conn:
        soon = now() + timedelta(milliseconds=30)
        await conn.execute(sa.update(TIMER).values(due=soon))
    executor = Executor()
    async with running(loop_of(log, db, executor).run()):
        await executor.until(2)
        await emptied(db, OUTBOX)
    assert {command.job_id for command, _ in executor.calls} == {"a", "b"}
    assert all(context.now >= soon for _, context in executor.calls)
    [found] = await stored(db, TIMER)
    assert found[1] == "broken"
    assert "ArithmeticError" in found[-1]


async def test_an_event_that_cannot_be_handled_stops_its_aggregate_alone(
    db: AsyncEngine, log: MemoryLog
) -> None:
    executor = Executor()
    loop = loop_of(log, db, executor)
    await record(log, submitted("a", "poison", n_tasks=1))
    seq = await record(log, submitted("b", n_tasks=1), now=now())
    await record(log, succeeded("b", 0), after={"JOBS": seq})
    async with running(loop.run()):
        await executor.until(1)
    assert [command.job_id for command, _ in executor.calls] == ["b"]


async def test_stored_commands_that_cannot_be_decoded_are_parked(
    db: AsyncEngine, log: MemoryLog
) -> None:
    first = Executor(ContractViolation("not now"), ContractViolation("not now"))
    for job in "ab":
        seq = await record(log, submitted(job, n_tasks=1), now=now())
        await record(log, succeeded(job, 0), after={"JOBS": seq})
    async with running(loop_of(log, db, first).run()):
        await first.until(2)
        await until_parked(db, 2)
    async with mapped(db, "jobs_process").begin() as conn:
        where = OUTBOX.c.key == "a"
        await conn.execute(sa.update(OUTBOX).where(where).values(command="Forgotten", error=None))
    executor = Executor()
    async with running(loop_of(log, db, executor).run()):
        await executor.until(1)
        await until_parked(db, 1)
    assert [command.job_id for command, _ in executor.calls] == ["b"]
    [found] = await stored(db, OUTBOX)
    assert "Forgotten" in found[-1]


async def test_a_timer_of_a_state_that_cannot_be_decoded_is_parked(
    db: AsyncEngine, log: MemoryLog
) -> None:
    first = loop_of(log, db, Executor(), Counting(patience=timedelta(days=1)))
    for job in "ab":
        await record(log, submitted(job, n_tasks=1), now=now())
    async with running(first.run()):
        await caught_up(first)
    async with mapped(db, "jobs_process").begin() as conn:
        await conn.execute(sa.update(STATE).where(STATE.c.key == "a").values(state=["wrong"]))
        await conn.execute(sa.update(TIMER).values(due=now()))
    executor = Executor()
    async with running(loop_of(log, db, executor).run()):
        await executor.until(1)
        await emptied(db, OUTBOX)
    assert [command.job_id for command, _ in executor.calls] == ["b"]
    [found] = await stored(db, TIMER)
    assert (found[1], found[-1] is None) == ("a", False)


async def test_events_of_all_streams_wait_behind_one_that_its_instance_cannot_handle(
    db: AsyncEngine, log: MemoryLog
) -> None:
    executor = Executor()
    loop = loop_of(log, db, executor)
    seq = await record(log, submitted("a", "poison", n_tasks=1))
    async with running(loop.run()):
        await record(log, succeeded("a", 0), after={"JOBS": seq})
        await caught_up(loop)
        assert await stored(db, STATE) == []
        [found] = await quarantined_units(loop.sink, mapped(db, "jobs_process"))
        assert (found.unit, found.stream, found.seq, found.commits) == ("a", "JOBS", 1, 2)
        given_up, applied = await skip(loop.sink, mapped(db, "jobs_process"), "a")
        assert ([r.seq for r in given_up], applied) == ([1], 1)
        # Later commits are followed again.
        await record(log, submitted("a", n_tasks=1), now=now())
        await caught_up(loop)
    assert await stored(db, STATE) == [("counting", "a", {"expected": 1, "ended": 1})]


async def until_parked(db: AsyncEngine, n: int) -> None:
    async with asyncio.timeout(60):
        while [r[-1] is None for r in await stored(db, OUTBOX)] != [False] * n:
            await asyncio.sleep(0.01)
