"""A user with many jobs, written straight to the log: the bench is about reading them."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt

from kerma_common.contracts.envelope import Meta, make_commit
from kerma_common.contracts.events.jobs import JobSubmitted
from kerma_common.contracts.ids import job_id
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import job_subject
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.nats import connection
from kerma_tools.bench.platform import Platform

AT_ONCE = 256
LOOK_SECONDS = 0.1


def fill(found: Platform, there: int, wanted: int) -> None:
    """Give the platform's user ``wanted`` jobs; ``there`` says how many it has."""
    token = found.client.cookies["access_token"]
    owner = jwt.decode(token, options={"verify_signature": False})["sub"]
    asyncio.run(_append(found.nats_url, owner, wanted - there))
    while (found.client.jobs_page(limit=1, total=True).total or 0) < wanted:
        time.sleep(LOOK_SECONDS)


async def _append(url: str, owner: str, jobs: int) -> None:
    slots = asyncio.Semaphore(AT_ONCE)
    async with connection(url, name="bench") as client:
        log = JetStreamLog(client)

        async def add(number: int) -> None:
            now = datetime.now(UTC) - timedelta(seconds=jobs - number)
            job = job_id(now, uuid4(), "DIRECT")
            subject = job_subject(job)
            meta = Meta("svc:bench", "SubmitJob", str(uuid4()), "jobs")
            event = _submitted(job, owner)
            commit = make_commit(str(uuid4()), "job", job, 1, meta, (event,), now)
            async with slots:
                await log.append(subject, 0, commit)

        await asyncio.gather(*map(add, range(jobs)))


def _submitted(job: str, owner: str) -> JobSubmitted:
    return JobSubmitted(
        job_id=job,
        owner=owner,
        title="bench",
        platform="DIRECT",
        sim_type="geant4",
        engine="geant4",
        engine_version="",
        input_kind="EDITOR",
        input_ref=Ref("0" * 64, 1),
        project_ref=None,
        primaries=1000,
        n_tasks=1,
        max_attempts=3,
        allow_partial=True,
    )
