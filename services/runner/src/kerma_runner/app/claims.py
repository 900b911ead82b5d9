"""Requests of workers: registration, claims, starts and reports.

Out: WorkerRegistered, WorkerRetired, TaskLeased, TaskStarted, TaskSucceeded, TaskFailed,
TaskRequeued, TaskCanceled, TasksLost.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from kerma_common.commands.context import CommandContext
from kerma_common.contracts import rpc_runner as rpc
from kerma_common.contracts.subjects import task_subject, worker_subject
from kerma_common.errors import DomainRejected, UnreadableHistory
from kerma_runner.domain import commands as tasks
from kerma_runner.domain import worker as workers

if TYPE_CHECKING:
    from kerma_common.commands.bus import CommandBus, Executed
    from kerma_common.infra import Clock
    from kerma_runner.app.ports import HeartbeatStore, Tickets
    from kerma_runner.app.task_loss import Losses
    from kerma_runner.app.task_sets import TaskSets
    from kerma_runner.domain.task import Task

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """Length of leases and interval of heartbeats."""

    lease: timedelta
    heartbeat: timedelta


@dataclass(frozen=True, slots=True)
class Claims:
    """Decides about tasks and workers when workers ask.

    All requests are safe to repeat: the state of the task shows that a request is a repetition.
    """

    bus: CommandBus
    sets: TaskSets
    losses: Losses
    heard: HeartbeatStore
    tickets: Tickets
    clock: Clock
    terms: Terms

    async def register(self, offer: rpc.Registration) -> rpc.Registered:
        """Register a worker."""
        for lane in offer.lanes:
            await self.tickets.open(lane)
        await self.heard.beat(offer.worker, (), self.clock())
        command = workers.Register(
            offer.worker,
            offer.resource_class,
            offer.slots,
            offer.engines,
            offer.digests,
            offer.substitutes,
            offer.sandbox,
        )
        subject = worker_subject(offer.worker)
        await self.bus.execute(workers.WORKER, subject, command, self._ctx(offer.worker))
        return rpc.Registered(
            self.terms.heartbeat.total_seconds(), self.terms.lease.total_seconds()
        )

    async def retire(self, leaving: rpc.Retirement) -> rpc.Verdict:
        """Retire a worker.

        One whose history is unreadable is forgotten: its leases last until they end by themselves.
        No worker of its machine would start otherwise, since each retires the dead ones first.
        """
        command = workers.Retire(leaving.worker, leaving.reason)
        subject = worker_subject(leaving.worker)
        verdict = rpc.Verdict()
        try:
            await self.bus.execute(workers.WORKER, subject, command, self._ctx(leaving.worker))
        except UnreadableHistory as error:
            _log.exception("cannot be retired: %s", leaving.worker)
            verdict = rpc.Verdict("UNREADABLE_HISTORY", error.message)
        await self.heard.forget(leaving.worker)
        return verdict

    async def claim(self, request: rpc.ClaimRequest) -> rpc.ClaimReply:
        """Lease the task of a ticket to a worker, or say why the ticket is worthless."""
        ctx = self._ctx(request.worker, request.job_id)
        try:
            done = await self._lease(request, ctx)
            void = await self.sets.is_void(request.job_id, done)
        except DomainRejected as refusal:
            return rpc.ClaimReply(None, refusal.code)
        except UnreadableHistory as error:
            await self.losses.lose(request.job_id, (request.index,), error, ctx.step("lose"))
            return rpc.ClaimReply(None, "GONE")
        if void:
            return rpc.ClaimReply(None, "GONE")
        spec = done.state.spec
        assert spec is not None
        granted = rpc.Granted(
            rpc.HeldLease(request.job_id, request.index, done.state.lease),
            done.state.attempt,
            spec.engine,
            spec.input_ref,
            spec.primaries,
            spec.seed,
        )
        return rpc.ClaimReply(granted)

    async def _lease(self, request: rpc.ClaimRequest, ctx: CommandContext) -> Executed[Task]:
        now = self.clock()
        command = tasks.Claim(request.worker, request.attempt, now + self.terms.lease, now)
        subject = task_subject(request.job_id, request.index)
        task = await self.sets.task(request.job_id, request.index)
        fresh = request.attempt == task.initial.attempt
        return await self.bus.execute(task, subject, command, ctx, fresh=fresh)

    async def start(self, request: rpc.StartRequest) -> rpc.Verdict:
        """Record that the engine of a lease runs."""
        return await self._record(request.worker, request.held, tasks.Start(request.held.lease))

    async def report(self, report: rpc.Report) -> rpc.Verdict:
        """Record how a lease ended."""
        return await self._record(report.worker, report.held, self._ending(report))

    def _ending(self, report: rpc.Report) -> object:
        lease, now = report.held.lease, self.clock()
        if report.success is not None:
            s = report.success
            return tasks.Succeed(
                lease, s.output_ref, s.log_ref, s.primaries, s.cpu_seconds, report.started
            )
        if report.failure is not None:
            f = report.failure
            return tasks.Fail(lease, f.code, f.message, f.log_ref, now, report.started)
        if report.canceled:
            return tasks.ConfirmCancel(lease)
        return tasks.Release(lease, now)

    async def _record(self, worker: str, held: rpc.HeldLease, command: object) -> rpc.Verdict:
        subject, ctx = task_subject(held.job_id, held.index), self._ctx(worker, held.job_id)
        try:
            task = await self.sets.task(held.job_id, held.index)
            await self.bus.execute(task, subject, command, ctx)
        except DomainRejected as refusal:
            return rpc.Verdict(refusal.code, refusal.message)
        except UnreadableHistory as error:
            await self.losses.lose(held.job_id, (held.index,), error, ctx.step("lose"))
            return rpc.Verdict("STALE_LEASE", f"lease {held.lease} is of a lost task")
        return rpc.Verdict()

    def _ctx(self, worker: str, story: str | None = None) -> CommandContext:
        return CommandContext(
            actor=f"worker:{worker}",
            cause=("worker", worker, str(uuid4())),
            correlation=story or worker,
            now=self.clock(),
        )
