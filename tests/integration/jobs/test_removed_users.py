"""The jobs of a user who was removed are cancelled and deleted, over restarts, and those of others stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from kerma_common.commands.context import CommandContext
from kerma_common.contracts.events.auth import UserRemovalStarted
from kerma_common.contracts.subjects import job_subject, owner_subject, user_subject
from kerma_common.infra import Infra
from kerma_jobs.app.departures import AGAIN, LAST
from kerma_jobs.domain.owner import ConcludeRemoval
from kerma_jobs.main import deletions
from kerma_jobs.settings import JobsSettings
from kit.inputs.projects import demo_project
from kit.programs.family import PATIENCE
from kit.running.worlds.ahead import Start
from kit.running.worlds.jobs_world import (
    appears,
    append,
    as_user,
    offer,
    publish,
    succeed,
    user_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
MOMENT = timedelta(seconds=30)


async def submitted(send: Callable[..., Any], **how: Any) -> str:
    body = {"engine": "geant4", "tasks": 1, "title": "", "project": demo_project(10)}
    answer = await send("POST", "/v1/jobs", json=body, **how)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def of(user: str, client: httpx.AsyncClient) -> list[str]:
    headers = {"Authorization": f"Bearer {user}"}
    listed = await client.get("/v1/jobs", headers=headers)
    return [job["id"] for job in listed.json()["items"]]


async def events(infra: Infra, job: str) -> list[str]:
    history = await infra.log.load(job_subject(job))
    return [event.type for record in history for event in record.commit.events]


async def nothing_is_owed(infra: Infra) -> None:
    """Wait until no command of the process is left, and no timer is due."""
    owed = "SELECT 1 FROM jobs_process.process_outbox WHERE process = 'departures'"
    due = "SELECT 1 FROM jobs_process.process_timer WHERE process = 'departures' AND due <= %s"
    async with asyncio.timeout(PATIENCE), infra.writers.lend() as connection:
        while True:
            left = await (await connection.execute(owed)).fetchall()
            timers = await (await connection.execute(due, [infra.clock()])).fetchall()
            if not left and not timers:
                return
            await asyncio.sleep(0.05)


async def test_the_jobs_of_a_removed_user_go_over_restarts(start: Start) -> None:
    async with start(processes=False) as (client, infra):
        await offer(infra, "first", "geant4")
        ada, bob = as_user(client), as_user(client)
        leaving, staying = user_of(ada), user_of(bob)
        running_job, his = await submitted(ada), await submitted(bob)
        started = UserRemovalStarted(user_id=leaving, removal="r1")
        await append(infra, user_subject(leaving), started)
    async with start() as (client, infra):  # the service was away when the user was removed
        ended_job = await submitted(as_user_named(client, staying))
        await succeed(infra, ended_job, 0, 10)
        await appears(infra, ended_job, "JobMergeRequested")
        await publish(infra, ended_job, 1, 10, partial=False)
        await appears(infra, ended_job, "JobCompleted")
        await appears(infra, running_job, "JobDeletionRequested")
        assert await of(leaving, client) == []
        assert sorted(await of(staying, client)) == sorted([his, ended_job])
        late = await submitted(as_user_named(client, leaving))  # was on its way
    async with start(AGAIN + MOMENT) as (client, infra):
        await appears(infra, late, "JobDeletionRequested")
        assert await of(leaving, client) == []
        assert not await infra.log.load(owner_subject(leaving))
        latest = await submitted(as_user_named(client, leaving))
    for _ in range(2):  # the second time, nothing is left to do
        async with start(LAST + MOMENT) as (client, infra):
            await appears(infra, leaving, "OwnerJobsDeleted")
            assert "JobDeletionRequested" in await events(infra, latest)
            await nothing_is_owed(infra)
            (concluded,) = await infra.log.load(owner_subject(leaving))
            assert concluded.commit.events[0].data == {"user_id": leaving, "removal": "r1"}
            assert await of(leaving, client) == []
            assert sorted(await of(staying, client)) == sorted([his, ended_job])


async def test_jobs_that_have_ended_are_deleted_at_once(start: Start) -> None:
    async with start() as (client, infra):
        await offer(infra, "first", "geant4")
        send = as_user(client)
        user, job = user_of(send), await submitted(send)
        await succeed(infra, job, 0, 10)
        await appears(infra, job, "JobMergeRequested")
        await publish(infra, job, 1, 10, partial=False)
        await appears(infra, job, "JobCompleted")
        started = UserRemovalStarted(user_id=user, removal="r2")
        await append(infra, user_subject(user), started)
        await appears(infra, job, "JobDeleted")
        assert await of(user, client) == []


async def test_whoever_has_the_name_later_inherits_neither_keys_nor_deletions(start: Start) -> None:
    async with start(processes=False) as (client, infra):
        await offer(infra, "first", "geant4")
        user, other = user_of(as_user(client)), user_of(as_user(client))

        async def with_key(owner: str) -> str:
            headers = {"Authorization": f"Bearer {owner}", "Idempotency-Key": "k"}
            return await submitted(client.request, headers=headers)

        job, kept = await with_key(user), await with_key(other)
        conclude = ConcludeRemoval(user, "r3")
        context = CommandContext("svc:jobs", ("r3",), "r3", infra.clock())
        carry_out = deletions(infra, JobsSettings()).carry_out
        await carry_out(conclude, context)
        last = (await infra.log.state("JOBS")).last
        assert await infra.positions.wait("jobs", "JOBS", last)
        assert await of(user, client) == []
        heir = as_user_named(client, user)
        assert (await heir("DELETE", f"/v1/jobs/{job}")).status_code == 404
        again = await with_key(user)
        assert again != job
        assert await with_key(other) == kept
        await carry_out(conclude, context)  # a repetition finds the jobs of somebody else
        assert await of(user, client) == [again]


def as_user_named(client: httpx.AsyncClient, user: str) -> Callable[..., Any]:
    async def send(method: str, path: str, **how: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {user}"}
        return await client.request(method, path, headers=headers, **how)

    return send
