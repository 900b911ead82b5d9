"""One attempt: from the input blob to the report of how the lease ended."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kerma_common.contracts.rpc_runner import Failure, Granted, Report, Success
from kerma_common.errors import KermaError, Unavailable
from kerma_common.telemetry.traces import span
from kerma_engines.adapter.environment import engine_environment
from kerma_engines.adapter.packing import (
    OUTPUT_MEDIA,
    OutputsTooLarge,
    Taken,
    pack_outputs,
    take_outputs,
)
from kerma_engines.errors import EngineError
from kerma_runner.worker import logs, watches
from kerma_runner.worker.confined.session import Refused
from kerma_runner.worker.confining import exceeded, signal_name
from kerma_runner.worker.outcomes import Failed, Stop, Stopped
from kerma_sandbox.files.usage import usage
from kerma_sandbox.forks.calls import CallFailed, Exceeded
from kerma_sandbox.launcher import is_guard_lost

if TYPE_CHECKING:
    from kerma_common.blobs.store import BlobStore
    from kerma_common.contracts.refs import Ref
    from kerma_engines.adapter.port import Command, Engine, Progress
    from kerma_runner.worker.confined.client import ConfinedEngines
    from kerma_runner.worker.confined.session import Session
    from kerma_runner.worker.files.scratch import Scratch
    from kerma_runner.worker.settings import WorkerSettings
    from kerma_sandbox.confinement import Exit
    from kerma_sandbox.launcher import Confined, Launcher

T = TypeVar("T")
MESSAGE_BYTES = 1024
RETRY_SECONDS = 1.0
DRAIN_SECONDS = 2.0
"""How long to wait for output that an engine wrote before it ended."""

_FOR_WANT_OF_ROOM = frozenset(
    {"EXIT_CODE", "SIGNAL", "INPUT_REFUSED", "BAD_OUTPUT", "WORKER_FAULT"}
)
"""Failures that a full disk can cause."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """What all attempts of a worker share."""

    settings: WorkerSettings
    blobs: BlobStore
    confined: ConfinedEngines
    versions: Mapping[str, str]
    launcher: Launcher
    scratch: Scratch


@dataclass(slots=True)
class Attempt:
    """One run of a task under one lease.

    ``started`` is awaited once the engine runs, ``on_progress`` is called with every progress, and
    ``engine_gone`` is set when no engine of the attempt runs or will run, and ``over`` when only
    the report is left to be sent.
    """

    granted: Granted
    worker: str
    context: AttemptContext
    started: Callable[[], Coroutine[Any, Any, None]]
    on_progress: Callable[[Progress], None]
    stop_reason: Stop | None = None
    engine_gone: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    engine_ran: bool = False
    _overrun: Failed | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _out: logs.HeadAndTail = field(default_factory=logs.HeadAndTail)
    _err: logs.HeadAndTail = field(default_factory=logs.HeadAndTail)
    _engine_logs: dict[str, str] = field(default_factory=dict)
    _about: str = ""

    def stop(self, reason: Stop) -> None:
        """End the attempt. The first reason stands, except that DROP overrides every other."""
        if self.stop_reason is None or reason is Stop.DROP:
            self.stop_reason = reason
        self._stop.set()

    async def run(self) -> Report | None:
        """Run the attempt and return its report, or None when the runner wants none.

        Clean up always.

        Raises GuardLost. Any other error ends only this attempt, with WORKER_FAULT.
        """
        try:
            return await self._run()
        except Exception as error:
            if is_guard_lost(error):
                raise
            if isinstance(error, OSError) and await self._lacks_room():
                return self._handed_back()
            _log.exception("attempt faulted", extra={"job": self.granted.held.job_id})
            return await self._faulted(error)
        finally:
            self.engine_gone.set()
            self.over.set()

    async def _run(self) -> Report | None:
        granted = self.granted
        job = (granted.held.job_id, granted.engine, granted.input_ref)
        async with self.context.confined.session(job) as session:
            try:
                return await self._report(session)
            finally:
                self.engine_gone.set()

    async def _faulted(self, error: Exception) -> Report | None:
        """Return the report of an attempt that ended with an unexpected error."""
        if self._stop.is_set():
            return self._stopped()
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        message = self._explain(f"the worker failed: {type(error).__name__}: {error}")
        log = None
        # storing the logs may be what failed; the report matters more
        with suppress(Exception):
            log = await self._store_logs()
        failure = Failure("WORKER_FAULT", message, log)
        return Report(self.worker, self.granted.held, failure=failure)

    async def _report(self, session: Session) -> Report | None:
        worker, held = self.worker, self.granted.held
        try:
            output, cpu_seconds = await self._simulate(session)
            log = await self._store_logs()
            success = Success(output, log, self.granted.primaries, cpu_seconds)
            return Report(worker, held, success=success)
        except Failed as failed:
            if failed.code in _FOR_WANT_OF_ROOM and await self._lacks_room(session.work):
                return self._handed_back()
            message = self._explain(failed.message)
            try:
                log = await self._store_logs()
            except Stopped:
                return self._stopped()
            return Report(worker, held, failure=Failure(failed.code, message, log))
        except Stopped:
            return self._stopped()

    async def _lacks_room(self, directory: Path | None = None) -> bool:
        """Return whether the scratch is out of space even when ``directory`` has been removed."""
        scratch, settings = self.context.scratch, self.context.settings
        if await asyncio.to_thread(scratch.lacks, settings.reserve) is None:
            return False
        free = scratch.free()
        if directory is None or free >= settings.reserve:
            return True
        own = await asyncio.to_thread(usage, directory, settings.task_files)
        return free + own.size < settings.reserve

    def _handed_back(self) -> Report | None:
        """Return a report that hands the task back: lacking space here is not the task's fault."""
        _log.warning("handed back for want of room", extra={"job": self.granted.held.job_id})
        self.stop(Stop.RELEASE)
        return self._stopped()

    def _stopped(self) -> Report | None:
        worker, held = self.worker, self.granted.held
        match self.stop_reason:
            case Stop.CANCEL:
                return Report(worker, held, canceled=True)
            case Stop.RELEASE:
                return Report(worker, held, released=True)
        return None

    def _explain(self, summary: str) -> str:
        head = summary.encode("utf-8", "replace")[:MESSAGE_BYTES].decode("utf-8", "ignore")
        room = MESSAGE_BYTES - len(head.encode()) - 1
        tail = self._err.end(room).strip() if room > 0 else ""
        return f"{head}\n{tail}" if tail else head

    async def _simulate(self, session: Session) -> tuple[Ref, float]:
        engine = self.context.confined.engines.get(self.granted.engine)
        if engine is None:
            raise Failed("UNKNOWN_ENGINE", f"this worker has no engine {self.granted.engine!r}")
        if session.engine is None:
            session.engine, session.inputs = engine, await self._inputs()
        try:
            command = await self._prepare(session)
        finally:
            self._about = self._describe(session.stands_in_for)
        process = await self._spawn(command, session)
        self.engine_ran = True
        try:
            with span(f"engine {self.granted.engine}"):
                ended = await self._follow(process, engine, command, session.work)
        finally:
            self.engine_gone.set()
            self._engine_logs = await asyncio.to_thread(logs.log_files, session.work, command.logs)
        if ended.left:
            session.reusable = False
        self._require_success(ended, command.refusal)
        return await self._collect(session, command), ended.cpu_seconds

    def _describe(self, stands_in_for: str) -> str:
        granted, version = self.granted, self.context.versions.get(self.granted.engine, "")
        instead = f" in place of {stands_in_for}" if stands_in_for else ""
        return (
            f"engine {granted.engine} {version}{instead} on worker {self.worker}: "
            f"{granted.primaries} primaries, seed {granted.seed}, attempt {granted.attempt}\n"
        )

    async def _inputs(self) -> bytes:
        return await self._until_answered(lambda: self.context.blobs.get(self.granted.input_ref))

    async def _prepare(self, session: Session) -> Command:
        """Write the task's files. Raises Failed, Stopped."""
        granted = self.granted
        preparing = session.prepare(primaries=granted.primaries, seed=granted.seed)
        try:
            return await self._unless_stopped(preparing)
        except Refused as error:
            raise Failed("BAD_INPUT", str(error)) from None
        except Exceeded as error:
            raise Failed("PREPARE_LIMIT", f"the task cannot be prepared: {error}") from None
        except CallFailed as error:
            raise Failed("WORKER_FAULT", f"the task cannot be prepared: {error}") from None

    async def _spawn(self, command: Command, session: Session) -> Confined:
        if self._stop.is_set():
            raise Stopped
        launcher = self.context.launcher
        env = engine_environment(os.environ, session.work, command.env)
        try:
            confinement = session.confinement(command, env, launcher.sandbox.private)
            return await launcher.spawn(command.argv, env=env, confinement=confinement)
        except (OSError, ValueError) as error:
            raise Failed("WORKER_FAULT", f"the engine cannot be started: {error}") from None

    async def _follow(
        self, process: Confined, engine: Engine, command: Command, directory: Path
    ) -> Exit:
        """Read the engine's output until no process of it is left, whatever ends it."""
        monitor, settings = engine.monitor(self.granted.primaries), self.context.settings
        on_stdout = monitor if command.watch is None else None
        async with asyncio.TaskGroup() as group:
            streams = (
                group.create_task(
                    logs.keep_stream(process.stdout, self._out, on_stdout, self.on_progress)
                ),
                group.create_task(
                    logs.keep_stream(process.stderr, self._err, None, self.on_progress)
                ),
            )
            wall = watches.wall_time(settings.wall_seconds)
            stall = watches.stall(lambda: process.cpu_seconds, settings.stall_seconds)
            room = watches.room(process.pid, directory, settings)
            watchers = [
                group.create_task(self.started()),
                group.create_task(self._end_on_stop(process)),
                group.create_task(self._end_on(process, wall, settings.grace_seconds)),
                group.create_task(self._end_on(process, stall, 0.0)),
                group.create_task(self._end_on(process, room, 0.0)),
            ]
            if command.watch is not None:
                watch = logs.watch_file(directory, command.watch, monitor, self.on_progress)
                watchers.append(group.create_task(watch))
            try:
                ended = await process.wait()
                # a process that escaped the guard may hold the pipes open for ever
                await asyncio.wait(streams, timeout=DRAIN_SECONDS)
            finally:
                process.signal(signal.SIGKILL)
                for task in (*watchers, *streams):
                    task.cancel()
        if self._stop.is_set():
            raise Stopped
        if self._overrun is not None:
            raise self._overrun
        return ended

    async def _end_on_stop(self, process: Confined) -> None:
        await self._stop.wait()
        # only after a cancellation may someone want what an engine writes at its end
        patient = self.stop_reason is Stop.CANCEL
        await process.stop(self.context.settings.grace_seconds if patient else 0.0)

    async def _end_on(
        self, process: Confined, watch: Coroutine[Any, Any, Failed], grace_seconds: float
    ) -> None:
        self._overrun = await watch
        await process.stop(grace_seconds)

    def _require_success(self, ended: Exit, refusal: int | None) -> None:
        if (
            limit := exceeded(ended, self._err.end(MESSAGE_BYTES), self.context.settings)
        ) is not None:
            raise Failed(*limit)
        if ended.code < 0:
            raise Failed("SIGNAL", f"the engine was killed by {signal_name(-ended.code)}")
        if ended.code > 0 and ended.code == refusal:
            raise Failed("INPUT_REFUSED", "the engine refuses its input")
        if ended.code > 0:
            raise Failed("EXIT_CODE", f"the engine ended with exit code {ended.code}")

    async def _collect(self, session: Session, command: Command) -> Ref:
        """Check the results and store them as a stream of pieces."""
        settings, directory = self.context.settings, session.work
        kept = session.kept / "results"
        try:
            taken = await asyncio.to_thread(_taken, directory, command, kept, settings)
            await self._check(session, kept)
            pieces = partial(pack_outputs, kept, taken)
            return await self._until_answered(lambda: self.context.blobs.put(pieces, OUTPUT_MEDIA))
        except OutputsTooLarge as error:
            reason = f"{error.reason}, the limit KERMA_WORKER_OUTPUT_BYTES"
            raise Failed("OUTPUT_LIMIT", reason) from None
        except Exceeded as error:
            raise Failed("READ_LIMIT", f"the results cannot be read: {error}") from None
        except (EngineError, Refused) as error:
            raise Failed("BAD_OUTPUT", f"the results cannot be read: {error}") from None
        except CallFailed as error:
            raise Failed("WORKER_FAULT", f"the results cannot be read: {error}") from None

    async def _check(self, session: Session, kept: Path) -> None:
        """Raise Failed for incomplete results, Stopped when the attempt is stopped meanwhile."""
        found = await self._unless_stopped(session.estimators(kept))
        short = [name for name, primaries in found if primaries != self.granted.primaries]
        if not found or short:
            raise Failed("BAD_OUTPUT", f"results are missing or incomplete: {', '.join(short)}")

    async def _unless_stopped(self, call: Coroutine[Any, Any, T]) -> T:
        """Return the result of a call. Raises Stopped when the attempt is stopped meanwhile."""
        calling = asyncio.ensure_future(call)
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({calling, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not calling.done():
                raise Stopped
            return calling.result()
        finally:
            stopping.cancel()
            calling.cancel()
            # also when it fails in the meantime, which is nobody's business any more
            await asyncio.gather(calling, return_exceptions=True)

    async def _store_logs(self) -> Ref | None:
        texts = {
            "run.log": self._about,
            "stdout.log": self._out.text(),
            "stderr.log": self._err.text(),
        }
        body = await asyncio.to_thread(logs.encode_logs, {**texts, **self._engine_logs})
        if body == b"{}":
            return None
        return await self._until_answered(lambda: self.context.blobs.put(body, logs.LOG_MEDIA))

    async def _until_answered(self, action: Callable[[], Awaitable[T]]) -> T:
        """Retry until the blob store answers; heartbeats hold the lease meanwhile.

        Raises Stopped.
        """
        while not self._stop.is_set():
            try:
                return await action()
            except Unavailable:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_SECONDS):
                        await self._stop.wait()
            except KermaError as error:
                raise Failed("BLOB_FAULT", error.message) from None
        raise Stopped


def _taken(
    directory: Path, command: Command, kept: Path, settings: WorkerSettings
) -> tuple[Taken, ...]:
    """Move the results into ``kept``. Raises Failed for a work folder that is too large."""
    failed = watches.exceeded(directory, settings)
    if failed is not None:
        raise failed
    return take_outputs(directory, command.results, kept, settings.output_bytes)
