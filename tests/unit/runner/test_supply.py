"""TaskSupply: the commands that follow from a job's events, and their effect on tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from kerma_common.commands.bus import CommandBus, Executed
from kerma_common.commands.context import CommandContext
from kerma_common.contracts import ids
from kerma_common.contracts.envelope import Meta, Recorded, make_commit
from kerma_common.contracts.events import jobs, runner
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.rpc_runner import HeldLease
from kerma_common.contracts.subjects import (
    Subject,
    task_loss_subject,
    task_set_subject,
    task_subject,
)
from kerma_common.errors import DomainRejected, Unavailable, UnreadableHistory
from kerma_common.eventlog.memory import MemoryLog
from kerma_common.process.manager import Reaction
from kerma_common.projection.router import At
from kerma_runner.app.supply import CancelTasks, Supplied, SupplyHandlers, TaskSupply
from kerma_runner.app.task_loss import REASON, Losses
from kerma_runner.app.task_sets import TaskSets
from kerma_runner.domain.commands import Claim, ConfirmCancel, Fail
from kerma_runner.domain.task import TASK, Phase, Task
from kerma_runner.domain.task_set import TASK_SET, QueueTasks, Withdraw
from kit.forged import forge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AT = At("JOBS", 7, "e", NOW, "job", "user:ada")
REF = Ref("ab" * 32, 3)
STARTED = jobs.JobStarted(
    job_id="job",
    owner="ada",
    engine="geant4",
    input_ref=REF,
    primaries=10,
    n_tasks=3,
    max_attempts=2,
    placement="pool",
    seed_rule=ids.SEED_RULE,
)
QUEUE = QueueTasks("job", "ada", "geant4", REF, 10, 3, 2, "pool", ids.SEED_RULE)
CANCEL = jobs.JobCancellationRequested(job_id="job", by="ada", collect=True)
EXCEEDED = jobs.JobLimitExceeded(job_id="job", code="JOB_BYTES_LIMIT", summary="s")
DELETED = jobs.JobDeleted(job_id="job", by="ada")


class Heard:
    """Signals that are recorded."""

    def __init__(self) -> None:
        self.stopped: list[tuple[str, tuple[HeldLease, ...]]] = []

    async def stop(self, worker: str, leases: Sequence[HeldLease]) -> None:
        self.stopped.append((worker, tuple(leases)))

    async def dispatch(self) -> None:
        raise AssertionError("nothing to hand out")


def context(cause: str) -> CommandContext:
    return CommandContext("runner", (cause,), "job", NOW)


def test_a_started_job_is_queued() -> None:
    reaction = TaskSupply().handle(None, STARTED, AT)
    assert reaction.state == Supplied(3)
    assert reaction.commands == (QUEUE,)


def test_a_job_nobody_wants_loses_its_tasks_once_it_has_them() -> None:
    for event in (CANCEL, EXCEEDED, DELETED):
        assert TaskSupply().handle(Supplied(3), event, AT).commands == (CancelTasks("job", 3),)
        assert TaskSupply().handle(None, event, AT).commands == ()


def test_an_ended_job_is_forgotten() -> None:
    failed = jobs.JobFailed(job_id="job", code="C", summary="s", failed_tasks=(0,), ended_at=NOW)
    assert TaskSupply().handle(Supplied(3), failed, AT).state is None


def test_tasks_for_a_cluster_are_not_queued() -> None:
    started = replace(STARTED, placement="batch")
    assert TaskSupply().handle(None, started, AT) == Reaction(None)


class SlowLog(MemoryLog):
    """A log whose reads answer with what they found when they began, once they may ``go``."""

    def __init__(self) -> None:
        super().__init__()
        self.slow, self.broken, self.begun = True, False, 0
        self.reads, self.go = asyncio.Semaphore(0), asyncio.Event()

    async def load(self, subject: Subject) -> Sequence[Recorded]:
        found = await super().load(subject)
        if self.slow and subject == task_set_subject("job") and found:
            self.begun += 1
            self.reads.release()
            await self.go.wait()
            if self.broken:
                raise Unavailable("away")
        return found


@dataclass
class World:
    """The handlers over a log in memory."""

    log: MemoryLog = field(default_factory=MemoryLog)
    heard: Heard = field(default_factory=Heard)

    def __post_init__(self) -> None:
        self.bus = CommandBus(self.log, "runner")
        self.sets = TaskSets(self.bus, self.log)
        self.handlers = SupplyHandlers(
            self.bus, self.log, self.sets, Losses(self.bus, self.log), self.heard
        )

    async def queue(self) -> None:
        await self.handlers.dispatch(QUEUE, context("queue"))

    async def lease(self, index: int, bus: CommandBus | None = None) -> Executed[Task]:
        task = await self.sets.task("job", index)
        subject, ctx = task_subject("job", index), context(f"claim {index}")
        return await (bus or self.bus).execute(
            task, subject, Claim("w", 1, NOW, NOW), ctx, fresh=True
        )

    async def fail(self, index: int) -> None:
        """End a leased task."""
        task, subject = await self.sets.task("job", index), task_subject("job", index)
        command = Fail(1, "BAD_INPUT", "no such material", None, NOW, started=True)
        await self.bus.execute(task, subject, command, context("fail"))

    async def task(self, index: int) -> Task:
        task = await self.sets.task("job", index)
        return (await self.bus.state(task, task_subject("job", index)))[0]

    async def spoil(self, subject: Subject) -> None:
        """Make an aggregate unreadable."""
        started = runner.TaskStarted(job_id="job", index=0, lease=1, worker="w")
        await forge(self.log, subject, started)
        self.__post_init__()  # a command bus that remembers nothing

    async def lost(self) -> list[object]:
        history = await self.log.load(task_loss_subject("job"))
        return [event.decode() for r in history for event in r.commit.events]

    async def of_set(self) -> list[object]:
        history = await self.log.load(task_set_subject("job"))
        return [event.decode() for r in history for event in r.commit.events]


async def test_queueing_shares_out_all_primaries_and_repeats_change_nothing() -> None:
    world = World()
    for cause in ("first", "first", "again"):
        await world.handlers.dispatch(QUEUE, context(cause))
    specs = [(await world.task(n)).spec for n in range(3)]
    assert [s.primaries for s in specs if s] == [4, 3, 3]
    assert [s.seed for s in specs if s] == [
        ids.task_seed("job", n, ids.SEED_RULE) for n in range(3)
    ]
    assert await world.sets.task("job", 3) is TASK
    assert [type(event).__name__ for event in await world.of_set()] == ["TasksQueued"]


async def test_canceling_ends_what_waits_and_signals_who_holds() -> None:
    world = World()
    await world.queue()
    leased = await world.lease(1)
    for cause in ("cancel", "cancel", "delete"):
        await world.handlers.dispatch(CancelTasks("job", 3), context(cause))
    assert (await world.of_set())[1:] == [
        runner.TasksWithdrawn(job_id="job"),
        runner.TasksCanceled(job_id="job", tasks=((0, 1), (2, 3)), withdrawn=3),
    ]
    held = await world.task(1)
    assert (held.phase, held.canceling) == (Phase.LEASED, True)
    assert not await world.log.load(task_subject("job", 0))
    assert world.heard.stopped[0] == ("w", (HeldLease("job", 1, 1),))
    assert not await world.sets.is_void("job", leased)


async def test_a_task_with_an_unreadable_history_is_lost_and_the_others_are_cancelled() -> None:
    world = World()
    await world.queue()
    for index in range(3):
        await world.lease(index)
    await world.spoil(task_subject("job", 0))
    for cause in ("cancel", "cancel", "delete"):
        await world.handlers.dispatch(CancelTasks("job", 3), context(cause))
    assert [(await world.task(index)).canceling for index in (1, 2)] == [True, True]
    stopped = world.heard.stopped[0][1]
    assert {held.index for held in stopped} == {1, 2}
    assert await world.lost() == [runner.TasksLost(job_id="job", tasks=(0,), reason=REASON)]


async def test_a_task_that_ended_before_its_history_was_damaged_is_not_lost() -> None:
    world = World()
    await world.queue()
    await world.lease(0)
    await world.fail(0)
    await world.spoil(task_subject("job", 0))
    await world.handlers.dispatch(CancelTasks("job", 3), context("cancel"))
    assert await world.lost() == []


async def test_without_a_readable_set_all_tasks_that_have_not_ended_are_lost() -> None:
    world = World()
    await world.queue()
    await world.lease(1)
    await world.fail(1)
    await world.spoil(task_set_subject("job"))
    await world.handlers.dispatch(CancelTasks("job", 3), context("cancel"))
    assert await world.lost() == [runner.TasksLost(job_id="job", tasks=(0, 2), reason=REASON)]


async def test_what_a_newer_release_wrote_is_not_lost() -> None:
    world = World()
    await world.queue()
    leased = await world.lease(0)
    subject = task_subject("job", 0)
    meta = Meta("svc:runner", "Rest", "job", "runner")
    made = make_commit("newer", "task", subject.id, 2, meta, (queued_alone(0),), NOW)
    events = tuple(event._replace(type="TaskRested") for event in made.events)
    await world.log.append(subject, leased.seq, made._replace(events=events))
    with pytest.raises(UnreadableHistory, match="TaskRested"):
        await world.handlers.dispatch(CancelTasks("job", 3), context("cancel"))
    assert await world.lost() == []


async def test_a_first_lease_after_the_withdrawal_is_void() -> None:
    world = World()
    await world.queue()
    before = await world.lease(0)
    cancelling = CommandBus(world.log, "runner")
    subject = task_set_subject("job")
    done = await cancelling.execute(TASK_SET, subject, Withdraw(), context("withdraw"))
    after = await world.lease(1)
    # the log has both leases, whoever decides about them and however often
    for _ in range(2):
        assert not await world.sets.is_void("job", before)
        assert await world.sets.is_void("job", after)
        await world.handlers.dispatch(CancelTasks("job", 3), context("cancel"))
    last = (await world.of_set())[-1]
    assert last == runner.TasksCanceled(job_id="job", tasks=((1, 3),), withdrawn=done.seq)
    assert (await world.task(0)).canceling


async def test_claims_share_a_read_that_begins_after_their_leases() -> None:
    log = SlowLog()
    world = World(log)
    await world.queue()
    early = await world.lease(0)
    asked = [asyncio.create_task(world.sets.is_void("job", early))]
    await log.reads.acquire()  # the first read has begun
    log.slow = False
    withdrawing = CommandBus(log, "runner")
    subject = task_set_subject("job")
    await withdrawing.execute(TASK_SET, subject, Withdraw(), context("withdraw"))
    log.slow = True
    late = [await world.lease(index) for index in (1, 2)]
    asked += [asyncio.create_task(world.sets.is_void("job", lease)) for lease in late]
    await asyncio.sleep(0)
    log.go.set()
    assert await asyncio.gather(*asked) == [False, True, True]
    # one, and one for both that were leased meanwhile, which then looks for the withdrawal
    assert log.begun == 1 + 2


async def test_a_read_that_fails_fails_for_all_and_not_for_later_claims() -> None:
    log = SlowLog()
    world = World(log)
    await world.queue()
    lease = await world.lease(0)
    asked = [asyncio.create_task(world.sets.is_void("job", lease)) for _ in range(2)]
    await log.reads.acquire()
    log.broken = True
    log.go.set()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 2
    log.broken = False
    assert not await world.sets.is_void("job", lease)


async def test_foreign_messages_do_not_move_the_withdrawal() -> None:
    world = World()
    await world.queue()
    subject = task_set_subject("job")
    world.log.store_foreign(task_subject("job", 0), b"?")
    withdrawn = await CommandBus(world.log, "runner").execute(
        TASK_SET, subject, Withdraw(), context("withdraw")
    )
    void = await world.lease(1)
    world.log.store_foreign(subject, b"?")
    assert await world.sets.is_void("job", void)
    await world.handlers.dispatch(CancelTasks("job", 3), context("cancel"))
    last = (await world.of_set())[-1]
    assert last == runner.TasksCanceled(job_id="job", tasks=((0, 3),), withdrawn=withdrawn.seq)


async def test_who_knows_of_the_withdrawal_leases_nothing_more() -> None:
    world = World()
    await world.queue()
    leased = await world.lease(1)
    await world.handlers.dispatch(CancelTasks("job", 3), context("cancel"))
    with pytest.raises(DomainRejected, match="over"):
        await world.lease(0)
    assert not await world.log.load(task_subject("job", 0))
    subject = task_subject("job", 1)
    task = await world.sets.task("job", 1)
    done = await world.bus.execute(task, subject, ConfirmCancel(1), context("confirm"))
    assert (done.state.phase, leased.state.lease) == (Phase.CANCELED, 1)


async def test_tasks_that_a_former_release_queued_are_canceled_one_by_one() -> None:
    world = World()
    for index in range(3):
        subject = task_subject("job", index)
        event = queued_alone(index)
        meta = Meta("svc:runner", "Queue", "job", "runner")
        commit = make_commit(f"old-{index}", "task", subject.id, 1, meta, (event,), NOW)
        await world.log.append(subject, 0, commit)
    leased = await world.lease(1)
    assert not await world.sets.is_void("job", leased)
    await world.handlers.dispatch(CancelTasks("job", 3), context("cancel"))
    phases = [(await world.task(n)).phase for n in range(3)]
    assert phases == [Phase.CANCELED, Phase.LEASED, Phase.CANCELED]
    assert await world.of_set() == []


def queued_alone(index: int) -> runner.TaskQueued:
    return runner.TaskQueued(
        job_id="job",
        index=index,
        owner="ada",
        resource_class="pool",
        engine="geant4",
        input_ref=REF,
        primaries=3,
        seed=index + 1,
        max_attempts=2,
        attempt=1,
    )
