"""A process manager over the events of ``projecting``, and a process that runs both.

As a program (``python -m kit.events.processing``) it runs the loops on the servers that the environment
names, until it is killed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import create_async_engine

from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.events import jobs, runner
from kerma_common.contracts.subjects import job_subject
from kerma_common.domain import Aggregate
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.nats import connection
from kerma_common.process.manager import Reaction, Timer
from kerma_common.process.runner import process_loop
from kerma_common.projection.router import At
from kerma_common.projection.runner import projection_loop
from kit.events.projecting import mapped, read_model


@dataclass(frozen=True, slots=True)
class Settle:
    """Every task of the job has ended."""

    job_id: str
    tasks: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Remind:
    """The job is taking long."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Count:
    """How many tasks out of how many have ended."""

    expected: int = 0
    ended: int = 0


@dataclass(frozen=True)
class Counting:
    """Process that settles a job once all its tasks have succeeded; reminds of it after a while."""

    patience: timedelta = timedelta(hours=1)
    service = "jobs"
    name = "counting"
    streams = ("JOBS", "RUNNER")
    independent: frozenset[str] = frozenset()
    state_type = Count
    command_types: Mapping[str, type] = field(
        default_factory=lambda: {"Settle": Settle, "Remind": Remind}
    )

    def key(self, event: Any) -> str | None:
        known = isinstance(event, jobs.JobSubmitted | runner.TaskSucceeded)
        return event.job_id if known else None

    def handle(self, state: Count | None, event: Any, at: At) -> Reaction[Count]:
        count = state or Count()
        if isinstance(event, jobs.JobSubmitted):
            if event.title == "poison":
                raise ArithmeticError(event.title)
            count = replace(count, expected=event.n_tasks)
            return Reaction(count, timers=(Timer("late", at.time + self.patience),))
        count = replace(count, ended=count.ended + 1)
        if count.ended == count.expected:
            return Reaction(None, (Settle(event.job_id, count.ended, at.time),))
        return Reaction(count)

    def wake(self, state: Count | None, key: str, timer: str, now: datetime) -> Reaction[Count]:
        if key == "broken":
            raise ArithmeticError(key)
        return Reaction(state, (Remind(key),))


def now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


def decide(state: int, command: object) -> tuple[object, ...]:
    """Always return an event: only the cause prevents a second one for a repeated command."""
    assert isinstance(command, Settle)
    return (
        jobs.JobAllTasksSettled(
            job_id=command.job_id, succeeded=command.tasks, failed=0, canceled=0
        ),
    )


async def main() -> None:
    """Run the read model and the process manager."""
    url = os.environ["KERMA_TEST_POSTGRES"].replace("postgresql://", "postgresql+psycopg://")
    plain = create_async_engine(url, connect_args={"prepare_threshold": None})
    db = mapped(plain, "jobs")
    async with connection(os.environ["KERMA_TEST_NATS"], name="child") as nc:
        log = JetStreamLog(nc)
        bus = CommandBus(log, "jobs")
        aggregate: Aggregate[int] = Aggregate("jobs", "job", 0, decide, lambda state, _: state + 1)

        async def dispatch(command: Settle, context: CommandContext) -> None:
            await bus.execute(aggregate, job_subject(command.job_id), command, context)

        async with asyncio.TaskGroup() as group:
            group.create_task(projection_loop(read_model(), log, db).run())
            group.create_task(process_loop(Counting(), log, db, dispatch, now).run())


if __name__ == "__main__":
    asyncio.run(main())
