"""The runner service on real servers, with workers as child processes, for tests."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import psutil
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_allinone.infrastructure import open_infra
from kerma_common.blobs.store import BlobStore
from kerma_common.bus.faststream import EdgeBroker
from kerma_common.contracts.envelope import Meta, make_commit
from kerma_common.contracts.events import jobs
from kerma_common.contracts.ids import SEED_RULE, commit_id, job_id
from kerma_common.contracts.subjects import job_subject, task_subject
from kerma_common.eventlog.port import EventLog
from kerma_common.infra import ALL_ROLES, Infra
from kerma_common.service import Service
from kerma_common.settings import BlobSettings, HttpSettings, NatsSettings, PgSettings
from kerma_runner.app.task_sets import TaskSets
from kerma_runner.domain.task import Task
from kerma_runner.main import build
from kerma_runner.read.models import TASK as TASK_ROWS
from kerma_runner.settings import RunnerSettings
from kerma_sandbox.files import removal
from kit.events.tasks import end
from kit.programs.family import engines_in
from kit.running.worlds.services import prepare

WORKER: tuple[str, ...] = (str(Path(__file__).parents[2] / "programs" / "script_worker.py"),)
"""Arguments of the interpreter for a worker."""

SHORT_LEASE = 3.0
HEARTBEAT_SECONDS = 0.3
"""Ten heartbeats may be late before a lease of ``SHORT_LEASE`` ends."""

PATIENCE = 90.0
"""Bound of every wait in seconds: reached only if a condition never becomes true."""

_SCHEMAS = ("runner", "runner_process")
_NO_LOOPS = {"identity", "edge", "positions", "catch-up", "probes", "connections"}
"""Background tasks beside the loops."""


@dataclass
class Worker:
    """A worker process."""

    process: subprocess.Popen[bytes]
    scratch: Path

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    async def terminate(self, within: float = PATIENCE) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, within)

    def peak_memory(self) -> int:
        """Return the peak memory of the worker itself in bytes, without its children."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (told,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
        return int(told) << 10

    def engines(self) -> list[psutil.Process]:
        """Return processes that work below this worker's scratch folder, except Kerma's own."""
        found = []
        for process in engines_in(self.scratch):
            try:
                if process.cwd().startswith(str(self.scratch)):
                    found.append(process)
            except psutil.Error:
                continue
        return found


@dataclass
class Running:
    """A started runner, and what a test needs to talk to it."""

    infra: Infra
    service: Service
    folder: Path
    nats_url: str
    workers: list[Worker] = field(default_factory=list)

    @property
    def db(self) -> AsyncEngine:
        return self.infra.db

    @property
    def broker(self) -> EdgeBroker:
        """Return a broker that sends requests as a worker does."""
        return EdgeBroker(self.infra.nats)

    @property
    def log(self) -> EventLog:
        return self.infra.log

    @property
    def blobs(self) -> BlobStore:
        return self.infra.blobs

    def start_worker(
        self,
        slots: int = 2,
        engines: Sequence[str] = ("script",),
        within: Sequence[str] = (),
        **settings: object,
    ) -> Worker:
        """Start a worker by the command ``within``; ``settings`` are those of ``WorkerSettings``.

        Its engines run without a sandbox unless asked for: tests control them through files.
        """
        scratch = self.folder / f"scratch-{len(self.workers)}"
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "KERMA_NATS_URL": self.nats_url,
            "KERMA_BLOB_URL": f"file://{self.folder}/blobs",
            "KERMA_WORKER_SLOTS": str(slots),
            "KERMA_WORKER_SCRATCH": str(scratch),
            "KERMA_WORKER_SANDBOX": "off",
            **{f"KERMA_WORKER_{k.upper()}": str(v) for k, v in settings.items()},
        }
        command = [*within, sys.executable, *WORKER, *engines]
        worker = Worker(subprocess.Popen(command, env=env), scratch)
        self.workers.append(worker)
        return worker

    async def submit(
        self,
        body: bytes,
        n_tasks: int = 1,
        *,
        primaries: int = 1000,
        engine: str = "script",
        max_attempts: int = 3,
        owner: str = "ada",
        placement: str = "pool",
    ) -> str:
        """Record that a job was started, as the jobs service does; return its id."""
        job = job_id(datetime.now(UTC), uuid4(), "DIRECT")
        ref = await self.blobs.put(body)
        await self.record(
            jobs.JobStarted(
                job_id=job,
                owner=owner,
                engine=engine,
                input_ref=ref,
                primaries=primaries,
                n_tasks=n_tasks,
                max_attempts=max_attempts,
                placement=placement,
                seed_rule=SEED_RULE,
            )
        )
        return job

    async def record(self, event: Any) -> None:
        """Append an event of a job."""
        subject = job_subject(event.job_id)
        expected = await self.log.last_seq(subject)
        cause = commit_id("test", str(uuid4()))
        meta = Meta("user:test", "Test", cause, "jobs")
        commit = make_commit(cause, "job", event.job_id, 1, meta, (event,), datetime.now(UTC))
        await self.log.append(subject, expected, commit)

    async def leads(self) -> bool:
        """Return whether every loop of the service leads."""
        led = [f"SELECT name FROM {schema}.lease WHERE until > now()" for schema in _SCHEMAS]
        async with self.db.connect() as conn:
            found = set(await conn.scalars(text(" UNION ALL ".join(led))))
        return found == {name for name, _ in self.service.background} - _NO_LOOPS

    async def cancel(self, job: str) -> None:
        """Record that the user cancelled a job."""
        await self.record(jobs.JobCancellationRequested(job_id=job, by="ada", collect=False))

    async def task(self, job: str, index: int = 0) -> Task:
        """Return a task's state according to the log."""
        task = await TaskSets(self.infra.bus, self.log).task(job, index)
        state, _ = await self.infra.bus.state(task, task_subject(job, index))
        return state

    async def story(self, job: str, index: int = 0) -> list[Any]:
        """Return the events of a task."""
        history = await self.log.load(task_subject(job, index))
        return [event.decode() for r in history for event in r.commit.events]

    async def rows(self, job: str) -> Sequence[Any]:
        query = select(TASK_ROWS).where(TASK_ROWS.c.job_id == job).order_by(TASK_ROWS.c.index)
        async with self.db.connect() as conn:
            return (await conn.execute(query)).all()

    async def until(self, job: str, *states: str, n: int = 1, within: float = PATIENCE) -> None:
        """Wait until ``n`` tasks of the job are in one of ``states``, in the queue's rows."""

        async def reached() -> bool:
            return sum(row.state in states for row in await self.rows(job)) >= n

        await eventually(reached, within)

    async def log_texts(self, ref: Any) -> dict[str, str]:
        texts: dict[str, str] = orjson.loads(await self.blobs.get(ref))
        return texts


async def eventually(condition: Callable[[], Any], within: float = PATIENCE) -> None:
    """Wait for a condition that nothing announces to a test."""
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running_runner(
    nats_url: str, postgres_url: str, folder: Path, **settings: Any
) -> AsyncIterator[Running]:
    """Run a runner with its streams and its schema; end it with every worker it started."""
    async with AsyncExitStack() as stack:
        await prepare(nats_url)
        infra = await stack.enter_async_context(
            open_infra(
                "runner",
                "kerma_runner",
                ALL_ROLES,
                nats=NatsSettings(url=nats_url),
                postgres=PgSettings(url=postgres_url),
                blobs=BlobSettings(url=f"file://{folder}/blobs"),
            )
        )
        service = build(HttpSettings(), infra, RunnerSettings(**settings))
        running = Running(infra, service, folder, nats_url)
        stack.callback(_end_workers, running)
        group = await stack.enter_async_context(_group())
        for _, work in service.background:
            group.append(asyncio.ensure_future(work()))
        # A test that ends while connections are being opened would leave them half open, and the
        # server waits a minute for those before it drops their database.
        await eventually(running.leads)
        yield running
        failed = [task for task in group if task.done()]
        assert not failed, failed[0].exception()


def _end_workers(running: Running) -> None:
    for worker in running.workers:
        worker.kill()
        # pytest can't remove what a killed worker leaves of a tree deeper than Python recurses
        trash = running.folder / "removed"
        if worker.scratch.exists():
            removal.move_aside(worker.scratch, trash)
            removal.empty(trash)


@asynccontextmanager
async def _group() -> AsyncIterator[list[asyncio.Future[None]]]:
    tasks: list[asyncio.Future[None]] = []
    try:
        yield tasks
    finally:
        await end(tasks)


def names(story: list[object]) -> list[str]:
    return [type(e).__name__ for e in story]


async def as_expected(found: Coroutine[Any, Any, object], expected: object) -> bool:
    return await found == expected
