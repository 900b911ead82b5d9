"""One lease on a worker: from the input blob to the report of how it ended."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kerma_common.contracts.rpc_runner import Failure, Granted, Report, Success
from kerma_common.errors import KermaError, Unavailable
from kerma_engines.adapter.environment import engine_environment
from kerma_engines.adapter.packing import OUTPUT_MEDIA, decode_inputs, pack_outputs
from kerma_engines.errors import EngineError, InvalidInput
from kerma_runner.worker import logs
from kerma_runner.worker.confining import confinement, exceeded
from kerma_sandbox.launcher import is_guard_lost

if TYPE_CHECKING:
    from kerma_common.blobs.store import BlobStore
    from kerma_common.contracts.refs import Ref
    from kerma_engines.adapter.port import Command, Engine, InputSet, Progress
    from kerma_runner.worker.scratch import Scratch
    from kerma_runner.worker.settings import WorkerSettings
    from kerma_sandbox.confinement import Exit
    from kerma_sandbox.launcher import Confined, Launcher

T = TypeVar("T")
MESSAGE_BYTES = 1024
RETRY_SECONDS = 1.0
_STALL_CHECKS = 10
_BUSY_SHARE = 0.001
_log = logging.getLogger(__name__)


class Stop(StrEnum):
    """Why an attempt is ended from outside."""

    CANCEL = "CANCEL"  # the user's wish: to be confirmed
    DROP = "DROP"  # the lease is over: nobody wants to hear of it
    RELEASE = "RELEASE"  # the worker shuts down: somebody else may have the task


class Failed(Exception):  # noqa: N818 - an outcome
    """The attempt failed with a stable code and a sentence for the user."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


class Stopped(Exception):  # noqa: N818 - an outcome
    """The attempt was told to stop, and nothing of it is left."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every attempt of a worker works with."""

    settings: WorkerSettings
    blobs: BlobStore
    engines: Mapping[str, Engine]
    versions: Mapping[str, str]
    launcher: Launcher
    scratch: Scratch


@dataclass(slots=True)
class Attempt:
    """``started`` is awaited once the engine runs, ``told`` called with every progress, and
    ``engine_gone`` set when no engine of the attempt runs or will run.
    """

    granted: Granted
    worker: str
    bench: Bench
    started: Callable[[], Coroutine[Any, Any, None]]
    told: Callable[[Progress], None]
    stop_reason: Stop | None = None
    engine_gone: asyncio.Event = field(default_factory=asyncio.Event)
    _overrun: Failed | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _out: logs.Kept = field(default_factory=logs.Kept)
    _err: logs.Kept = field(default_factory=logs.Kept)
    _engine_logs: dict[str, str] = field(default_factory=dict)
    _about: str = ""

    def stop(self, reason: Stop) -> None:
        """End the attempt; a first reason stands, except that dropping overrules all."""
        if self.stop_reason is None or reason is Stop.DROP:
            self.stop_reason = reason
        self._stop.set()

    async def run(self) -> Report | None:
        """How the lease ended; None when nobody wants to know. Nothing is left behind.

        Raises GuardLost. Whatever else goes wrong ends this attempt alone, as WORKER_FAULT.
        """
        try:
            return await self._run()
        except Exception as error:
            if is_guard_lost(error):
                raise
            _log.exception("attempt faulted", extra={"job": self.granted.held.job_id})
            return await self._faulted(error)
        finally:
            self.engine_gone.set()

    async def _run(self) -> Report | None:
        directory = await asyncio.to_thread(
            self.bench.scratch.work_directory, self.granted.held.index
        )
        try:
            return await self._report(directory)
        finally:
            self.engine_gone.set()
            await asyncio.to_thread(self.bench.scratch.remove, directory)

    async def _faulted(self, error: Exception) -> Report | None:
        """What is reported of an attempt that ended as nobody foresaw."""
        if self._stop.is_set():
            return self._stopped()
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        message = self._explain(f"the worker failed: {type(error).__name__}: {error}")
        log = None
        # the logs may be what it failed on; the report is worth more
        with suppress(Exception):
            log = await self._store_logs()
        failure = Failure("WORKER_FAULT", message, log)
        return Report(self.worker, self.granted.held, failure=failure)

    async def _report(self, directory: Path) -> Report | None:
        worker, held = self.worker, self.granted.held
        try:
            output, cpu_seconds = await self._simulate(directory)
            log = await self._store_logs()
            success = Success(output, log, self.granted.primaries, cpu_seconds)
            return Report(worker, held, success=success)
        except Failed as failed:
            message = self._explain(failed.message)
            try:
                log = await self._store_logs()
            except Stopped:
                return self._stopped()
            return Report(worker, held, failure=Failure(failed.code, message, log))
        except Stopped:
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

    async def _simulate(self, directory: Path) -> tuple[Ref, float]:
        engine = self.bench.engines.get(self.granted.engine)
        if engine is None:
            raise Failed("UNKNOWN_ENGINE", f"this worker has no engine {self.granted.engine!r}")
        inputs = await self._inputs()
        self._about = self._describe(inputs)
        command = await self._prepare(engine, inputs, directory)
        process = await self._spawn(command, directory)
        try:
            ended = await self._follow(process, engine, command, directory)
        finally:
            self.engine_gone.set()
            self._engine_logs = await asyncio.to_thread(logs.log_files, directory, command.logs)
        self._require_success(ended)
        output = await self._collect(engine, inputs, command, directory)
        return output, ended.cpu_seconds

    def _describe(self, inputs: InputSet) -> str:
        granted, version = self.granted, self.bench.versions.get(self.granted.engine, "")
        instead = f" in place of {inputs.stands_in_for}" if inputs.stands_in_for else ""
        return (
            f"engine {granted.engine} {version}{instead} on worker {self.worker}: "
            f"{granted.primaries} primaries, seed {granted.seed}, attempt {granted.attempt}\n"
        )

    async def _inputs(self) -> InputSet:
        body = await self._insist(lambda: self.bench.blobs.get(self.granted.input_ref))
        try:
            return decode_inputs(body)
        except (ValueError, KeyError, TypeError) as error:
            raise Failed("BAD_INPUT", f"the input set is not one: {error!r}") from None

    async def _prepare(self, engine: Engine, inputs: InputSet, directory: Path) -> Command:
        granted = self.granted
        try:
            return await asyncio.to_thread(
                engine.prepare,
                inputs,
                directory,
                primaries=granted.primaries,
                seed=granted.seed,
            )
        except InvalidInput as error:
            raise Failed("BAD_INPUT", str(error)) from None
        except OSError as error:
            raise Failed("WORKER_FAULT", f"no work directory: {error.strerror}") from None

    async def _spawn(self, command: Command, directory: Path) -> Confined:
        if self._stop.is_set():
            raise Stopped
        settings = self.bench.settings
        env = engine_environment(os.environ, directory, command.env)
        try:
            return await self.bench.launcher.spawn(
                command.argv,
                env=env,
                confinement=confinement(command, env, directory, settings),
            )
        except (OSError, ValueError) as error:
            raise Failed("WORKER_FAULT", f"the engine cannot be started: {error}") from None

    async def _follow(
        self, process: Confined, engine: Engine, command: Command, directory: Path
    ) -> Exit:
        """Listen to the engine until nothing of it is left, whatever ends it."""
        monitor = engine.monitor(self.granted.primaries)
        on_stdout = monitor if command.watch is None else None
        async with asyncio.TaskGroup() as group:
            streams = (
                group.create_task(
                    logs.keep_stream(process.stdout, self._out, on_stdout, self.told)
                ),
                group.create_task(logs.keep_stream(process.stderr, self._err, None, self.told)),
            )
            watchers = [
                group.create_task(self.started()),
                group.create_task(self._end_on_stop(process)),
                group.create_task(self._end_on_wall_time(process)),
                group.create_task(self._end_on_stall(process)),
            ]
            if command.watch is not None:
                watch = logs.watch_file(directory, command.watch, monitor, self.told)
                watchers.append(group.create_task(watch))
            try:
                ended = await process.wait()
                await asyncio.wait(streams)
            finally:
                process.signal(signal.SIGKILL)
                for watcher in watchers:
                    watcher.cancel()
        if self._stop.is_set():
            raise Stopped
        if self._overrun is not None:
            raise self._overrun
        return ended

    async def _end_on_stop(self, process: Confined) -> None:
        await self._stop.wait()
        # only a user who cancels may want what an engine writes at its end
        patient = self.stop_reason is Stop.CANCEL
        await process.stop(self.bench.settings.grace_seconds if patient else 0.0)

    async def _end_on_wall_time(self, process: Confined) -> None:
        limit = self.bench.settings.wall_seconds
        await asyncio.sleep(limit)
        self._overrun = Failed("WALL_TIME", f"the engine ran longer than {limit:g} s")
        await process.stop(self.bench.settings.grace_seconds)

    async def _end_on_stall(self, process: Confined) -> None:
        limit = self.bench.settings.stall_seconds
        used, since = 0.0, time.monotonic()
        while time.monotonic() - since < limit:
            await asyncio.sleep(limit / _STALL_CHECKS)
            seen = process.cpu_seconds
            if abs(seen - used) > _BUSY_SHARE * limit:
                used, since = seen, time.monotonic()
        self._overrun = Failed("STALLED", f"the engine used no processor for {limit:g} s")
        await process.stop(0.0)

    def _require_success(self, ended: Exit) -> None:
        if (
            limit := exceeded(ended, self._err.end(MESSAGE_BYTES), self.bench.settings)
        ) is not None:
            raise Failed(*limit)
        if ended.code < 0:
            name = signal.Signals(-ended.code).name
            raise Failed("SIGNAL", f"the engine was killed by {name}")
        if ended.code > 0:
            raise Failed("EXIT_CODE", f"the engine ended with exit code {ended.code}")

    async def _collect(
        self, engine: Engine, inputs: InputSet, command: Command, directory: Path
    ) -> Ref:
        try:
            estimators = await asyncio.to_thread(engine.read, directory, inputs)
        except (EngineError, OSError, ValueError) as error:
            raise Failed("BAD_OUTPUT", f"the results cannot be read: {error}") from None
        short = [e.name for e in estimators if e.primaries != self.granted.primaries]
        if not estimators or short:
            raise Failed("BAD_OUTPUT", f"results are missing or incomplete: {', '.join(short)}")
        target = directory / ".kerma-output.tar"
        await asyncio.to_thread(pack_outputs, directory, command.results, target)
        return await self._insist(lambda: self.bench.blobs.put(target, OUTPUT_MEDIA))

    async def _store_logs(self) -> Ref | None:
        texts = {
            "run.log": self._about,
            "stdout.log": self._out.text(),
            "stderr.log": self._err.text(),
        }
        body = logs.encode_logs({**texts, **self._engine_logs})
        if body == b"{}":
            return None
        return await self._insist(lambda: self.bench.blobs.put(body, logs.LOG_MEDIA))

    async def _insist(self, action: Callable[[], Awaitable[T]]) -> T:
        """Until the blob store answers: the lease is held meanwhile. Raises Stopped."""
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
