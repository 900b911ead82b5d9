"""A service whose rows lag behind its log refuses to answer and reports its progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kerma_allinone.children import PostgresChild, nats_server
from kerma_common.contracts.events import auth
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.eventlog.port import EventLog
from kerma_common.http import gate
from kerma_common.infra import Infra
from kerma_common.nats import connection
from kerma_common.security.tokens import SigningKey, issue
from kerma_common.service import Service
from kerma_common.settings import HttpSettings
from kerma_jobs.main import build
from kit.events.projecting import record, submitted
from kit.running.servers import fresh_database
from kit.running.worlds.services import prepare, running

JOBS, BEFORE, STEP = 300, 100, 10
SESSION = "session"


class Slow:
    """A log that is read in small batches, so that a test can look while rows are projected."""

    def __init__(self, inner: EventLog) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @asynccontextmanager
    async def follow(self, *of: Any, **options: Any) -> AsyncIterator[AsyncIterator[Any]]:
        async with self._inner.follow(*of, **options) as batches:
            yield self._pieces(batches)

    async def _pieces(self, batches: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for batch in batches:
            for start in range(0, len(batch), STEP):
                await asyncio.sleep(0.02)
                yield batch[start : start + STEP]


def slow_build(settings: HttpSettings, infra: Infra) -> Service:
    log: Any = Slow(infra.log)
    return build(settings, replace(infra, log=log))


@dataclass
class Log:
    """A user's jobs, and a token of the user."""

    nats_url: str
    postgres_url: str
    folder: Path
    token: str = ""
    jobs: int = 0

    async def fill(self, total: int) -> None:
        """Append submissions up to ``total``."""
        async with connection(self.nats_url, name="test") as client:
            log = JetStreamLog(client)
            for n in range(self.jobs, total):
                await record(log, submitted(self.job(n), title=f"job {n}"))
        self.jobs = total

    @staticmethod
    def job(n: int) -> str:
        return f"20260801-101500-00000000-0000-0000-0000-{n:012x}DIRECT"

    @asynccontextmanager
    async def service(
        self, make: Any = build, *, caught_up: bool = True
    ) -> AsyncIterator[httpx.AsyncClient]:
        async with running(
            "jobs",
            "kerma_jobs",
            make,
            nats_url=self.nats_url,
            postgres_url=self.postgres_url,
            blobs=self.folder,
            caught_up=caught_up,
        ) as (client, _):
            client.headers["Authorization"] = f"Bearer {self.token}"
            yield client

    async def execute(self, *statements: str) -> None:
        # async: a statement may wait for a lock that the service, on the same loop, gives up
        async with await psycopg.AsyncConnection.connect(self.postgres_url) as conn:
            for statement in statements:
                await conn.execute(statement)


@pytest.fixture
async def log(
    postgres_child: PostgresChild, tmp_path: Path, servers_folder: Path
) -> AsyncIterator[Log]:
    """Jobs of which the first ``BEFORE`` are projected; the service is stopped."""
    folder = servers_folder / f"nats-{tmp_path.name}"
    async with nats_server(folder) as server:
        with fresh_database(postgres_child) as url:
            made = Log(server.url, url, tmp_path)
            await prepare(server.url)
            await _sign_in(made)
            await made.fill(BEFORE)
            async with made.service():
                pass
            yield made


async def _sign_in(log: Log) -> None:
    key, now = SigningKey("key", Ed25519PrivateKey.generate()), datetime.now(UTC)
    log.token, _ = issue(key, "user", SESSION, (), now)
    introduced = auth.SigningKeyIntroduced(
        kid=key.kid,
        algorithm="EdDSA",
        public_jwk=key.public_jwk,
        not_before=now - timedelta(minutes=1),
    )
    async with connection(log.nats_url, name="test") as client:
        await record(JetStreamLog(client), introduced)


async def _poll(log: Log, client: httpx.AsyncClient) -> set[str]:
    """Ask until the list is right; return the progress reported before."""
    told = set[str]()
    while True:
        ready = await client.get("/internal/readyz")
        asked = (
            client.get("/user/simulations", params={"page_size": 1}),
            client.get("/jobs", params={"job_id": log.job(log.jobs - 1)}),
            client.get("/jobs", params={"job_id": log.job(0)}),
        )
        answers = [await answer for answer in asked]
        for answer in answers:
            assert answer.status_code in (200, 503), answer.text
            if answer.status_code == 503:
                assert answer.headers["Retry-After"]
                told |= set(answer.json()["progress"].values())
        listed = answers[0]
        if listed.status_code == 200:
            assert listed.json()["simulations_count"] == log.jobs
            return told
        if ready.status_code == 503:
            told.add(ready.json()["faults"]["read models"])


async def _ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/internal/readyz")).status_code == 200


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("DROP SCHEMA jobs CASCADE", id="dropped"),
        pytest.param("SELECT 1", id="older"),
    ],
)
async def test_no_wrong_answer_while_rows_are_made(
    log: Log, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(gate, "PATIENCE_SECONDS", 0.01)
    await log.fill(JOBS)
    await log.execute(damage)
    async with log.service(slow_build, caught_up=False) as client:
        told = await _poll(log, client)
        assert await _ready(client)
    assert any(text.startswith("JOBS: ") and text.endswith(f" of {JOBS} commits") for text in told)


async def test_no_wrong_answer_after_a_new_revision(log: Log) -> None:
    await log.fill(JOBS)
    await log.execute("UPDATE jobs.read_model SET revision = 0")
    async with log.service(caught_up=False) as client:
        await _poll(log, client)


async def test_rows_that_go_back_shut_the_gate(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a backup of the database is restored beside running services."""
    monkeypatch.setattr(gate, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr("kerma_common.projection.catch_up.WATCH_SECONDS", 0.02)
    async with log.service(slow_build) as client:
        async with asyncio.timeout(30):
            while not await _ready(client):
                await asyncio.sleep(0.01)
        await log.execute(
            "DELETE FROM jobs.job",
            "UPDATE jobs.checkpoint SET seq = 0 WHERE stream = 'JOBS'",
            "UPDATE jobs.lease SET fence = fence - 1",
        )
        async with asyncio.timeout(30):
            while await _ready(client):
                await asyncio.sleep(0.01)
        told = await _poll(log, client)
    assert any(text.endswith(f" of {BEFORE} commits") for text in told)
