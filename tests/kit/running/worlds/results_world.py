"""The results service on real NATS and PostgreSQL, with events as jobs and runner write them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from nats.aio.client import Client
from pydantic import SecretStr
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from kerma_common.blobs.store import BlobStore, open_blobs
from kerma_common.clock import system_clock
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.consistency import Positions
from kerma_common.contracts import registry
from kerma_common.contracts.envelope import Meta, make_commit
from kerma_common.contracts.events import jobs, runner
from kerma_common.contracts.ids import commit_id
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import (
    Subject,
    job_subject,
    result_set_subject,
    task_loss_subject,
    task_subject,
)
from kerma_common.db.engine import create_engine
from kerma_common.db.migrations import migrate
from kerma_common.db.reads import Reads, open_reads
from kerma_common.errors import Forbidden
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.port import EventLog
from kerma_common.eventlog.streams import apply_streams
from kerma_common.http.policy import Principal
from kerma_common.infra import ALL_ROLES, Infra
from kerma_common.nats import connection
from kerma_common.projection.rebuild import Compared, ensure_read_models, rebuild
from kerma_common.projection.router import Projection
from kerma_common.security.follower import Follower
from kerma_common.security.identity import Identity
from kerma_common.service import Service
from kerma_common.settings import BlobSettings, HttpSettings, PgSettings
from kerma_engines.adapter.packing import OUTPUT_MEDIA, encode_inputs
from kerma_engines.adapter.port import InputSet, Output
from kerma_results.adapters.fragment_rows import FragmentRows
from kerma_results.main import MIGRATED, build
from kerma_results.read.models import METADATA
from kerma_results.read.project import RESULTS
from kit.events.projecting import running
from kit.events.tasks import settled
from kit.programs.tally import OUTPUTS, PAGES, engines, task_output
from kit.running.worlds.services import readable

NOW = datetime(2026, 8, 1, 10, 15, tzinfo=UTC)
OWNER = "user-1"
SCHEMA = "results"


async def verifier(token: str) -> Principal:
    """Accept user ids as tokens."""
    if token == "void":
        raise Forbidden("The token is void")
    return Principal(token, "session")


@dataclass(slots=True)
class World:
    """The environment of a results service, and the actions of jobs and runner on it."""

    nats: Client
    log: EventLog
    db: AsyncEngine
    reads: Reads
    blobs: BlobStore
    folder: Path
    lengths: dict[str, int] = field(default_factory=dict)

    async def record(self, *events: Any, after: Mapping[str, int] | None = None) -> int:
        """Append events of one aggregate as one commit, as another service would."""
        subject = _subject(events[0])
        expected = await self.log.last_seq(subject)
        cause = commit_id("test", str(subject), str(expected))
        meta = Meta("user:test", "Test", "story", subject.context, after=after or {})
        commit = make_commit(cause, subject.aggregate, subject.id, 1, meta, events, NOW)
        seq = (await self.log.append(subject, expected, commit)).seq
        self.lengths[subject.stream] = seq
        return seq

    async def submit(
        self,
        job_id: str,
        n_tasks: int = 2,
        engine: str = "tally",
        *,
        names: Sequence[str] = OUTPUTS,
        pages: int = PAGES,
        owner: str = OWNER,
        platform: str = "DIRECT",
    ) -> int:
        """Submit a job whose outputs are those of the test engine; return the position."""
        outputs = tuple(Output(name, name, f"{name}.npy") for name in names)
        inputs = InputSet("tally", {}, 10 * n_tasks, outputs, {"pages": pages})
        submitted = jobs.JobSubmitted(
            job_id=job_id,
            owner=owner,
            title="water",
            platform=platform,
            sim_type="tally",
            engine=engine,
            engine_version="1",
            input_kind="editor",
            input_ref=await self.blobs.put(encode_inputs(inputs)),
            project_ref=None,
            primaries=10 * n_tasks,
            n_tasks=n_tasks,
            max_attempts=3,
            allow_partial=True,
        )
        return await self.record(submitted)

    async def succeed(
        self,
        job_id: str,
        index: int,
        output: bytes | None = None,
        log: Ref | None = None,
        **of: Any,
    ) -> None:
        """Record that a task of ``index + 10`` primaries succeeded."""
        primaries = index + 10
        body = output or task_output(self.folder, index, primaries=primaries, **of)
        succeeded = runner.TaskSucceeded(
            job_id=job_id,
            index=index,
            lease=1,
            attempt=1,
            output_ref=await self.blobs.put(body, OUTPUT_MEDIA),
            log_ref=log,
            primaries=primaries,
            cpu_seconds=1.0,
        )
        await self.record(succeeded)

    async def fail(
        self,
        job_id: str,
        index: int,
        attempt: int,
        log: Ref | None,
        message: str = "exit code 1",
    ) -> None:
        """Record that an attempt of a task failed."""
        failed = runner.TaskFailed(
            job_id=job_id,
            index=index,
            lease=attempt,
            attempt=attempt,
            code="EXIT",
            message=message,
            log_ref=log,
            final=attempt == 3,
        )
        await self.record(failed)

    async def request_merge(self, job_id: str, n_tasks: int, succeeded: int) -> int:
        """Record that the job requests its results; return the position of the request."""
        requested = jobs.JobMergeRequested(
            job_id=job_id,
            owner=OWNER,
            n_tasks=n_tasks,
            succeeded=succeeded,
            partial=succeeded < n_tasks,
        )
        return await self.record(requested, after={"RUNNER": self.lengths.get("RUNNER", 0)})

    async def until(self, job_id: str, *classes: type) -> list[Any]:
        """Return the events of the result set once one of ``classes`` is among them."""
        async with self.log.follow("RESULTS", 0) as batches:
            async for batch in batches:
                for record in batch:
                    if record.commit.aggregate_id == job_id and any(
                        e.type == cls.__name__ for e in record.commit.events for cls in classes
                    ):
                        return await self.history(job_id)
        raise AssertionError("the log ended")

    async def history(self, job_id: str) -> list[Any]:
        """Return the events of the result set."""
        found = await self.log.load(result_set_subject(job_id))
        return [event.decode() for record in found for event in record.commit.events]

    @asynccontextmanager
    async def service(
        self,
        *,
        blobs: BlobStore | None = None,
        log: EventLog | None = None,
        roles: frozenset[str] = ALL_ROLES,
    ) -> AsyncIterator[Running]:
        """Run the service, or a part of it, as after a process start."""
        positions = Positions("results", self.db, self.nats)
        identity = Identity()
        infra = Infra(
            "results",
            self.nats,
            log or self.log,
            CommandBus(log or self.log, "results"),
            self.db,
            blobs or self.blobs,
            positions,
            verifier,
            system_clock,
            self.reads,
            self.reads.connections,
            roles,
            identity=identity,
            background=(("identity", Follower(identity, self.log, self.nats, "results").run),),
        )
        service = build(HttpSettings(), infra, engines)
        async with running(*(work() for _, work in service.background)):
            yield Running(service, infra, positions, self.log)

    async def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows of the read model by table, in key order."""
        async with self.db.connect() as connection:
            return {
                table.name: [
                    tuple(row)
                    for row in await connection.execute(select(table).order_by(*table.primary_key))
                ]
                for table in METADATA.sorted_tables
            }

    async def reset(self) -> None:
        """Drop the read model; the log, the blobs and the processes' states stay."""
        async with self.db.begin() as connection:
            await connection.execute(text(f"DROP SCHEMA {SCHEMA} CASCADE"))
        await self.ensure()

    async def ensure(self) -> None:
        """Ensure the read models, as a start does."""
        await ensure_read_models(self._projections(), self.log, self.db)

    async def rebuild(self) -> tuple[Compared, ...]:
        """Replace the read model by one that is projected from the first event."""
        return await rebuild(self._projections(), self.log, self.db)

    def _projections(self) -> tuple[Projection, ...]:
        return (replace(RESULTS, prepare=FragmentRows(self.blobs).prepare),)


@dataclass(frozen=True, slots=True)
class Running:
    """A running service."""

    service: Service
    infra: Infra
    positions: Positions
    log: EventLog

    async def caught_up(self) -> None:
        """Wait until the read model has everything that is stored now."""
        for stream in ("JOBS", "RUNNER", "RESULTS"):
            last = (await self.log.state(stream)).last
            assert await self.positions.wait("results", stream, last, 60)

    @asynccontextmanager
    async def client(self, user: str | None = OWNER) -> AsyncIterator[httpx.AsyncClient]:
        """Return a user's HTTP client; it sends no Accept-Encoding by default."""
        await readable(self.service)
        transport = httpx.ASGITransport(app=self.service.asgi)
        cookies = {"access_token": user} if user else {}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://kerma", cookies=cookies
        ) as client:
            del client.headers["accept-encoding"]
            yield client


@asynccontextmanager
async def opened(nats_url: str, postgres_url: str, folder: Path) -> AsyncIterator[World]:
    """Open a world with streams, a schema, and a folder of blobs."""
    blobs = open_blobs(BlobSettings(url=f"file://{folder}/blobs"))
    settings = PgSettings(url=SecretStr(postgres_url), pool_size=8)
    await migrate(postgres_url, "kerma_results", MIGRATED.schema)
    db = create_engine(settings, "results", SCHEMA)
    reads = open_reads(settings, "results", SCHEMA)
    try:
        async with connection(nats_url, name="results") as nats:
            await apply_streams(nats)
            world = World(nats, JetStreamLog(nats), db, reads, blobs, folder)
            await world.ensure()
            yield world
    finally:
        await settled()
        await reads.close()
        await db.dispose()


def _subject(event: Any) -> Subject:
    kind = registry.type_of(event)
    if kind.aggregate == "task":
        return task_subject(event.job_id, event.index)
    if kind.aggregate == "task_loss":
        return task_loss_subject(event.job_id)
    return job_subject(event.job_id) if kind.context == "jobs" else result_set_subject(event.job_id)


@dataclass(slots=True)
class Frozen:
    """A port whose n-th call of a method stops before or after its effect, until it is thawed.

    Until then, its caller is as good as killed there.
    """

    inner: Any
    method: str
    countdown: int
    after: bool
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    thawed: asyncio.Event = field(default_factory=asyncio.Event)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return self._freezing(found) if name == self.method else found

    def _freezing(self, found: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any) -> Any:
            self.countdown -= 1
            if self.countdown != 0:
                return await found(*arguments)
            done = await found(*arguments) if self.after else None
            self.reached.set()
            await self.thawed.wait()
            return done if self.after else await found(*arguments)

        return call
