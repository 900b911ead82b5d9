"""The agent: offers slots, takes tickets, runs engines and sends heartbeats.

Out (requests to the runner): registration, retirement of itself and of dead workers of its machine,
claims, starts, heartbeats, reports. In: tickets, answers to heartbeats, stop signals. The runner
decides about leases: the agent keeps a result until the runner has answered, and drops it when the
lease is over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry.trace import SpanKind

from kerma_common.clock import until_next
from kerma_common.contracts import rpc_runner as rpc
from kerma_common.telemetry.traces import HEADER, span
from kerma_runner.worker.attempt import Attempt, AttemptContext
from kerma_runner.worker.outcomes import Stop
from kerma_runner.worker.runner_client import RETRYABLE
from kerma_sandbox.launcher import is_guard_lost

if TYPE_CHECKING:
    from kerma_common.bus.faststream import EdgeBroker
    from kerma_engines.adapter.port import Progress
    from kerma_runner.worker.runner_client import RunnerClient

REPORT_SECONDS = 0.2
"""Shortest interval between two progress messages of a task, and age of its first progress."""

START_SECONDS = 0.2
"""The start of an engine is reported after this time, or together with its end if that comes first."""

LEAVE_SECONDS = 3.0
"""How long a stopping worker tries to reach the runner; after that its leases expire."""

MOST_UNREPORTED = 256
"""Attempts beside those in slots whose report is not accepted; with more, no tasks are taken."""

RETRY_SECONDS = 1.0
FIT_SECONDS = 1.0
"""How long a look at the disk counts; an engine that finds no space hands its task back."""
UNFIT_SECONDS = 2.0
"""Interval at which a worker that lacks disk space looks again."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class ProgressReporter:
    """Publishes the latest progress of a task at a limited rate."""

    def __init__(self) -> None:
        self._latest: Progress | None = None
        self._news = asyncio.Event()

    def report(self, progress: Progress) -> None:
        """Store the latest progress."""
        self._latest = progress
        self._news.set()

    async def run(self, runner: RunnerClient, held: rpc.HeldLease) -> None:
        """Publish new progress until cancelled."""
        while True:
            await self._news.wait()
            # An engine that ends soon needs no message.
            await asyncio.sleep(REPORT_SECONDS)
            self._news.clear()
            if self._latest is not None:
                await runner.send_progress(held, self._latest)


@dataclass(slots=True)
class Agent:
    """One worker process."""

    worker: str
    broker: EdgeBroker
    runner: RunnerClient
    context: AttemptContext
    registration: rpc.Registration
    _active: dict[rpc.HeldLease, Attempt] = field(default_factory=dict)
    _works: set[asyncio.Task[None]] = field(default_factory=set)
    _lacking: str | None = None
    _looked: float = -FIT_SECONDS

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop``, then finish or hand back what is running. Raises GuardLost."""
        terms = await _unless(stop, self._arrive())
        if terms is None:
            return
        async with asyncio.TaskGroup() as group:
            listening = [
                group.create_task(self._speak(terms.heartbeat_seconds)),
                group.create_task(self._listen()),
                group.create_task(self._watch_others(terms.heartbeat_seconds)),
                group.create_task(self.context.launcher.fail_when_lost()),
            ]
            slots = [
                group.create_task(self._slot(stop, group))
                for _ in range(self.context.settings.slots)
            ]
            await stop.wait()
            await self._leave(slots)
            for task in listening:
                task.cancel()

    async def _leave(self, slots: list[asyncio.Task[None]]) -> None:
        """Hand back what is running and retire.

        Leases that cannot be handed back end at once with the reason ``DIED``: their engines are
        gone.
        """
        await asyncio.wait(slots, timeout=self.context.settings.finish_seconds)
        for attempt in self._active.values():
            if not attempt.engine_gone.is_set():
                attempt.stop(Stop.RELEASE)
        await asyncio.wait({*slots, *self._works}, timeout=LEAVE_SECONDS + RETRY_SECONDS)
        for task in (*slots, *self._works):
            task.cancel()
        with suppress(*RETRYABLE, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                leaving = rpc.Retirement(self.worker, rpc.DIED if self._active else "shutdown")
                await self.runner.ask(rpc.RETIRE, leaving, rpc.Verdict)
                self.context.scratch.retired = True

    async def _arrive(self) -> rpc.Registered:
        terms = await self._register()
        await self._hand_back_of_dead()
        return terms

    async def _hand_back_of_dead(self) -> None:
        """Retire the dead workers of this machine, so that none of their leases outlives them."""
        scratch = self.context.scratch
        for worker in await asyncio.to_thread(scratch.dead):
            await self.runner.ask_until_answered(
                rpc.RETIRE, rpc.Retirement(worker, rpc.DIED), rpc.Verdict
            )
            await asyncio.to_thread(scratch.forget, worker)

    async def _watch_others(self, interval: float) -> None:
        """Keep looking: a worker that is still alive when this one starts may die later."""
        while True:
            await asyncio.sleep(until_next(interval))
            await self._hand_back_of_dead()

    async def _register(self) -> rpc.Registered:
        offer = self.registration
        if self._lacking is not None:
            offer = replace(offer, engines={}, digests={}, substitutes={})
        return await self.runner.ask_until_answered(rpc.REGISTER, offer, rpc.Registered)

    async def _slot(self, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
        """Run one engine at a time; a result is stored and reported while the next engine runs.

        A report that is not accepted holds no slot.
        """
        earlier: Attempt | None = None
        latest: Attempt | None = None
        while not stop.is_set():
            if earlier is not None:
                # store at most one result beside the engine, so that a slow store cannot pile up
                # results
                await earlier.over.wait()
                earlier = None
            while len(self._works) >= self.context.settings.slots + MOST_UNREPORTED:
                await asyncio.wait(self._works, return_when=asyncio.FIRST_COMPLETED)
            if not await self._fit(stop):
                await _unless(stop, asyncio.sleep(UNFIT_SECONDS))
                continue
            try:
                taken = await self._next(stop)
            except RETRYABLE as error:
                _log.info("no work", extra={"reason": error.message})
                await _unless(stop, asyncio.sleep(RETRY_SECONDS))
                continue
            if taken is not None:
                granted, trace = taken
                attempt = self._begin(granted, trace, group)
                earlier, latest = latest, attempt
                if stop.is_set():
                    attempt.stop(Stop.RELEASE)
                await attempt.engine_gone.wait()

    async def _fit(self, stop: asyncio.Event) -> bool:
        """Return whether the scratch is writable. If not, the worker offers no engine."""
        now = time.monotonic()
        if self._lacking is None and now - self._looked < FIT_SECONDS:
            return True
        self._looked = now
        lacking = await asyncio.to_thread(self.context.scratch.lacks, self.context.settings.reserve)
        before, self._lacking = self._lacking, lacking
        if (lacking is None) != (before is None):
            if lacking is None:
                _log.warning("tasks are taken again")
            else:
                _log.error("no tasks are taken: the scratch folder fails: %s", lacking)
            await _unless(stop, self._register())
        return lacking is None

    async def _next(self, stop: asyncio.Event) -> tuple[rpc.Granted, str | None] | None:
        """Return a granted task and the trace context of its ticket."""
        pulled = self.runner.next_ticket(self.registration.lanes)
        taken = await _unless(stop, pulled)
        if taken is None:
            return None
        ticket, message = taken
        if not await self._fit(stop):
            await self.runner.give_back(message)
            return None
        trace = (message.headers or {}).get(HEADER)
        with span("ticket", trace, kind=SpanKind.CONSUMER):
            reply = await self.runner.claim(self.worker, ticket, message)
        if reply.granted is None or reply.granted.held in self._active:
            return None
        return reply.granted, trace

    def _begin(self, granted: rpc.Granted, trace: str | None, group: asyncio.TaskGroup) -> Attempt:
        held, reporter = granted.held, ProgressReporter()

        async def started() -> None:
            await asyncio.sleep(START_SECONDS)
            request = rpc.StartRequest(self.worker, held)
            verdict = await self.runner.ask_until_answered(rpc.START, request, rpc.Verdict)
            if verdict.code == "STALE_LEASE":
                attempt.stop(Stop.DROP)

        attempt = Attempt(granted, self.worker, self.context, started, reporter.report)
        self._active[held] = attempt
        work = group.create_task(self._work(attempt, reporter, trace))
        self._works.add(work)
        work.add_done_callback(self._works.discard)
        return attempt

    async def _work(self, attempt: Attempt, reporter: ProgressReporter, trace: str | None) -> None:
        held = attempt.granted.held
        try:
            with span("task", trace):
                async with asyncio.TaskGroup() as group:
                    reporting = group.create_task(reporter.run(self.runner, held))
                    report = await attempt.run()
                    reporting.cancel()
                if report is not None:
                    await self._report(replace(report, started=attempt.engine_ran))
        except Exception as error:
            if is_guard_lost(error):
                raise
            # the other attempts go on; heartbeats no longer name this lease, so it expires
            _log.exception("lease given up", extra={"job": held.job_id, "index": held.index})
        finally:
            del self._active[held]

    async def _report(self, report: rpc.Report) -> None:
        verdict = await self.runner.ask_until_answered(rpc.REPORT, report, rpc.Verdict)
        if verdict.code != "OK":
            _log.warning(
                "report refused",
                extra={"code": verdict.code, "job": report.held.job_id, "index": report.held.index},
            )

    async def _speak(self, interval: float) -> None:
        while True:
            beat = rpc.Heartbeat(self.worker, tuple(self._active))
            try:
                reply = await self.runner.ask(rpc.HEARTBEAT, beat, rpc.HeartbeatReply)
            except RETRYABLE as error:
                _log.info("not heard", extra={"reason": error.message})
                await asyncio.sleep(min(RETRY_SECONDS, interval))
                continue
            self._stop(reply.cancel, Stop.CANCEL)
            self._stop(reply.stale, Stop.DROP)
            if not reply.known:
                await self._register()
            await asyncio.sleep(until_next(interval))

    async def _listen(self) -> None:
        def stop(signal: rpc.StopSignal) -> None:
            self._stop(signal.leases, Stop.CANCEL)

        self.broker.on_hint(rpc.worker_signal(self.worker), rpc.StopSignal, stop)
        await self.broker.serve()

    def _stop(self, leases: Iterable[rpc.HeldLease], reason: Stop) -> None:
        for held in leases:
            attempt = self._active.get(held)
            if attempt is not None:
                attempt.stop(reason)


async def _unless(stop: asyncio.Event, action: Coroutine[Any, Any, T]) -> T | None:
    """Return the result of ``action``, or None when ``stop`` comes first."""
    doing, stopping = asyncio.ensure_future(action), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await doing if doing.done() else None
    finally:
        stopping.cancel()
        doing.cancel()
