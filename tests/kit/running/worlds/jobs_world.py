"""The jobs service alone: users by name; tests append the events of other services."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from kerma_common.contracts.envelope import Meta, make_commit
from kerma_common.contracts.events import results, runner
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import (
    Subject,
    result_set_subject,
    task_subject,
    worker_subject,
)
from kerma_common.errors import Forbidden
from kerma_common.http.policy import Principal
from kerma_common.infra import Infra
from kerma_common.security.principal import KEYCLOAK, NATIVE
from kerma_common.service import Service
from kerma_common.settings import HttpSettings
from kerma_jobs.main import build
from kerma_jobs.settings import JobsSettings
from kit.running.worlds.services import prepare, running

REF = Ref("0" * 64, 1)


class NamedUsers:
    """A verifier that accepts a user's name as the token; names with ``kc`` are Keycloak's."""

    async def __call__(self, token: str) -> Principal:
        if token == "void":
            raise Forbidden("void token")
        provider = KEYCLOAK if token.startswith("kc") else NATIVE
        return Principal(token, f"session-{token}", provider=provider)


def as_user(client: httpx.AsyncClient, prefix: str = "u") -> Callable[..., Any]:
    """Return an HTTP client with a new user; those of Keycloak have the prefix ``kc``."""
    user = f"{prefix}{uuid4().hex[:8]}"

    async def send(method: str, path: str, *, key: str = "", **how: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {user}"}
        headers |= {"Idempotency-Key": key} if key else {}
        return await client.request(method, path, headers=headers, **how)

    return send


def user_of(send: Callable[..., Any]) -> str:
    """Return the name, which is the token as well, of such a client's user."""
    texts = (cell.cell_contents for cell in send.__closure__ or ())
    return next(text for text in texts if isinstance(text, str))


async def append(infra: Infra, subject: Subject, event: object, **after: int) -> int:
    """Append an event of another service to the log."""
    history = await infra.log.load(subject)
    last = history[-1].seq if history else 0
    meta = Meta("svc:test", "Test", "test", subject.context, after=after)
    commit = make_commit(
        str(uuid4()),
        subject.aggregate,
        subject.id,
        len(history) + 1,
        meta,
        (event,),
        datetime.now(UTC),
    )
    return (await infra.log.append(subject, last, commit)).seq


async def start(infra: Infra, job: str, index: int) -> None:
    """Start a task; return once the service has seen it."""
    started = runner.TaskStarted(job_id=job, index=index, lease=1, worker="w")
    await seen(infra, await append(infra, task_subject(job, index), started))


async def succeed(infra: Infra, job: str, index: int, primaries: int, size: int = 1) -> None:
    started = runner.TaskStarted(job_id=job, index=index, lease=1, worker="w")
    await append(infra, task_subject(job, index), started)
    ended = runner.TaskSucceeded(
        job_id=job,
        index=index,
        lease=1,
        attempt=1,
        output_ref=Ref(REF.sha256, size),
        log_ref=None,
        primaries=primaries,
        cpu_seconds=1.0,
    )
    await append(infra, task_subject(job, index), ended)


async def fail(infra: Infra, job: str, index: int) -> None:
    ended = runner.TaskFailed(
        job_id=job,
        index=index,
        lease=1,
        attempt=3,
        code="EXIT",
        message="exit status 3",
        log_ref=None,
        final=True,
    )
    await append(infra, task_subject(job, index), ended)


async def publish(infra: Infra, job: str, tasks: int, primaries: int, *, partial: bool) -> None:
    published = results.ResultSetPublished(
        job_id=job, tasks_merged=tasks, primaries_merged=primaries, partial=partial
    )
    await append(infra, result_set_subject(job), published)


async def appears(infra: Infra, job: str, event: str) -> None:
    """Wait until the jobs service has recorded an event of this type."""
    async with infra.log.follow("JOBS", 0) as batches:
        async for batch in batches:
            for record in batch:
                if record.commit.aggregate_id == job and event in record.commit.types:
                    assert await infra.positions.wait("jobs", "JOBS", record.seq, 5.0)
                    return


async def offer(
    infra: Infra, worker: str, *engines: str, resource_class: str = "pool", **substitutes: str
) -> None:
    """Make a worker offer engines, as the runner would; return once the service has seen it."""
    registered = runner.WorkerRegistered(
        worker=worker,
        resource_class=resource_class,
        slots=1,
        engines=dict.fromkeys(engines, "1.0"),
        substitutes=substitutes,
    )
    await seen(infra, await append(infra, worker_subject(worker), registered))


async def leave(infra: Infra, worker: str) -> None:
    """Retire a worker."""
    retired = runner.WorkerRetired(worker=worker, reason="test")
    await seen(infra, await append(infra, worker_subject(worker), retired))


async def seen(infra: Infra, seq: int) -> None:
    """Wait until the service has seen an event of the runner."""
    assert await infra.positions.wait("jobs", "RUNNER", seq, 10.0)


Replica = tuple[httpx.AsyncClient, Infra]


@asynccontextmanager
async def two_replicas(
    settings: JobsSettings, *, nats_url: str, postgres_url: str, blobs: Path
) -> AsyncIterator[tuple[Replica, Replica]]:
    """Run the service twice, with a worker that offers Geant4; only the first one projects."""
    await prepare(nats_url)

    def limited(http: HttpSettings, infra: Infra) -> Service:
        return build(http, infra, settings)

    one = partial(
        running,
        "jobs",
        "kerma_jobs",
        limited,
        nats_url=nats_url,
        postgres_url=postgres_url,
        blobs=blobs,
        verifier=NamedUsers(),
    )
    async with one() as first, one(roles=frozenset({"api"})) as second:
        await offer(first[1], "first", "geant4")
        assert await second[1].positions.wait("jobs", "RUNNER", 1, 10.0)
        yield first, second
