"""TaskSupply: the commands that follow from a job's events, and their effect on tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts import ids, jobs
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.rpc_runner import HeldLease
from kerma_common.contracts.subjects import task_subject
from kerma_common.eventlog.memory import MemoryLog
from kerma_common.projection.router import At
from kerma_runner.app.supply import CancelTasks, QueueTasks, Supplied, SupplyHandlers, TaskSupply
from kerma_runner.domain.commands import Claim
from kerma_runner.domain.task import TASK, Phase, Task

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
    for event in (CANCEL, DELETED):
        assert TaskSupply().handle(Supplied(3), event, AT).commands == (CancelTasks("job", 3),)
        assert TaskSupply().handle(None, event, AT).commands == ()


def test_an_ended_job_is_forgotten() -> None:
    failed = jobs.JobFailed(job_id="job", code="C", summary="s", failed_tasks=(0,), ended_at=NOW)
    assert TaskSupply().handle(Supplied(3), failed, AT).state is None


async def test_queueing_shares_out_all_primaries_and_repeats_change_nothing() -> None:
    log = MemoryLog()
    bus = CommandBus(log, "runner")
    handlers = SupplyHandlers(bus, Heard())
    for cause in ("first", "first", "again"):
        await handlers.dispatch(QUEUE, context(cause))
    tasks = [(await bus.state(TASK, task_subject("job", n)))[0] for n in range(3)]
    assert [t.spec.primaries for t in tasks if t.spec] == [4, 3, 3]
    assert [t.spec.seed for t in tasks if t.spec] == [
        ids.task_seed("job", n, ids.SEED_RULE) for n in range(3)
    ]
    for n in range(3):
        assert len(await log.load(task_subject("job", n))) == 1


async def test_canceling_ends_what_waits_and_signals_who_holds() -> None:
    bus, heard = CommandBus(MemoryLog(), "runner"), Heard()
    handlers = SupplyHandlers(bus, heard)
    await handlers.dispatch(QUEUE, context("queue"))
    subject = task_subject("job", 1)
    await bus.execute(TASK, subject, Claim("w", 1, NOW, NOW), context("claim"))
    await handlers.dispatch(CancelTasks("job", 3), context("cancel"))
    tasks: list[Task] = [(await bus.state(TASK, task_subject("job", n)))[0] for n in range(3)]
    assert [t.phase for t in tasks] == [Phase.CANCELED, Phase.LEASED, Phase.CANCELED]
    assert tasks[1].canceling
    assert heard.stopped == [("w", (HeldLease("job", 1, 1),))]
